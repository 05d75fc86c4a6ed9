"""Why entries are refused: what the real Traefik does with the route that each would have become.

Entries without all their parts would become no route at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest
from local import until
from support.backends import banner_backend, http_backend
from support.traefik import Answer, Traefik, any_certificate

from ctsdns_traefik.core.dynamic.document import build_document
from ctsdns_traefik.core.dynamic.routes import Route, plan_routes
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host, read_hosts
from ctsdns_traefik.core.problems import Diagnostic

HERE = "127.0.0.1"
GOOD = HostEntry("_web_http_80._tcp.a.de", "web", "http", 80, "a.de", HERE)


@pytest.fixture
def web(stack: ExitStack) -> int:
    """Give the port of an HTTP backend."""
    return stack.enter_context(http_backend("web"))


def code_of(name: str, address: str = HERE) -> str:
    """Return the code with which the grammar refuses an entry."""
    refused = parse_host(name, address)
    assert isinstance(refused, tuple)
    assert isinstance(refused[0], Diagnostic)
    return refused[0].code


def route_of(entry: HostEntry) -> Route:
    """Return the route that an entry would have, which need not be one that the grammar reads."""
    (route,) = plan_routes([entry]).routes
    return route


def start(stack: ExitStack, folder: Path, routes: Iterable[Route]) -> Traefik:
    """Start Traefik with some routes, refused or not."""
    dynamic = folder / "dynamic.yml"
    document = {
        section: {part: dict(values) for part, values in parts.items()}
        for section, parts in build_document(routes).items()
    }
    dynamic.write_text(json.dumps(document, ensure_ascii=False))
    return stack.enter_context(Traefik(folder, dynamic))


@pytest.mark.parametrize(
    ("code", "name", "address", "entry", "error"),
    [
        pytest.param(
            "bad-domain",
            "_web_http_80._tcp.",
            HERE,
            GOOD._replace(domain=""),
            "empty args for matcher Host",
            id="no-domain",
        ),
        pytest.param(
            "bad-domain",
            "_web_http_80._tcp.\N{SNOWMAN}.de",
            HERE,
            GOOD._replace(domain="\N{SNOWMAN}.de"),
            "non-ASCII characters are not allowed",
            id="non-ascii-domain",
        ),
        pytest.param(
            "bad-domain",
            "_web_http_80._tcp.a`b.de",
            HERE,
            GOOD._replace(domain="a`b.de"),
            "error while parsing rule",
            id="backtick-in-domain",
        ),
        pytest.param(
            "bad-domain",
            "_tcp_ssh_22._tcp.a.*.de",
            HERE,
            GOOD._replace(entrypoint="tcp", scheme="ssh", domain="a.*.de"),
            "is not a valid hostname",
            id="wildcard-inside-a-domain",
        ),
        pytest.param(
            "bad-entrypoint",
            "__http_80._tcp.a.de",
            HERE,
            GOOD._replace(entrypoint=""),
            'entryPoint "" doesn\'t exist',
            id="no-entrypoint",
        ),
        pytest.param(
            "bad-entrypoint",
            "_web,tcp_http_80._tcp.a.de",
            HERE,
            GOOD._replace(entrypoint="web,tcp"),
            'entryPoint "web,tcp" doesn\'t exist',
            id="two-entrypoints",
        ),
        pytest.param(
            "bad-address",
            "_web_http_80._tcp.a.de",
            "fe80::1%eth0",
            GOOD._replace(address="fe80::1%eth0"),
            "invalid URL escape",
            id="scoped-address",
        ),
        pytest.param(
            "bad-port",
            "_web_http_-1._tcp.a.de",
            HERE,
            GOOD._replace(port=-1),
            "invalid port",
            id="negative-port",
        ),
    ],
)
def test_refused_by_traefik(
    tmp_path: Path,
    stack: ExitStack,
    code: str,
    name: str,
    address: str,
    entry: HostEntry,
    error: str,
) -> None:
    """Traefik would disable the router."""
    assert code_of(name, address) == code
    traefik = start(stack, tmp_path, [route_of(entry)])
    (router,) = until(traefik.routers, "no router").values()
    assert router["status"] == "disabled"
    assert error in " ".join(router["error"])


def test_template_in_a_domain(tmp_path: Path, stack: ExitStack, web: int) -> None:
    """Traefik would execute it, or refuse the whole file, other routes and all."""
    assert code_of("_web_http_80._tcp.{{b.de") == "bad-domain"
    good = GOOD._replace(port=web)
    traefik = start(stack, tmp_path, [route_of(good), route_of(GOOD._replace(domain="{{b.de"))])
    until(lambda: any("template: " in line for line in traefik.errors), "no complaint")
    assert traefik.routers() == {}


def test_at_sign_in_a_scheme(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik would take the rest of the service's name for a provider, and find no service."""
    assert code_of("_tcp_ssh@x_22._tcp.a.de") == "bad-scheme"
    traefik = start(stack, tmp_path, [route_of(GOOD._replace(entrypoint="tcp", scheme="ssh@x"))])
    until(lambda: any("does not exist" in line for line in traefik.errors), "no complaint")
    assert traefik.routers() == {}


@pytest.mark.parametrize("port", [0, 70_000])
def test_port_out_of_range(tmp_path: Path, stack: ExitStack, port: int) -> None:
    """Traefik would take it without complaint, and answer 502."""
    assert code_of(f"_web_http_{port}._tcp.a.de") == "bad-port"
    traefik = start(stack, tmp_path, [route_of(GOOD._replace(port=port))])
    until(traefik.routers, "no router")
    assert traefik.get("web", "a.de").status == 502


def test_network_for_an_address(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik would look it up as a name, and reach nothing."""
    assert code_of("_tcp_ssh_22._tcp.a.de", "127.0.0.0/8") == "bad-address"
    port = stack.enter_context(banner_backend(b"ssh"))
    entry = GOOD._replace(entrypoint="tcp", scheme="ssh", port=port, address="127.0.0.0/8")
    traefik = start(stack, tmp_path, [route_of(entry)])
    until(traefik.routers, "no router")
    assert heard(traefik, "tcp", "a.de") == b""
    until(lambda: any("127.0.0.0/8" in line for line in traefik.errors), "no complaint")


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_unspecified_address(tmp_path: Path, stack: ExitStack, web: int, address: str) -> None:
    """Traefik would serve its own machine to the world, which nobody named."""
    assert code_of("_web_http_80._tcp.a.de", address) == "bad-address"
    traefik = start(stack, tmp_path, [route_of(GOOD._replace(port=web, address=address))])
    until(traefik.routers, "no router")
    assert traefik.get("web", "a.de") == Answer(200, "web")


def test_wildcard_that_is_half_a_label(tmp_path: Path, stack: ExitStack, web: int) -> None:
    """Traefik would take it without complaint, and serve no name by it."""
    assert code_of("_web_http_80._tcp.*a.de") == "bad-domain"
    good = GOOD._replace(port=web, domain="ba.fr")
    traefik = start(stack, tmp_path, [route_of(good), route_of(GOOD._replace(domain="*a.de"))])
    until(lambda: traefik.get("web", "ba.fr") == Answer(200, "web"), "no route")
    assert traefik.get("web", "ba.de").status == 301  # what no route takes is redirected


@pytest.mark.parametrize(
    ("entrypoint", "schemes"),
    [
        pytest.param("websecure", ("http", "http"), id="http"),
        pytest.param("tcp", ("mysql", "ssh"), id="tcp"),
    ],
)
def test_conflict(
    tmp_path: Path, stack: ExitStack, entrypoint: str, schemes: tuple[str, str]
) -> None:
    """Of two routers with one rule Traefik serves one alone, and complains about neither."""
    backend = http_backend if schemes[0] == "http" else _banner
    ports = [stack.enter_context(backend(name)) for name in ("one", "two")]
    hosts = {
        f"_{entrypoint}_{scheme}_{port}._tcp.a.de": HERE
        for scheme, port in zip(schemes, ports, strict=True)
    }
    entries = read_hosts(hosts).entries
    assert [problem.code for problem in plan_routes(entries).diagnostics] == ["conflict"]
    routes = [route_of(entry) for entry in entries]
    both = [route._replace(router=f"router-{route.entry.port}") for route in routes]
    traefik = start(stack, tmp_path, both)
    until(lambda: len(traefik.routers()) == 2, "not both routers")
    assert {router["status"] for router in traefik.routers().values()} == {"enabled"}
    if schemes[0] == "http":
        logged = {
            traefik.get(entrypoint, "a.de", tls=any_certificate()).body.encode() for _ in range(20)
        }
    else:
        logged = {heard(traefik, entrypoint, "a.de") for _ in range(20)}
    assert logged in ({b"one"}, {b"two"})
    assert traefik.errors == []


def _banner(name: str) -> AbstractContextManager[int]:
    return banner_backend(name.encode())


def heard(traefik: Traefik, entrypoint: str, name: str) -> bytes:
    """Connect to a name with TLS and wait for a banner; empty if the connection is closed."""
    with suppress(OSError), traefik.connect_tls(entrypoint, name, any_certificate()) as connection:
        return connection.recv(4096)
    return b""
