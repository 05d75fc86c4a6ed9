"""Each line of a program in docs/troubleshooting.md, brought about; where a fix is short, tried."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from local import free_ports, until
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale
from support.certificates import Authority
from support.commands import Watch, run
from support.endpoints import (
    STREAM,
    Script,
    ScriptedEndpoint,
    answering,
    event,
    saying_nothing,
    sending,
    snapshot,
)
from support.entries import hosts, streaming
from support.headscale import StandInHeadscale
from support.paths import ROOT
from support.stores import Server
from support.traefik import Traefik, any_certificate

APP = "_web_http_80._tcp.app.example.com"
LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login/worker.example.com"


def rows() -> dict[str, list[str]]:
    """Return what the document says that a program prints, by section."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    found = zip(sections[1::2], sections[2::2], strict=True)
    return {
        title: re.findall(r"^\| `(.+?)` \|", body, re.MULTILINE)
        for title, body in found
        if "prints |" in body
    }


class Stage(NamedTuple):
    """A folder in place of /etc/traefik, with a policy beside the output."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "dynamic.yml"

    @property
    def policy(self) -> Path:
        return self.write("policy.hujson", json.dumps({"hosts": {APP: "100.64.0.1"}}))

    def write(self, name: str, text: str) -> Path:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        path.write_text(text)
        return path

    def normal(self, text: str) -> str:
        """Name the folder as the document does."""
        return text.replace(str(self.folder), "/etc/traefik")


Bring = Callable[[Stage], str]
"""Brings a symptom about, tries the fix if there is a short one, and returns what was printed."""

SYMPTOMS: dict[str, Bring] = {}
"""By the start of the line in the document."""


def symptom(line: str) -> Callable[[Bring], Bring]:
    def register(bring: Bring) -> Bring:
        SYMPTOMS[line] = bring
        return bring

    return register


def fails(*arguments: str | Path, code: int = 2, **environment: str) -> str:
    """Run the command, which has to fail, and return its one line."""
    done = run(*arguments, environment=environment)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    return done.stderr


def works(*arguments: str | Path) -> None:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr


@symptom("there is no folder")
def no_folder(stage: Stage) -> str:
    source = stage.folder.with_name("policy.hujson")
    source.write_text(json.dumps({"hosts": {APP: "100.64.0.1"}}))
    printed = fails("render-once", source, "-o", stage.output, code=4)
    subprocess.run(shlex.split(printed.partition("make it: ")[2]), check=True)
    works("render-once", source, "-o", stage.output)
    return printed


@symptom("/etc/traefik/dynamic.yml is not a file of")
def file_of_others(stage: Stage) -> str:
    stage.write("dynamic.yml", "http: {routers: {mine: {rule: Host(`a`), service: a}}}\n")
    printed = fails("render-once", stage.policy, "-o", stage.output, code=4)
    works("render-once", stage.policy, "-o", stage.output, "--adopt")
    assert "mine" in stage.output.with_name("dynamic.yml.bak").read_text()
    return printed


@symptom("a watch keeps it")
def second_watch(stage: Stage) -> str:
    stage.folder.mkdir()
    with ScriptedEndpoint(streaming("a")) as server, Watch(server.url, stage.output) as watch:
        watch.until_content("router-a")
        printed = fails("render-once", stage.policy, "-o", stage.output, code=4)
        works("render-once", stage.policy, "-o", stage.folder / "other.yml")
    return printed


@symptom("name a SOURCE")
def no_source(stage: Stage) -> str:
    return fails("watch", "-o", stage.output)


@symptom("the value of TRAEFIK_CONFIG_API_ENDPOINT is in quotes")
def quotes(_stage: Stage) -> str:
    return fails("watch", TRAEFIK_CONFIG_API_ENDPOINT='"https://worker.example.com/api/config"')


@symptom("default names")
def bad_access_file(stage: Stage) -> str:
    access = stage.write("access.yml", "default: tailnet\n")
    printed = fails("render-once", stage.policy, "--access-file", access)
    access.write_text("default: tailscale-only\n")
    works("render-once", stage.policy, "--access-file", access)
    return printed


@symptom("a store as output needs")
def no_redis(stage: Stage) -> str:
    stage.write("redis.py", "raise ImportError('none here')\n")
    store = ("-o", "redis://127.0.0.1:1")
    return fails("render-once", stage.policy, *store, PYTHONPATH=str(stage.folder))


@symptom("no such option")
def misspelt_option(_stage: Stage) -> str:
    return fails("watch", "--endpont", "policy.hujson")


@symptom("cannot write /etc/traefik/dynamic.yml")
def folder_that_is_a_file(stage: Stage) -> str:
    stage.folder.write_text("")
    source = stage.folder.with_name("policy.hujson")
    source.write_text('{"hosts": {}}')
    return fails("render-once", source, "-o", stage.output, code=4)


@symptom("cannot publish to redis://...: connection refused")
def no_store(stage: Stage) -> str:
    return fails("render-once", stage.policy, "-o", "redis://127.0.0.1:1", code=4)


def refused_by_store(*commands: str, user: str = "", fix: str = "") -> Bring:
    """Return what brings about a refusal of Redis's, after commands; ``fix`` is another."""

    def bring(stage: Stage) -> str:
        if not shutil.which("redis-server"):
            pytest.skip("no redis-server")
        with Server(stage.folder.parent) as server, server.client() as admin:
            url = server.url.replace("//", f"//{user}")
            for command in commands:
                admin.execute_command(*command.split())
            printed = fails("render-once", stage.policy, "-o", url, code=4)
            if fix:
                admin.execute_command(*fix.split())
                works("render-once", stage.policy, "-o", url)
            return printed

    return bring


for kind, refused_store in (
    ("it wants a password", refused_by_store("CONFIG SET requirepass pw")),
    ("the user or", refused_by_store(user="bob:no@")),
    (
        "its user lacks",
        refused_by_store(
            "ACL SETUSER bob on >pw ~* +@read", user="bob:pw@", fix="ACL SETUSER bob +@all"
        ),
    ),
    ("it is a read-only", refused_by_store("REPLICAOF 127.0.0.1 1", fix="REPLICAOF NO ONE")),
    (
        "it is out of memory",
        refused_by_store("CONFIG SET maxmemory 1", fix="CONFIG SET maxmemory 100mb"),
    ),
):
    symptom(f"cannot publish to redis://...: {kind}")(refused_store)


@symptom("... Traefik is not notified")
def store_without_notifications(stage: Stage) -> str:
    if not shutil.which("redis-server"):
        pytest.skip("no redis-server")
    with Server(stage.folder.parent, notify="") as server, server.client() as admin:
        printed = run("render-once", stage.policy, "-o", server.url).stderr
        command = re.search("'(CONFIG SET .*?)'", printed)
        assert command, printed
        admin.execute_command(*command[1].split())
        assert "notif" not in run("render-once", stage.policy, "-o", server.url).stderr
    return printed


def answered(script: Script) -> Bring:
    """Return what brings about the error of an endpoint that answers so."""

    def bring(_stage: Stage) -> str:
        with ScriptedEndpoint(script) as server:
            return fails("render-once", server.url, code=3)

    return bring


symptom("it answers 401")(answered(answering("401 Unauthorized")))
symptom("it answers 403")(answered(answering("403 Forbidden")))
symptom("it answers 404")(answered(answering("404 Not Found")))
PAGE = b"<!doctype html>"
symptom("it answers with an HTML page")(
    answered(answering("200 OK", PAGE, Content_Type="text/html"))
)
symptom("it answers with text/plain")(
    answered(answering("200 OK", b"{", Content_Type="text/plain"))
)
symptom("it answers 302")(answered(answering("302 Found", Location=LOGIN)))


def refused_by_tailscale(change: Callable[[StandInTailscale], object], **environment: str) -> Bring:
    """Return what brings about a refusal of Tailscale's API, which is changed before."""

    def bring(_stage: Stage) -> str:
        with StandInTailscale('{"hosts": {}}') as api:
            change(api)
            return fails("render-once", "tailscale:", code=3, **(api.environment | environment))

    return bring


def limit_scopes(api: StandInTailscale) -> None:
    api.clients[CLIENT_ID] = (CLIENT_SECRET, frozenset({"devices:core:read"}))


symptom("no token: Tailscale answers 401")(refused_by_tailscale(lambda api: api.clients.clear()))
symptom("Tailscale answers 403")(refused_by_tailscale(limit_scopes))
symptom("Tailscale answers 404")(
    refused_by_tailscale(lambda _: None, TAILSCALE_TAILNET="other.example.com")
)


@symptom("Headscale answers 401")
def bad_key(_stage: Stage) -> str:
    with StandInHeadscale("{}") as api:
        endpoint = api.url.replace("http:", "headscale+http:")
        return fails("render-once", endpoint, code=3, TRAEFIK_CONFIG_API_TOKEN="hskey-of-another")


@symptom("tailscale: needs a credential")
def no_credential(_stage: Stage) -> str:
    return fails("render-once", "tailscale:")


@symptom("connection refused")
def nothing_listens(_stage: Stage) -> str:
    (port,) = free_ports(1)
    return fails("render-once", f"http://127.0.0.1:{port}/api/config", code=3)


@symptom("the name worker.invalid")
def no_such_name(_stage: Stage) -> str:
    return fails("render-once", "http://worker.invalid/api/config", code=3)


@symptom("its certificate cannot be trusted")
def own_authority(stage: Stage) -> str:
    authority = Authority(stage.folder.parent)
    with ScriptedEndpoint(streaming("a"), tls=authority.server_context("127.0.0.1")) as server:
        printed = fails("render-once", server.url, code=3)
        works("render-once", server.url, "--ca-file", authority.ca_file)
    return printed


def demanding(stage: Stage, issuer: Authority | None, key: str = "client.key") -> str:
    """Ask what demands a certificate with one of an authority or without; return what fails."""
    folder = stage.folder.parent
    authority = Authority(folder)
    stage.folder.mkdir()
    mine = (issuer or authority).issue("client", folder=stage.folder)
    authority.issue("other", folder=stage.folder)
    right = ("--client-cert", mine[0], "--client-key", mine[1])
    wrong = (*right[:3], stage.folder / key) if issuer or key != "client.key" else ()
    tls = authority.demanding_context("127.0.0.1")
    with ScriptedEndpoint(streaming("a"), tls=tls) as server:
        asking = ("render-once", server.url, "--ca-file", authority.ca_file)
        printed = fails(*asking, *wrong, code=3)
        if not issuer:
            works(*asking, *right)
    return printed


@symptom("it demands a client certificate")
def no_client_certificate(stage: Stage) -> str:
    return demanding(stage, None)


@symptom("it refuses the client certificate")
def client_certificate_of_others(stage: Stage) -> str:
    (stage.folder.parent / "others").mkdir()
    return demanding(stage, Authority(stage.folder.parent / "others"))


@symptom("the key /etc/traefik/client.key does not fit")
def key_of_another_certificate(stage: Stage) -> str:
    return demanding(stage, None, "other.key").replace("other.key", "client.key")


@symptom("it speaks plain HTTP")
def plain_http(_stage: Stage) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    with server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            url = f"https://127.0.0.1:{server.server_address[1]}/api/config"
            return fails("render-once", url, code=3)
        finally:
            server.shutdown()


def logged(stage: Stage, script: Script, pattern: str, *arguments: str) -> str:
    """Return what watch logs of an endpoint, once a pattern is there."""
    stage.folder.mkdir(exist_ok=True)
    with ScriptedEndpoint(script) as server, Watch(server.url, stage.output, *arguments) as watch:
        watch.until_logged(pattern)
        return watch.log


@symptom("it was silent")
def silence(stage: Stage) -> str:
    script = sending(STREAM, then=saying_nothing)
    return logged(stage, script, "silent for the read", "--read-timeout", "0.5")


@symptom("the worker reports an error")
def worker_error(stage: Stage) -> str:
    data = {"event": "machines-snapshot", "message": "Tailscale API error: 500"}
    script = sending(STREAM, event("error", data), then=saying_nothing)
    return logged(stage, script, "worker reports")


@symptom("Tailscale would not save this")
def last_comment(stage: Stage) -> str:
    policy = stage.write("policy.hujson", '{"hosts": {}}\n// the end')
    printed = fails("render-once", policy, code=3)
    policy.write_text(f"{policy.read_text()}\n")
    works("render-once", policy)
    return printed


@symptom("it is neither a snapshot")
def other_file(stage: Stage) -> str:
    return fails("render-once", stage.write("package.json", '{"name": "x"}'), code=3)


def refused(*entries: str) -> Bring:
    """Return what brings about the refusal of an entry."""

    def bring(stage: Stage) -> str:
        text = json.dumps({"hosts": dict.fromkeys(entries, "100.64.0.1")})
        return run("render-once", stage.write("policy.hujson", text)).stderr

    return bring


symptom("bad-port")(refused("_web_http_99999._tcp.app.example.com"))
symptom("missing-underscore")(refused("web_http_80._tcp.app.example.com"))
symptom("conflict")(refused(APP, "_web_http_81._tcp.app.example.com"))


@symptom("unknown-entrypoint")
def unknown_entrypoint(stage: Stage) -> str:
    text = json.dumps({"hosts": {"_websecur_http_80._tcp.app.example.com": "100.64.0.1"}})
    policy = stage.write("policy.hujson", text)
    done = run("validate", "--entrypoint", "websecure", policy)
    assert done.returncode == 1
    works("validate", "--entrypoint", "websecure", "--entrypoint", "websecur", policy)
    return done.stdout


@symptom("the snapshot would remove")
def large_removal(stage: Stage) -> str:
    snapshots = (snapshot(hosts("abcde")), snapshot(hosts("a")))
    return logged(stage, sending(STREAM, *snapshots, then=saying_nothing), "would remove")


@symptom("Traefik does not serve")
def disabled_router(stage: Stage) -> str:
    stage.write("dynamic.yml", "{}")
    entry = {"_websecur_http_80._tcp.app.example.com": "100.64.0.1"}
    script = sending(STREAM, snapshot(entry), then=saying_nothing)
    with Traefik(stage.folder, stage.output) as traefik:
        api = f"http://127.0.0.1:{traefik.ports['traefik']}"
        return logged(stage, script, "does not serve", "--traefik-api", api)


@symptom("Traefik has not loaded")
def other_file_watched(stage: Stage) -> str:
    # It waits for half a minute: tests/traefik/test_verifier.py has a verifier with less patience.
    from ctsdns_traefik.daemon.events import RoutersNotLoaded

    del stage
    return str(RoutersNotLoaded(("router-app-example-com",)))


@symptom("Traefik's API cannot be asked")
def no_api(stage: Stage) -> str:
    (port,) = free_ports(1)
    api = ("--traefik-api", f"http://127.0.0.1:{port}")
    return logged(stage, streaming("a"), "cannot be asked", *api)


def health(stage: Stage, *arguments: str) -> str:
    status = stage.folder / "status.json"
    return run("watch", "--health", "--status-file", status, *arguments).stdout


def health_while_watching(stage: Stage, script: Script, expected: str, *arguments: str) -> str:
    """Return what --health says of a watch, once it is expected."""
    stage.folder.mkdir(exist_ok=True)
    status = ("--status-file", str(stage.folder / "status.json"))
    with ScriptedEndpoint(script) as server, Watch(server.url, stage.output, *status) as watch:
        said: list[str] = []

        def is_expected() -> bool:
            said.append(health(stage, *arguments))
            return expected in said[-1]

        watch.until(is_expected, f"no {expected}")
        return said[-1]  # another call may find it while it connects


@symptom("unhealthy: cannot read")
def no_status_file(stage: Stage) -> str:
    return health(stage)


@symptom("unhealthy: no trusted snapshot")
def no_snapshot(stage: Stage) -> str:
    return health_while_watching(stage, answering("401 Unauthorized"), "is waiting")


@symptom("unhealthy: the last trusted snapshot")
def old_snapshot(stage: Stage) -> str:
    old = ("--max-age", "0.001")
    return health_while_watching(stage, streaming("a"), "trusted snapshot is", *old)


@symptom("unhealthy: the access file")
def broken_access_file(stage: Stage) -> str:
    access = stage.write("access.yml", "default: public\n")
    arguments = ("--status-file", str(stage.folder / "status.json"), "--access-file", str(access))
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, stage.output, *arguments) as watch,
    ):
        watch.until_content("router-a")
        access.write_text("default: tailnet\n")
        watch.until(lambda: "which is not a mode" in health(stage), "healthy all the same")
        return health(stage)


DOCUMENTED = [line for lines in rows().values() for line in lines]


@pytest.mark.parametrize("line", DOCUMENTED)
def test_symptom(tmp_path: Path, line: str) -> None:
    """A program prints the line, and a short fix that follows it works."""
    (bring,) = [bring for start, bring in SYMPTOMS.items() if line.startswith(start)]
    stage = Stage(tmp_path / "traefik")
    printed = stage.normal(bring(stage))
    pattern = ".+?".join(map(re.escape, line.split("...")))
    assert re.search(pattern, printed), printed


def test_every_symptom_is_documented() -> None:
    """No symptom that is brought about here is missing in the document."""
    assert [
        start for start in SYMPTOMS if not any(line.startswith(start) for line in DOCUMENTED)
    ] == []


def test_answers_of_traefik(tmp_path: Path) -> None:
    """Traefik answers 404, 301, 403 and 502 for the reasons that the document gives."""
    (closed,) = free_ports(1)
    policy = {
        f"_web_http_{closed}._tcp.app.example.com": "127.0.0.1",
        f"_web_http_{closed}._tcp.private.example.com": "127.0.0.1",
    }
    source = tmp_path / "policy.hujson"
    source.write_text(json.dumps({"hosts": policy}))
    access = tmp_path / "access.yml"
    access.write_text("default: tailscale-only\nroutes: {app.example.com: {access: public}}\n")
    dynamic = tmp_path / "dynamic.yml"
    works("render-once", source, "-o", dynamic, "--access-file", access)
    with Traefik(tmp_path, dynamic) as traefik:
        until(lambda: traefik.get("web", "app.example.com").status == 502, "no 502")
        assert traefik.get("web", "private.example.com").status == 403
        assert traefik.get("web", "other.example.com").status == 301
        assert traefik.get("web", "other.example.com", method="POST").status == 308
        tls = any_certificate()
        assert traefik.get("websecure", "app.example.com", tls=tls).status == 404
