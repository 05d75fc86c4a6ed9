"""The rules about Traefik's static configuration, shown by the real Traefik."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, free_ports, until
from support.checked import CheckedTraefik, Settings
from support.traefik import Answer, traefik_version

from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.static_config.configuration import Entrypoint, read_static

BEFORE = ["router-before-example-com"]
AFTER = ["router-after-example-com"]


class Pair:
    """Two Traefiks: one in question, and one that watches a file of its own as it should."""

    def __init__(self, stack: ExitStack, folder: Path, output: str, provider: Settings) -> None:
        hosts = {"_web_http_80._tcp.before.example.com": "127.0.0.1"}
        files = {
            key: value if isinstance(value, bool) else str(folder / "questioned" / value)
            for key, value in provider.items()
        }
        (folder / "questioned" / "below").mkdir(parents=True)
        web: dict[str, Any] = {"entryPoints": {"web": {}}}
        providers = {"providers": {"file": files} if files else {}}
        self.questioned, self.control = (
            CheckedTraefik(folder / "questioned", {**web, **providers}, hosts, output),
            CheckedTraefik(folder / "control", web, hosts),
        )
        stack.enter_context(self.questioned)
        stack.enter_context(self.control)
        self.control.until_routed()

    def change(self) -> None:
        """Change both files by renaming, as watch does, and wait until the second one is read."""
        for traefik in (self.questioned, self.control):
            changed = traefik.output.read_text().replace("before", "after")
            new = traefik.output.with_name(".new")
            new.write_text(changed)
            new.replace(traefik.output)
        until(lambda: list(self.control.routers()) == AFTER, "the change is not seen")


without_json = pytest.mark.skipif(
    traefik_version() < (3, 7), reason="Traefik refuses the ending .json since 3.7"
)
with_json = pytest.mark.skipif(
    traefik_version() >= (3, 7), reason="Traefik took the ending .json before 3.7"
)


@pytest.mark.parametrize(
    ("output", "provider"),
    [
        pytest.param("d.json", {"filename": "d.json"}, id="json", marks=with_json),
        pytest.param("d.yml", {"filename": "d.yml"}, id="file"),
        pytest.param("d.YAML", {"filename": "below/../d.YAML"}, id="other-spelling"),
        pytest.param("below/d.yml", {"directory": "below"}, id="directory"),
    ],
)
def test_dynamic_file_watched(
    tmp_path: Path, stack: ExitStack, output: str, provider: Settings
) -> None:
    """A file that the provider names, or whose folder it names, is read again when it changes."""
    pair = Pair(stack, tmp_path, output, provider)
    pair.change()
    assert pair.questioned.codes == []
    until(lambda: list(pair.questioned.routers()) == AFTER, "the change is not seen")


@pytest.mark.parametrize(
    ("output", "provider", "setting", "seen"),
    [
        pytest.param("d.yml", {}, "providers.file", [], id="no-provider"),
        pytest.param("d.yml", {"watch": True}, "providers.file", [], id="no-file"),
        pytest.param("d.yml", {"filename": "x.yml"}, "providers.file.filename", [], id="other"),
        pytest.param(
            "d.yml",
            {"filename": "d.yml", "directory": "below"},
            "providers.file.directory",
            [],
            id="directory-wins",
        ),
        pytest.param(
            "below/d.yml", {"directory": "."}, "providers.file.directory", BEFORE, id="folder-below"
        ),
        pytest.param(
            "d.yml",
            {"filename": "d.yml", "watch": False},
            "providers.file.watch",
            BEFORE,
            id="once",
        ),
        pytest.param(
            "d.json", {"filename": "d.json"}, "providers.file", [], id="json", marks=without_json
        ),
        pytest.param("below/d.json", {"directory": "below"}, "providers.file", [], id="json-in-it"),
        pytest.param("d.toml", {"filename": "d.toml"}, "providers.file", [], id="toml"),
        pytest.param("d.conf", {"directory": "."}, "providers.file", [], id="other-ending"),
    ],
)
def test_dynamic_file_not_watched(
    tmp_path: Path,
    stack: ExitStack,
    output: str,
    provider: Settings,
    setting: str,
    seen: list[str],
) -> None:
    """A change that another Traefik has seen meanwhile is not seen, or the file not read at all."""
    pair = Pair(stack, tmp_path, output, provider)
    until(lambda: list(pair.questioned.routers()) == seen, f"not {seen} at first")
    pair.change()
    (problem,) = pair.questioned.diagnostics
    assert (problem.code, problem.setting) == ("dynamic-file-not-watched", setting)
    assert list(pair.questioned.routers()) == seen


@pytest.mark.parametrize(
    ("api", "answer"),
    [
        pytest.param({"insecure": True}, 200, id="insecure"),
        pytest.param({"insecure": False}, 404, id="secure"),
    ],
)
def test_insecure_api_asks_for_no_password(
    tmp_path: Path, stack: ExitStack, api: Settings, answer: int
) -> None:
    """The entrypoint "traefik" shows the API and the dashboard to anybody, if it is insecure."""
    settings = {"api": api, "ping": {}, "entryPoints": {"web": {}}}
    traefik = stack.enter_context(Pinged(tmp_path, settings, {}))
    for path in ("/api/rawdata", "/dashboard/"):
        assert traefik.get("traefik", "anybody.example.com", path).status == answer


class Pinged(CheckedTraefik):
    """Traefik that is there when it answers a ping, since its API may not."""

    def get(self, entrypoint: str, host: str, path: str = "/", **options: Any) -> Answer:
        """Ask for a ping in place of the API's version."""
        return super().get(entrypoint, host, path.replace("/api/version", "/ping"), **options)


def test_loopback_address_is_reached_by_itself_alone(tmp_path: Path) -> None:
    """An entrypoint listens on its address and no other: on the IPv6 loopback, not the IPv4 one."""
    (port,) = free_ports(1)
    static = {"api": {"insecure": True}, "entryPoints": {"traefik": {"address": f"[::1]:{port}"}}}
    configuration = tmp_path / "traefik.yml"
    configuration.write_text(json.dumps(static))
    assert tuple(check_static(read_static(configuration.read_text(), "yaml"), None, (3, 7))) == ()
    with subprocess.Popen([find_traefik(), f"--configFile={configuration}"]) as process:
        try:
            until(lambda: is_reached("::1", port), "no Traefik")
            assert not is_reached("127.0.0.1", port)
        finally:
            process.kill()


def test_date_in_no_calendar_is_taken(tmp_path: Path) -> None:
    """Traefik starts with what only looks like a date, and so it is read here."""
    (port,) = free_ports(1)
    configuration = tmp_path / "traefik.yml"
    address = f"{{web: {{address: '127.0.0.1:{port}'}}}}"
    configuration.write_text(f"x-since: 2020-13-45\nentryPoints: {address}")
    assert list(read_static(configuration.read_text(), "yaml").entrypoints) == ["web"]
    with subprocess.Popen([find_traefik(), f"--configFile={configuration}"]) as process:
        try:
            until(lambda: is_reached("127.0.0.1", port), "no Traefik")
        finally:
            process.kill()


@pytest.mark.parametrize("settings", ["entryPoints: {'': {}}", "a: \a", "a: 1\na: 2"])
def test_static_configuration_that_traefik_refuses(tmp_path: Path, settings: str) -> None:
    """Traefik does not start with an empty name, a control character, or a key that is doubled."""
    configuration = tmp_path / "traefik.yml"
    configuration.write_text(settings)
    with pytest.raises(LocatedError):
        read_static(settings, "yaml")
    command = [find_traefik(), f"--configFile={configuration}"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("entrypoints", "settings"),
    [
        ("{web: {address: '80'}}", ["web.address"]),
        ("{web: {address: ':70000'}}", ["web.address"]),
        ("{web: {address: '*:80'}}", ["web.address"]),
        ("{web: {address: ':80-85'}}", ["web.address"]),
        ("{web: {address: ':${WEB_PORT}'}}", ["web.address"]),
        ("{web: {address: ':PORT '}}", ["web.address"]),
        ("""{web: {address: '"127.0.0.1:PORT"'}}""", ["web.address"]),
        ("{dns: {address: ':PORT/sctp'}}", ["dns.address"]),
        ("{a: {address: '127.0.0.1:PORT'}, b: {address: 'localhost:PORT'}}", ["b.address"]),
        ("{a: {address: '[::1]:PORT'}, b: {address: '0.0.0.0:PORT'}}", ["b.address"]),
        (
            "{a: {address: '127.0.0.1:PORT/udp'}, b: {address: '127.0.0.1:PORT', http3: {}}}",
            ["b.address"],
        ),
        (
            "{a: {address: '127.0.0.1:PORT', forwardedHeaders: {trustedIPs: [cloudflare]}}}",
            ["a.forwardedHeaders.trustedIPs"],
        ),
        ("{a: {address: '127.0.0.1:PORT', proxyProtocol: {}}}", ["a.proxyProtocol"]),
        (
            "{a: {address: '127.0.0.1:PORT', proxyProtocol: {trustedIPs: []}}}",
            ["a.proxyProtocol"],
        ),
        (
            "{a: {address: '127.0.0.1:PORT', proxyProtocol: {trustedIPs: [10.0.0.0/255.0.0.0]}}}",
            ["a.proxyProtocol.trustedIPs"],
        ),
        (
            """{
              web: {address: '127.0.0.1:PORT', forwardedHeaders: {trustedIPs: '10.0.0.1, ::1/64'},
                proxyProtocol: {insecure: true, trustedIPs: [any]}},
              dns: {address: '127.0.0.1:PORT/udp', proxyProtocol: {},
                forwardedHeaders: {trustedIPs: [any]}},
              a: {address: '127.0.0.2:PORT'}, b: {address: '[::1]:PORT', reusePort: true},
              c: {address: '[::1]:PORT', reusePort: true}, d: {address: '[::1%lo]:5'}}""",
            [],
        ),
    ],
)
def test_entrypoints_with_which_a_start_fails(
    tmp_path: Path, entrypoints: str, settings: list[str]
) -> None:
    """Traefik, whose healthcheck passes all of these, starts with what is not reported alone."""
    (port,) = free_ports(1)
    file = tmp_path / "traefik.yml"
    file.write_text(f"entryPoints: {entrypoints.replace('PORT', str(port))}")
    found = list(check_static(read_static(file.read_text(), "yaml"), None, traefik_version()))
    assert [each.setting for each in found] == [f"entryPoints.{each}" for each in settings]
    with subprocess.Popen([find_traefik(), f"--configFile={file}"]) as process:
        try:
            until(lambda: process.poll() or is_answered("127.0.0.1", port), "neither")
        finally:
            process.kill()
    assert (process.returncode == 1) is bool(found)


def test_challenge_on_an_unknown_entrypoint(tmp_path: Path) -> None:
    """Traefik serves no challenges of a resolver that names an entrypoint in another case."""
    (port,) = free_ports(1)
    acme = {"storage": str(tmp_path / "acme.json"), "httpChallenge": {"entryPoint": "Web"}}
    settings = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "certificatesResolvers": {"le": {"acme": acme}},
    }
    text = json.dumps(settings)
    (found,) = check_static(read_static(text, "yaml"), None, traefik_version())
    assert found.code == "unknown-entrypoint"
    assert found.setting == "certificatesResolvers.le.acme.httpChallenge.entryPoint"
    file, log = tmp_path / "traefik.yml", tmp_path / "log"
    file.write_text(text)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [find_traefik(), f"--configFile={file}"], stdout=output, stderr=output
        ) as process,
    ):
        try:
            until(lambda: "EntryPoint doesn't exist" in log.read_text(), "it exists")
        finally:
            process.kill()


def is_answered(address: str, port: int) -> bool:
    """Return whether HTTP is served, as it is once all entrypoints are built."""
    with closing(HTTPConnection(address, port, timeout=1)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == HTTPStatus.NOT_FOUND
        except OSError:
            return False


def is_reached(address: str, port: int) -> bool:
    """Return whether something accepts connections."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


LISTENERS = """
import subprocess, sys, time
from pathlib import Path

process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
for _ in range(500):
    lines = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = sorted({local for _, local, _, state, *_ in lines if state == "0A"})
    if len(listening) == 2:
        break
    time.sleep(0.02)
process.kill()
for local in listening:
    address, _, port = local.partition(":")
    print("every" if not int(address, 16) else address, int(port, 16))
"""

LOWEST_OF_THE_SYSTEM = 1024
"""The lowest port that a system can be set to choose by itself."""

APART = ("unshare", "--user", "--map-root-user", "--net")
"""Start a command in a network of its own, which no other machine reaches."""


def can_be_apart() -> bool:
    """Return whether this system has such networks and lets this user have one."""
    if not shutil.which(APART[0]):
        return False
    return not subprocess.run([*APART, "true"], capture_output=True, check=False).returncode


@pytest.mark.skipif(not can_be_apart(), reason="no network namespaces")
@pytest.mark.parametrize(
    ("address", "setting"),
    [("asDefault: true", "web"), ("address: ':'", "web.address"), ("address: /tcp", "web.address")],
)
def test_entrypoint_without_a_port(tmp_path: Path, address: str, setting: str) -> None:
    """Traefik starts, and listens on a port of every address that the system chooses."""
    configuration = tmp_path / "traefik.yml"
    configuration.write_text(f"entryPoints: {{web: {{{address}}}, other: {{address: ':1'}}}}")
    static = read_static(configuration.read_text(), "yaml")
    (found,) = check_static(static, None, traefik_version())
    assert (found.code, found.setting) == ("random-port", f"entryPoints.{setting}")
    traefik = (find_traefik(), f"--configFile={configuration}")
    command = [*APART, sys.executable, "-c", LISTENERS, *traefik]
    listening = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    other, web = sorted(listening.stdout.splitlines(), key=len)
    assert other == "every 1"
    assert int(web.removeprefix("every ")) >= LOWEST_OF_THE_SYSTEM


@pytest.mark.skipif(not can_be_apart(), reason="no network namespaces")
def test_default_entrypoints(tmp_path: Path) -> None:
    """Without entrypoints Traefik listens on port 80, and for the API on 8080 of every address."""
    configuration = tmp_path / "traefik.yml"
    configuration.write_text("api: {insecure: true}")
    static = read_static(configuration.read_text(), "yaml")
    assert static.entrypoints == {
        "http": Entrypoint("http", ":80"),
        "traefik": Entrypoint("traefik", ":8080"),
    }
    assert [each.code for each in check_static(static, None, (3, 7))] == ["dashboard-exposed"]
    traefik = (find_traefik(), f"--configFile={configuration}")
    command = [*APART, sys.executable, "-c", LISTENERS, *traefik]
    listening = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert listening.stdout == "every 80\nevery 8080\n"
