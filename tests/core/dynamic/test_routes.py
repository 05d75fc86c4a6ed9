"""Entries to routes: what each becomes, its names and sharing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import permutations

import pytest

from ctsdns_traefik.core.dynamic.routes import Plan, Route, plan_routes
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host, read_hosts

ONE, TWO = "100.64.0.1", "100.64.0.2"


def entry_of(name: str, address: str = ONE) -> HostEntry:
    """Read one entry that is known to be good."""
    entry = parse_host(name, address)
    assert isinstance(entry, HostEntry)
    return entry


def plan(hosts: dict[str, str]) -> Plan:
    """Plan the routes of a hosts map in which nothing is refused."""
    read = read_hosts(hosts)
    assert read.diagnostics == ()
    return plan_routes(read.entries)


def routers(names: Iterable[str]) -> dict[str, str]:
    """Return the router of each entry, all with one address."""
    return {route.entry.name: route.router for route in plan(dict.fromkeys(names, ONE)).routes}


def services(hosts: dict[str, str]) -> dict[str, str]:
    """Return the service of each entry."""
    return {route.entry.name: route.service for route in plan(hosts).routes}


def digest(name: str, digits: int) -> str:
    """Return the first hex digits of the SHA-256 of a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:digits]


HTTP_ENTRY = HostEntry(
    name="_web_http_3000._tcp.app.example.com",
    entrypoint="web",
    scheme="http",
    port=3000,
    domain="app.example.com",
    address=ONE,
)
HTTP = Route(
    entry=HTTP_ENTRY,
    protocol="http",
    rule="Host(`app.example.com`)",
    backend="http://100.64.0.1:3000",
    passthrough=False,
    router="router-app-example-com",
    service="service-app-example-com-http-3000",
    priority=None,
)


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(HTTP, id="http"),
        pytest.param(
            HTTP._replace(
                entry=HTTP_ENTRY._replace(scheme="https"),
                backend="https://100.64.0.1:3000",
                service="service-app-example-com-https-3000",
            ),
            id="https",
        ),
        pytest.param(
            HTTP._replace(
                entry=HTTP_ENTRY._replace(address="fd7a:115c:a1e0::1"),
                backend="http://[fd7a:115c:a1e0::1]:3000",
            ),
            id="http-to-ipv6",
        ),
        pytest.param(
            Route(
                entry=HTTP_ENTRY._replace(scheme="tls"),
                protocol="tcp",
                rule="HostSNI(`app.example.com`)",
                backend="100.64.0.1:3000",
                passthrough=True,
                router="router-app-example-com-tls",
                service="service-app-example-com-tls-3000",
                priority=None,
            ),
            id="tls",
        ),
        pytest.param(
            Route(
                entry=HTTP_ENTRY._replace(
                    scheme="mysql", domain="*.example.com", address="fd7a:115c:a1e0::1"
                ),
                protocol="tcp",
                rule="HostSNI(`*.example.com`)",
                backend="[fd7a:115c:a1e0::1]:3000",
                passthrough=False,
                router="router-wildcard-example-com-mysql",
                service="service-wildcard-example-com-mysql-3000",
                priority=None,
            ),
            id="another-protocol-to-ipv6-on-a-wildcard",
        ),
    ],
)
def test_route_of_a_single_entry(route: Route) -> None:
    """The scheme decides what an entry becomes; alone it gets the plain names."""
    assert plan_routes([route.entry]) == Plan((route,), ())


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(
            {
                "_web_http_80._tcp.a-b.example.com": "router-a-b-example-com",
                "_web_http_80._tcp.a.b.example.com": "router-a-b-example-com-web",
            },
            id="dot-and-hyphen",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.app.de": "router-app-de",
                "_websecure_http_80._tcp.app.de": "router-app-de-websecure",
            },
            id="two-entrypoints",
        ),
        pytest.param(
            {
                "_tcp_ssh_22._tcp.app.de": "router-app-de-ssh",
                "_tcp_ssh_22._tcp.wildcard.de": "router-wildcard-de-ssh",
                "_tls_ssh_22._tcp.*.de": "router-wildcard-de-ssh-tls",
            },
            id="wildcard-and-a-label-of-that-name",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.a-b-c.de": "router-a-b-c-de",
                "_web_http_80._tcp.a-b.c.de": "router-a-b-c-de-web",
                "_web_http_80._tcp.a.b-c.de": "router-a-b-c-de-web-http-80",
                "_web_http_80._tcp.a.b.c.de": "router-a-b-c-de-"
                + digest("_web_http_80._tcp.a.b.c.de", 8),
            },
            id="every-suffix-in-turn",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.app.de": "router-app-de",
                "_websecure_http_80._tcp.app.de": "router-app-de-websecure-http-80",
                "_x_http_80._tcp.app.de-websecure": "router-app-de-websecure",
            },
            id="longer-name-that-another-entry-wants",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.a-b-c.de": "router-a-b-c-de",
                "_web_http_80._tcp.a-b.c.de": "router-a-b-c-de-web",
                "_web_http_80._tcp.a.b-c.de": "router-a-b-c-de-web-http-80",
                "_web_http_80._tcp.a.b.c.de": "router-a-b-c-de-"
                + digest("_web_http_80._tcp.a.b.c.de", 9),
                f"_x_http_80._tcp.a.b.c.de-{digest('_web_http_80._tcp.a.b.c.de', 8)}": (
                    "router-a-b-c-de-" + digest("_web_http_80._tcp.a.b.c.de", 8)
                ),
            },
            id="digest-that-another-entry-wants",
        ),
        pytest.param(
            {
                "_tcp_mysql_3306._tcp.a": "router-a-mysql",
                "_web_http_80._tcp.a.mysql": "router-a-mysql",
                "_x_http_80._tcp.a.mysql": "router-a-mysql-x",
                "_x_mysql_3306._tcp.a": "router-a-mysql-x",
            },
            id="http-and-tcp-apart",
        ),
        pytest.param(
            {
                "_web_http_080._tcp.app.de": "router-app-de",
                "_web_http_80._tcp.app.de": "router-app-de-web",
            },
            id="same-entry-written-twice",
        ),
    ],
)
def test_router_names(expected: dict[str, str]) -> None:
    """The first in name order keeps a contested name; none takes one that another wants."""
    assert routers(expected) == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        pytest.param(
            {"_web_http_80._tcp.app.de": ONE, "_websecure_http_80._tcp.app.de": ONE},
            ["service-app-de-http-80", "service-app-de-http-80"],
            id="same-backend-is-shared",
        ),
        pytest.param(
            {"_web_http_80._tcp.a-b.de": ONE, "_web_http_80._tcp.a.b.de": ONE},
            ["service-a-b-de-http-80", "service-a-b-de-http-80"],
            id="same-backend-of-two-domains-is-shared",
        ),
        pytest.param(
            {"_web_http_80._tcp.app.de": ONE, "_websecure_http_80._tcp.app.de": TWO},
            ["service-app-de-http-80", "service-app-de-http-80-websecure"],
            id="another-backend-is-not",
        ),
        pytest.param(
            {"_web_http_80._tcp.app.de": ONE, "_websecure_http_81._tcp.app.de": ONE},
            ["service-app-de-http-80", "service-app-de-http-81"],
            id="another-port-is-another-name",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.a.b.de": ONE,
                "_ws_http_80._tcp.a-b.de": TWO,
                "_ws_http_80._tcp.a.b.de": TWO,
            },
            ["service-a-b-de-http-80", *["service-a-b-de-http-80-ws"] * 2],
            id="longer-name-is-shared-too",
        ),
        pytest.param(
            {
                "_web_http_80._tcp.a-b-c.de": "::1",
                "_web_http_80._tcp.a-b.c.de": "::2",
                "_web_http_80._tcp.a.b-c.de": "::3",
                "_web_http_80._tcp.a.b.c.de": "::4",
            },
            [
                "service-a-b-c-de-http-80",
                "service-a-b-c-de-http-80-web",
                "service-a-b-c-de-http-80-web-http-80",
                f"service-a-b-c-de-http-80-{digest('_web_http_80._tcp.a.b.c.de', 8)}",
            ],
            id="every-suffix-in-turn",
        ),
    ],
)
def test_service_names(hosts: dict[str, str], expected: list[str]) -> None:
    """Entries share a service if both its name and its backend are the same."""
    assert services(hosts) == dict(zip(hosts, expected, strict=True))


def test_order_of_entries_does_not_matter() -> None:
    """Every order of the same entries makes the same plan."""
    entries = [
        entry_of("_web_http_80._tcp.a-b.de", ONE),
        entry_of("_web_http_80._tcp.a.b.de", TWO),
        entry_of("_ws_http_80._tcp.a-b.de", TWO),
        entry_of("_ws_https_80._tcp.a-b.de", ONE),
        entry_of("_ws_tls_443._tcp.a-b.de", ONE),
    ]
    plans = {plan_routes(order) for order in permutations(entries)}
    assert plans == {plan_routes(entries)}
