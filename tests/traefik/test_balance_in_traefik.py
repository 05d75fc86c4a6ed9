"""Several machines for one name, and machines that are down, with the real Traefik."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from local import free_ports, until
from support.accessed import INTERNET, TAILNET, GuardedTraefik
from support.backends import banner_backend, http_backend, udp_backend
from support.checked import Settings
from support.traefik import Answer, traefik_version

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.served import Verdict, judge, kinds_of
from ctsdns_traefik.core.problems import LocatedError

HERE = "127.0.0.1"
CHECK = "healthCheck: {interval: 1s, timeout: 900ms}"
"""Often, and yet with time for an answer on a busy machine: an alarm would be a false one."""

needs_tcp_checks = pytest.mark.skipif(
    traefik_version() < (3, 6), reason="Traefik has health checks of TCP services since 3.6"
)


def start(
    stack: ExitStack, folder: Path, entrypoints: Settings, names: list[str], access: str
) -> GuardedTraefik:
    """Start a Traefik with routes to backends on this machine."""
    hosts = dict.fromkeys(names, HERE)
    settings = {"entryPoints": entrypoints}
    traefik = stack.enter_context(GuardedTraefik(folder, settings, hosts, access))
    until(lambda: verdict(traefik).good, "not all is served")
    return traefik


def listed(traefik: GuardedTraefik, kind: str) -> dict[str, dict[str, Any]]:
    """Return what Traefik's API lists of the dynamic file, by name."""
    items = json.loads(traefik.get("traefik", "localhost", f"/api/{kind}").body)
    return {each["name"].removesuffix("@file"): each for each in items}


def verdict(traefik: GuardedTraefik) -> Verdict:
    """Compare what Traefik serves with the document, as watch does."""
    document = traefik.rendering.document
    return judge(document, {kind: listed(traefik, kind) for kind in kinds_of(document, [])})


def states(traefik: GuardedTraefik, kind: str) -> list[str]:
    """Return the states of all servers of a kind's services, sorted."""
    found = listed(traefik, f"{kind}/services").values()
    return sorted(state for each in found for state in each.get("serverStatus", {}).values())


def heard(port: int) -> bytes:
    """Return what a silent client gets."""
    with suppress(OSError), socket.create_connection((HERE, port), timeout=30) as connection:
        return connection.recv(100)
    return b""


def ask(port: int) -> bytes:
    """Send one datagram from a port of its own, and return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(b"?", (HERE, port))
        return client.recv(100)


def test_dead_machine_costs_no_request(tmp_path: Path, stack: ExitStack) -> None:
    """Two machines share the requests; once one is found dead, the other has them all."""
    one = stack.enter_context(http_backend("one"))
    (dead,) = free_ports(1)
    names = [f"_web_http_{port}._tcp.app.de" for port in (one, dead)]
    with http_backend("two", port=dead):
        traefik = start(
            stack, tmp_path, {"web": {}}, names, f"routes: {{app.de: {{balance: true, {CHECK}}}}}"
        )
        assert traefik.diagnostics == ()
        bodies = {traefik.get("web", "app.de").body for _ in range(10)}
        assert bodies == {"one", "two"}
    until(lambda: states(traefik, "http") == ["DOWN", "UP"], "the death is not noticed")
    answers = {traefik.get("web", "app.de") for _ in range(20)}
    assert answers == {Answer(200, "one")}
    with http_backend("two", port=dead):
        until(lambda: states(traefik, "http") == ["UP", "UP"], "it is not taken back")
        assert {traefik.get("web", "app.de").body for _ in range(10)} == {"one", "two"}


def test_path_that_is_asked(tmp_path: Path, stack: ExitStack) -> None:
    """A machine that answers, but not well at the path, gets no requests either."""
    good = stack.enter_context(http_backend("good"))
    listener = stack.enter_context(banner_backend(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    names = [f"_web_http_{port}._tcp.app.de" for port in (good, listener)]
    access = f"routes: {{app.de: {{balance: true, {CHECK[:-1]}, path: /healthz}}}}}}"
    traefik = start(stack, tmp_path, {"web": {}}, names, access)
    until(lambda: states(traefik, "http") == ["DOWN", "UP"], "both are taken for good")
    assert {traefik.get("web", "app.de") for _ in range(10)} == {Answer(200, "good")}


@pytest.mark.parametrize("path", ["//healthz", "/%healthz"])
def test_path_that_is_no_path(tmp_path: Path, stack: ExitStack, path: str) -> None:
    """What an access file cannot have as a path makes Traefik take every machine for dead."""
    backend = stack.enter_context(http_backend("good"))
    access = f"routes: {{app.de: {{{CHECK[:-1]}, path: /healthz}}}}}}"
    with pytest.raises(LocatedError, match="is not the path of a URL"):
        read_access(access.replace("/healthz", path))
    traefik = start(stack, tmp_path, {"web": {}}, [f"_web_http_{backend}._tcp.app.de"], access)
    until(lambda: states(traefik, "http") == ["UP"], "it is dead")
    traefik.output.write_text(traefik.output.read_text().replace("/healthz", path))
    until(lambda: states(traefik, "http") == ["DOWN"], "it is asked")


def test_sticky_client_stays_with_its_machine(tmp_path: Path, stack: ExitStack) -> None:
    """With the cookie of the first answer every request goes to the same machine."""
    ports = [stack.enter_context(http_backend(name)) for name in ("one", "two")]
    names = [f"_web_http_{port}._tcp.app.de" for port in ports]
    access = "routes: {app.de: {balance: true, sticky: true}}"
    traefik = start(stack, tmp_path, {"web": {}}, names, access)
    assert {traefik.get("web", "app.de").body for _ in range(10)} == {"one", "two"}
    cookie, body = first_cookie(traefik.ports["web"])
    assert "HttpOnly" in cookie
    headers = {"Cookie": cookie.partition(";")[0]}
    assert {traefik.get("web", "app.de", headers=headers).body for _ in range(10)} == {body}


def first_cookie(port: int) -> tuple[str, str]:
    """Return the cookie that comes with an answer, and the answer's body."""
    with socket.create_connection((HERE, port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: app.de\r\n\r\n")
        head, _, body = connection.makefile("rb").read().decode().partition("\r\n\r\n")
    (cookie,) = [line for line in head.splitlines() if line.lower().startswith("set-cookie: ")]
    return cookie.partition(": ")[2], body


@needs_tcp_checks
def test_dead_tcp_machine(tmp_path: Path, stack: ExitStack) -> None:
    """TCP connections go to the machines that answer."""
    access = f"raw: {{ssh: {{balance: true, {CHECK}}}}}"
    one = stack.enter_context(banner_backend(b"one"))
    with ExitStack() as others:
        two = others.enter_context(banner_backend(b"two"))
        names = [f"_ssh_ssh_{port}._tcp.*" for port in (one, two)]
        traefik = start(stack, tmp_path, {"ssh": {}}, names, access)
        assert {heard(traefik.ports["ssh"]) for _ in range(10)} == {b"one", b"two"}
    until(lambda: states(traefik, "tcp") == ["DOWN", "UP"], "the death is not noticed")
    assert {heard(traefik.ports["ssh"]) for _ in range(10)} == {b"one"}


def test_udp_sessions_are_spread(tmp_path: Path, stack: ExitStack) -> None:
    """Each client's session goes to one of the machines."""
    ports = [stack.enter_context(udp_backend(name)) for name in (b"one", b"two")]
    names = [f"_dns_dns_{port}._udp.ns.de" for port in ports]
    access = "routes: {ns.de: {balance: true}}"
    traefik = start(stack, tmp_path, {"dns": {"address": "/udp"}}, names, access)
    assert {ask(traefik.ports["dns"]) for _ in range(6)} == {b"one?", b"two?"}


def test_raw_route_admits_the_tailnet_alone(tmp_path: Path, stack: ExitStack) -> None:
    """A raw route that is tailscale-only gives others no byte."""
    port = stack.enter_context(banner_backend(b"ssh"))
    names = [f"_ssh_ssh_{port}._tcp.*"]
    traefik = start(stack, tmp_path, {"ssh": {}}, names, "default: tailscale-only")
    found = {}
    for source in (INTERNET, TAILNET):
        with (
            suppress(OSError),
            socket.create_connection(
                (HERE, traefik.ports["ssh"]), timeout=30, source_address=(source, 0)
            ) as connection,
        ):
            found[source] = connection.recv(100)
    assert found.get(INTERNET, b"") == b""
    assert found[TAILNET] == b"ssh"
