"""``--access-file``: where each command reads it, and what becomes of one that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.commands import Watch, run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.traefik import needs_wildcards

import ctsdns_traefik
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.output.file import FileOutput

SCHEMA = Path(ctsdns_traefik.__file__).parent / "schemas" / "validate.schema.json"
HOSTS: dict[str, Any] = {
    f"_web_http_80._tcp.{name}.example.com": "100.64.0.1" for name in ("a", "b", "c", "d", "e")
}
TCP = {"_web_ssh_22._tcp.a.example.com": "100.64.0.1"}
ONLY = "routes: {a.example.com: {access: tailscale-only}}\n"
BROKEN = "routes:\n  a.example.com: {acess: tailscale-only}\n"
COMPLAINT = "access.yml:2:19: routes.a.example.com.acess is not known; did you mean access?"
TAKEN = "the access file has taken the protection from {}: anybody may reach them"
FORWARD = (
    "forwardAuth: {x: {address: 'http://a'}}\n"
    "routes: {a.example.com: {access: forward-auth, forwardAuth: x, middlewares: [y@file]}}\n"
)


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the access file is, which has a route of the tailnet; it is found by name."""
    monkeypatch.chdir(tmp_path)
    path = Path("access.yml")
    path.write_text(ONLY)
    Path("policy.json").write_text(json.dumps({"hosts": HOSTS | TCP}))
    return path


def guarded(path: Path) -> list[str]:
    """Return the routers of a file that have middlewares."""
    routers = json.loads(path.read_text())["http"]["routers"]
    return [name for name, router in routers.items() if "middlewares" in router]


@pytest.mark.parametrize("by_variable", [False, True])
def test_render_once(access: Path, *, by_variable: bool) -> None:
    """What is rendered has the access, named by an option or by the variable."""
    option = [] if by_variable else ["--access-file", str(access)]
    environment = {"TRAEFIK_ACCESS_FILE": str(access)} if by_variable else {}
    done = run("render-once", "policy.json", *option, environment=environment)
    expected = render(HOSTS | TCP, access=read_access(ONLY)).text
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_without_the_file_nothing_is_different(access: Path) -> None:
    """The document is what it was, and so it is with a file that says nothing about the routes."""
    access.write_text("routes: {}\n")
    texts = [
        run("render-once", "policy.json", *option).stdout
        for option in ([], ["--access-file", str(access)])
    ]
    assert texts == [render(HOSTS | TCP).text] * 2


def test_render_once_reports_what_is_left_out(access: Path) -> None:
    """A route without its access is a problem like others, and a finding if asked for."""
    access.write_text(FORWARD)
    done = run("render-once", "policy.json", "--access-file", access, "--strict")
    assert (done.returncode, done.stderr.count("access-not-applicable: _web_ssh_22")) == (1, 1)
    assert "router-a-example-com-ssh" not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["render-once", "policy.json"], id="render-once"),
        pytest.param(["validate", "policy.json"], id="validate"),
        pytest.param(["watch", "--endpoint", "http://127.0.0.1:1", "-o", "d.yml"], id="watch"),
    ],
)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(BROKEN.encode(), COMPLAINT, id="misspelt"),
        pytest.param(b"\xff", "access.yml: it is not UTF-8", id="no-utf-8"),
        pytest.param(None, "cannot read access.yml: no such file or directory", id="missing"),
    ],
)
def test_file_that_cannot_be_used(
    access: Path, command: list[str], content: bytes | None, complaint: str
) -> None:
    """At the start it is a bad setting, with its place, and nothing is written."""
    access.unlink() if content is None else access.write_bytes(content)
    done = run(*command, "--access-file", access)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ctsdns-traefik: error: {complaint}\n"
    assert not Path("d.yml").exists()


@pytest.fixture
def followed(access: Path) -> Iterator[tuple[Feed, Watch]]:
    """Run watch with the access file, and give what feeds it."""
    with ExitStack() as stack:
        feed = stack.enter_context(Feed())
        endpoint = stack.enter_context(ScriptedEndpoint(feed))
        output = access.absolute().parent / "dynamic.yml"
        option = ("--access-file", str(access))
        watch = stack.enter_context(Watch(endpoint.url, output, *option))
        feed.send(snapshot(HOSTS))
        watch.until_logged("added router-a")
        yield feed, watch


def test_watch_reads_the_file_again(access: Path, followed: tuple[Feed, Watch]) -> None:
    """A change of the file alone is in force without another snapshot, and is logged once.

    So is, by name and as a warning, what it takes the protection from.
    """
    _, watch = followed
    assert guarded(watch.output) == ["router-a-example-com"]
    access.write_text(ONLY.replace("a.example", "b.example"))
    watch.until_logged("changed router-a-example-com, router-b-example-com")
    assert guarded(watch.output) == ["router-b-example-com"]
    assert watch.lines.count("INFO access.yml has changed") == 1
    assert watch.lines.count(f"WARNING {TAKEN.format('router-a-example-com')}") == 1


def test_broken_file_while_watch_runs(access: Path, followed: tuple[Feed, Watch]) -> None:
    """It is one error, whatever comes; the last usable content stays in force until then."""
    feed, watch = followed
    stays = "; the last usable content stays in force"
    access.write_text(BROKEN)
    watch.until_logged("did you mean access")
    feed.send(snapshot(HOSTS), snapshot(HOSTS), snapshot({**HOSTS, **TCP}))
    watch.until_logged("added router-a-example-com-ssh")
    access.unlink()
    watch.until_logged("no such file")
    feed.send(snapshot(HOSTS), snapshot(HOSTS))
    watch.until_logged("removed router-a-example-com-ssh")
    errors = [line for line in watch.lines if line.startswith("ERROR")]
    assert errors == [
        f"ERROR {COMPLAINT}{stays}",
        f"ERROR cannot read access.yml: no such file or directory{stays}",
    ]
    assert guarded(watch.output) == ["router-a-example-com"]
    access.write_text(ONLY)
    watch.until_logged("INFO access.yml can be used again")
    access.write_text("routes: {}\n")
    watch.until_logged("changed router-a-example-com")
    assert guarded(watch.output) == []


def test_access_waits_for_no_second_opinion(tmp_path: Path) -> None:
    """Routes that lose their access go at once, though a large removal of hosts would wait.

    That also holds for the hosts in force while others wait.
    """
    output = tmp_path / "dynamic.yml"
    reconciler = Reconciler(FileOutput(output), access=read_access(ONLY))
    reconciler.inspect()
    reconciler.reconcile(HOSTS)
    few = dict(list(HOSTS.items())[:1])
    reconciler.reconcile(few)
    reconciler.change_access(read_access(ONLY.replace("a.example", "b.example")))
    assert guarded(output) == ["router-b-example-com"]
    tls = {name.replace("_http_80", "_tls_443"): address for name, address in HOSTS.items()}
    reconciler.reconcile(HOSTS | {name.replace("_web", "_ws"): each for name, each in tls.items()})
    reconciler.change_access(
        read_access(
            "clientAuth: {x: {caFiles: [a]}}\n"
            'routes: {"*.com": {access: mtls-strict, clientAuth: x}}'
        )
    )
    assert list(json.loads(output.read_text())) == ["http", "tls"]
    assert len(json.loads(output.read_text())["http"]["routers"]) == len(HOSTS)


def test_validate(access: Path) -> None:
    """What is left out is found in the policy, what is wrong with a pattern in the access file."""
    access.write_text(
        "forwardAuth: {x: {address: 'http://a'}}\n"
        "routes: {a.example.com: {access: forward-auth, forwardAuth: x},\n"
        "  w.example.com: {access: public}}\n"
        "dashboard: {domain: t.example.com, entryPoint: webb, access: tailscale-only}\n"
    )
    Path("static.yml").write_text("entryPoints: {web: {address: ':80'}}\napi: {}\n")
    options = ["--access-file", str(access), "--static-config", "static.yml", "--format", "json"]
    done = run("validate", "policy.json", *options)
    validated = json.loads(done.stdout)
    jsonschema.validate(validated, json.loads(SCHEMA.read_text()))
    assert [route["middlewares"] for route in validated["routes"][:1]] == [["access-tailnet"]]
    problems = validated["problems"]
    found = [
        (each["code"], each["severity"], each["path"], each["line"], each["column"])
        for each in problems
        if each["code"] != "dynamic-file-not-watched"
    ]
    assert done.returncode == 1
    assert found == [
        ("access-not-applicable", "error", "policy.json", 1, found[0][4]),
        ("dashboard-unreachable", "error", "access.yml", 4, 1),
        ("access-unused", "warning", "access.yml", 3, 3),
    ]


STATIC = """\
entryPoints:
  web:
    address: ":80"
    http: {tls: {}}
    proxyProtocol:
      trustedIPs: [127.0.0.1/32, 10.0.0.0/8, "fd00::/48"]
"""


@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param(["--entrypoint", "web"], [], id="nothing-known"),
        pytest.param(
            ["--static-config", "static.yml"],
            [
                ("header-aliases-pass", "static.yml", 4, "entryPoints.web.http.aliasHeaders"),
                ("proxy-protocol-trusted", "static.yml", 6, " from 10.0.0.0/8, fd00::/48 to "),
            ],
            id="static-configuration",
        ),
    ],
)
def test_validate_warns_of_entrypoints(
    access: Path, options: list[str], found: list[tuple[str, str, int, str]]
) -> None:
    """What an entrypoint lets clients do is a warning at its place, for all its routes at once."""
    access.write_text(
        "forwardAuth: {x: {address: 'http://a', authResponseHeaders: [X-User]}}\n"
        "routes: {'*.example.com': {access: tailscale-bypass, forwardAuth: x}}\n"
    )
    Path("static.yml").write_text(STATIC)
    done = run("validate", "policy.json", "--access-file", access, *options, "--format", "json")
    problems = [
        each
        for each in json.loads(done.stdout)["problems"]
        if each["code"] in ("header-aliases-pass", "proxy-protocol-trusted")
    ]
    assert [(each["code"], each["path"], each["line"]) for each in problems] == [
        each[:3] for each in found
    ]
    for each, (*_, part) in zip(problems, found, strict=True):
        assert each["severity"] == "warning"
        assert part in each["message"] + each["hint"]


@needs_wildcards
def test_validate_proves_the_access(access: Path) -> None:
    """A real Traefik is asked about the routers with their access, the dashboard's too.

    Middlewares of other files, which it does not have here, are left out.
    """
    access.write_text(
        "tailnet: {ranges: [100.64.0.0/10]}\n"
        "forwardAuth: {x: {address: 'http://a', authResponseHeadersRegex: '\\p{Nope}'}}\n"
        "routes:\n"
        "  a.example.com: {access: tailscale-only, middlewares: [y@file]}\n"
        "  b.example.com: {access: forward-auth, forwardAuth: x}\n"
        "  '*.example.com': {access: public}\n"
        "dashboard: {domain: t.example.com, entryPoint: web, access: tailscale-only}\n"
    )
    done = run("validate", "policy.json", "--access-file", access, "--prove")
    (problem,) = [line for line in done.stdout.splitlines() if " error " in line]
    assert "not-enabled: _web_http_80._tcp.b.example.com" in problem
    assert "error compiling regular expression" in problem
