"""Raw TCP and UDP through the real Traefik, and what one entrypoint can hold of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from local import until
from support.backends import banner_backend, http_backend, udp_backend
from support.certificates import Authority
from support.checked import CheckedTraefik, Settings
from support.traefik import Answer, any_certificate

from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts

HERE = "127.0.0.1"
TLS: Settings = {"http": {"tls": {}}}
UDP: Settings = {"address": "/udp"}
SHORT = 0.5
"""Seconds to wait for what does not come."""


@pytest.fixture
def ssh(stack: ExitStack) -> int:
    """Give the port of a backend that speaks first."""
    return stack.enter_context(banner_backend(b"ssh"))


@pytest.fixture
def web(stack: ExitStack) -> int:
    """Give the port of an HTTP backend."""
    return stack.enter_context(http_backend("web"))


def start(
    stack: ExitStack, folder: Path, entrypoints: Settings, *names: str, address: str = HERE
) -> CheckedTraefik:
    """Start a Traefik with routes to backends on this machine."""
    hosts = dict.fromkeys(names, address)
    settings = {"entryPoints": entrypoints}
    traefik = stack.enter_context(CheckedTraefik(folder, settings, hosts))
    traefik.until_routed()
    return traefik


@contextmanager
def connection(port: int, first: bytes = b"") -> Iterator[socket.socket]:
    """Connect to a port, and send the first bytes if there are any."""
    with socket.create_connection((HERE, port), timeout=30) as connected:
        connected.sendall(first)
        yield connected


def banner(port: int, first: bytes = b"", wait: float = 30) -> bytes:
    """Return what comes to a client, silent or not; nothing within a time is empty."""
    with suppress(OSError), connection(port, first) as connected:
        connected.settimeout(wait)
        return connected.recv(100)
    return b""


def ask(port: int, data: bytes = b"?", wait: float = 30) -> bytes:
    """Send a datagram and return the answer, empty if none comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        client.sendto(data, (HERE, port))
        with suppress(OSError):
            return client.recv(65_536)
    return b""


def conflicts(*names: str) -> list[str]:
    """Return the entries that a conflict leaves out."""
    plan = plan_routes(read_hosts(dict.fromkeys(names, HERE)).entries)
    assert {each.code for each in plan.diagnostics} <= {"conflict"}
    return [each.entry for each in plan.diagnostics]


def test_raw_entry_takes_every_connection(tmp_path: Path, stack: ExitStack, ssh: int) -> None:
    """A silent client gets the server's banner at once, and what it sends arrives."""
    traefik = start(stack, tmp_path, {"ssh": {}}, f"_ssh_ssh_{ssh}._tcp.*")
    assert traefik.codes == []
    (router,) = traefik.routers().values()
    assert (router["status"], router["rule"]) == ("enabled", "HostSNI(`*`)")
    assert "tls" not in router
    with connection(traefik.ports["ssh"]) as connected:
        assert connected.recv(100) == b"ssh"
        connected.sendall(b"hello")
        assert connected.recv(100) == b"hello"
    assert banner(traefik.ports["ssh"], b"GET / HTTP/1.1\r\n\r\n").startswith(b"ssh")


def test_every_name_passes_through(tmp_path: Path, stack: ExitStack, authority: Authority) -> None:
    """Passthrough of * serves names that no entry has, with the certificate of the backend."""
    context = authority.server_context("a.example.com", "b.example.org")
    port = stack.enter_context(http_backend("games", tls=context))
    traefik = start(stack, tmp_path, {"games": {}}, f"_games_tls_{port}._tcp.*")
    assert traefik.codes == []
    trusting = authority.client_context()
    for name in ("a.example.com", "b.example.org"):
        assert traefik.get("games", name, tls=trusting) == Answer(200, "games")


def test_named_entries_beside_passthrough_of_all(
    tmp_path: Path, stack: ExitStack, authority: Authority, web: int, ssh: int
) -> None:
    """A name of its own, one letter long too, keeps its connections: HTTPS and TCP alike."""
    context = authority.server_context("other.example.com")
    other = stack.enter_context(http_backend("other", tls=context))
    names = [f"_ws_tls_{other}._tcp.*", f"_ws_http_{web}._tcp.app.de", f"_ws_ssh_{ssh}._tcp.a"]
    traefik = start(stack, tmp_path, {"ws": TLS}, *names)
    assert traefik.codes == []
    assert traefik.get("ws", "app.de", tls=any_certificate()) == Answer(200, "web")
    assert traefik.heard("ws", "a") == b"ssh"
    assert traefik.get("ws", "b", tls=any_certificate()) == Answer(200, "other")


def test_plain_http_beside_a_raw_entry(
    tmp_path: Path, stack: ExitStack, web: int, ssh: int
) -> None:
    """HTTP without TLS beside a raw entry is never reached, which is an error."""
    names = [f"_ep_ssh_{ssh}._tcp.*", f"_ep_http_{web}._tcp.app.de"]
    traefik = start(stack, tmp_path, {"ep": {}}, *names)
    assert traefik.codes == ["shadowed-by-raw"]
    request = b"GET / HTTP/1.1\r\nHost: app.de\r\n\r\n"
    assert banner(traefik.ports["ep"], request).startswith(b"ssh")


@pytest.mark.parametrize("kind", ["https", "passthrough", "tcp"])
def test_tls_beside_a_raw_entry(
    tmp_path: Path,
    stack: ExitStack,
    authority: Authority,
    web: int,
    ssh: int,
    kind: str,
) -> None:
    """A TLS route beside a raw entry works; a silent client waits, one that speaks does not."""
    context = authority.server_context("app.de")
    own = stack.enter_context(http_backend("own", tls=context))
    other = {
        "https": f"_ep_http_{web}._tcp.app.de",
        "passthrough": f"_ep_tls_{own}._tcp.*",
        "tcp": f"_ep_smtp_{ssh}._tcp.app.de",
    }[kind]
    traefik = start(stack, tmp_path, {"ep": TLS}, f"_ep_ssh_{ssh}._tcp.*", other)
    assert traefik.codes == ["raw-waits"]
    port = traefik.ports["ep"]
    assert banner(port, wait=SHORT) == b""
    assert banner(port, b"SSH-2.0-client\r\n").startswith(b"ssh")
    if kind == "tcp":
        assert traefik.heard("ep", "app.de") == b"ssh"
    else:
        answer = traefik.get("ep", "app.de", tls=any_certificate())
        assert answer == Answer(200, "web" if kind == "https" else "own")


def test_two_raw_entries_on_an_entrypoint(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik would enable both and serve one, so the second is a conflict."""
    ports = [stack.enter_context(banner_backend(name)) for name in (b"one", b"two")]
    names = [f"_ep_a_{ports[0]}._tcp.*", f"_ep_b_{ports[1]}._tcp.*"]
    traefik = start(stack, tmp_path, {"ep": {}}, *names)
    assert {each["status"] for each in traefik.routers().values()} == {"enabled"}
    received = {banner(traefik.ports["ep"]) for _ in range(5)}
    assert len(received) == 1
    assert conflicts(*names) == [names[1]]


def test_udp_entry(tmp_path: Path, stack: ExitStack) -> None:
    """Datagrams go to the backend and back, whatever the domain, of 1,400 bytes too."""
    port = stack.enter_context(udp_backend(b"ns:"))
    names = [f"_dns_dns_{port}._udp.ns.example.com", f"_wg_wg_{port}._udp.*"]
    traefik = start(stack, tmp_path, {"dns": UDP, "wg": UDP}, *names)
    assert traefik.codes == []
    assert [each["status"] for each in traefik.routers().values()] == ["enabled", "enabled"]
    for entrypoint in ("dns", "wg"):
        assert ask(traefik.ports[entrypoint]) == b"ns:?"
        data = bytes(range(200)) * 7
        assert ask(traefik.ports[entrypoint], data) == b"ns:" + data


def test_last_udp_route_stays_until_a_restart(tmp_path: Path, stack: ExitStack, ssh: int) -> None:
    """Traefik has withdrawn the router, and serves its backend all the same; raw TCP goes."""
    port = stack.enter_context(udp_backend(b"ns:"))
    names = [f"_dns_dns_{port}._udp.*", f"_ssh_ssh_{ssh}._tcp.*"]
    traefik = start(stack, tmp_path, {"dns": UDP, "ssh": {}}, *names)
    traefik.output.write_text("{}")
    until(lambda: not traefik.routers(), "the routers to go")
    until(lambda: banner(traefik.ports["ssh"], wait=SHORT) == b"", "raw TCP to go")
    assert ask(traefik.ports["dns"]) == b"ns:?"


def test_udp_session_outlives_its_timeout(tmp_path: Path, stack: ExitStack) -> None:
    """After a pause longer than udp.timeout the same client is answered again."""
    port = stack.enter_context(udp_backend(b"wg:"))
    settings = {"wg": {**UDP, "udp": {"timeout": "200ms"}}}
    traefik = start(stack, tmp_path, settings, f"_wg_wg_{port}._udp.*")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect((HERE, traefik.ports["wg"]))
        for number in (b"1", b"2"):
            client.send(number)
            assert client.recv(100) == b"wg:" + number
            with suppress(TimeoutError):  # what is waited for here is that nothing happens
                client.settimeout(1)
                client.recv(100)
            client.settimeout(30)


@pytest.mark.parametrize("same", [True, False], ids=["one-backend", "two-backends"])
def test_two_udp_entries_on_an_entrypoint(tmp_path: Path, stack: ExitStack, same: bool) -> None:
    """Traefik would enable both and serve the last by name, so the second is a conflict."""
    ports = [stack.enter_context(udp_backend(name)) for name in (b"a", b"b")]
    if same:
        ports[1] = ports[0]
    names = sorted([f"_ep_a_{ports[0]}._udp.a.de", f"_ep_b_{ports[1]}._udp.b.de"])
    traefik = start(stack, tmp_path, {"ep": UDP}, *names)
    assert {each["status"] for each in traefik.routers().values()} == {"enabled"}
    assert ask(traefik.ports["ep"]) == (b"a?" if same else b"b?")
    assert conflicts(*names) == [names[1]]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("_ep_dns_{}._udp.ns.de", {}, id="udp-on-tcp"),
        pytest.param("_ep_dns_{}._tcp.*", UDP, id="raw-on-udp"),
        pytest.param("_ep_dns_{}._tcp.ns.de", UDP, id="tcp-on-udp"),
    ],
)
def test_entry_on_an_entrypoint_of_the_other_protocol(
    tmp_path: Path, stack: ExitStack, name: str, settings: Settings, ssh: int
) -> None:
    """Traefik disables the router: for it the entrypoint does not exist."""
    traefik = start(stack, tmp_path, {"ep": settings}, name.format(ssh))
    assert traefik.codes == ["wrong-protocol-entrypoint"]
    (router,) = traefik.routers().values()
    assert router["status"] == "disabled"
    assert 'entryPoint "ep" doesn\'t exist' in router["error"]
