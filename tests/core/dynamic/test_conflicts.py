"""Entries that Traefik could not distinguish: which is served, and how the other is reported."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.access import read_access
from ctsdns_traefik.core.dynamic import render
from ctsdns_traefik.core.dynamic.routes import Plan, plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.problems import Diagnostic

ONE, TWO = "100.64.0.1", "100.64.0.2"

OTHER_BACKEND = "leads to another backend"
SAME_TLS = "needs the same TLS connections"


def plan(hosts: dict[str, str]) -> Plan:
    """Plan the routes of a hosts map in which nothing is refused."""
    read = read_hosts(hosts)
    assert read.diagnostics == ()
    return plan_routes(read.entries)


@pytest.mark.parametrize(
    ("served", "left_out", "why"),
    [
        pytest.param("_ws_http_80", "_ws_http_81", OTHER_BACKEND, id="http-on-two-ports"),
        pytest.param("_ws_http_80", "_ws_https_80", OTHER_BACKEND, id="http-and-https"),
        pytest.param("_ws_mysql_3306", "_ws_ssh_22", OTHER_BACKEND, id="two-tcp-protocols"),
        pytest.param("_ws_mysql_443", "_ws_tls_443", OTHER_BACKEND, id="tls-ended-or-passed-on"),
        pytest.param("_ws_http_80", "_ws_tls_443", SAME_TLS, id="passthrough-after-http"),
        pytest.param("_ws_TLS_443", "_ws_http_80", SAME_TLS, id="passthrough-before-http"),
        pytest.param("_ws_TLS_443", "_ws_https_443", SAME_TLS, id="passthrough-before-https"),
    ],
)
def test_conflict(served: str, left_out: str, why: str) -> None:
    """Of two entries that Traefik could not distinguish the first is served, the other reported."""
    first, second = (f"{prefix}._tcp.app.example.com" for prefix in (served, left_out))
    problem = Diagnostic(
        code="conflict",
        entry=second,
        message=f"{first} already serves app.example.com on entrypoint ws, and {second} {why}",
        hint="remove one of the two, or give it another entrypoint or domain",
        span=(0, len(second)),
        address=ONE,
    )
    planned = plan({second: ONE, first: ONE})
    assert ([route.entry.name for route in planned.routes], planned.diagnostics) == (
        [first],
        (problem,),
    )


def test_conflict_between_addresses() -> None:
    """Two spellings of one entry with different addresses are a conflict."""
    planned = plan({"_ws_http_080._tcp.app.de": ONE, "_ws_http_80._tcp.app.de": TWO})
    assert [(problem.entry, problem.address) for problem in planned.diagnostics] == [
        ("_ws_http_80._tcp.app.de", TWO)
    ]


@pytest.mark.parametrize(
    "prefixes",
    [
        pytest.param(["_web_http_80", "_ws_http_81"], id="two-entrypoints"),
        pytest.param(["_web_http_80", "_ws_tls_443"], id="passthrough-on-another-entrypoint"),
        pytest.param(["_ws_http_080", "_ws_http_80"], id="same-backend"),
        pytest.param(["_ws_mysql_80", "_ws_ssh_80"], id="same-backend-of-two-tcp-protocols"),
    ],
)
def test_no_conflict(prefixes: list[str]) -> None:
    """Entries that Traefik distinguishes, or that lead to one place, are all served."""
    names = [f"{prefix}._tcp.app.de" for prefix in prefixes]
    planned = plan(dict.fromkeys(names, ONE))
    assert ([route.entry.name for route in planned.routes], planned.diagnostics) == (names, ())


@pytest.mark.parametrize(
    ("prefixes", "left_out"),
    [
        pytest.param(
            ["_ws_http_080", "_ws_http_10", "_ws_http_80"], ["_ws_http_10"], id="same-as-the-first"
        ),
        pytest.param(
            ["_ws_http_80", "_ws_ssh_22", "_ws_tls_443"], ["_ws_tls_443"], id="conflicts-with-both"
        ),
        pytest.param(
            ["_ws_TLS_443", "_ws_http_80", "_ws_mysql_3306", "_ws_tls_443"],
            ["_ws_http_80", "_ws_mysql_3306"],
            id="passthrough-wins-over-all",
        ),
        pytest.param(
            ["_ws_HTTP_80", "_ws_TLS_443", "_ws_mysql_3306"],
            ["_ws_TLS_443"],
            id="free-of-what-was-left-out",
        ),
    ],
)
def test_left_out_entry_blocks_no_other(prefixes: list[str], left_out: list[str]) -> None:
    """Only entries that are served can conflict with later ones."""
    planned = plan({f"{prefix}._tcp.app.de": ONE for prefix in prefixes})
    assert [problem.entry for problem in planned.diagnostics] == [
        f"{prefix}._tcp.app.de" for prefix in left_out
    ]


@pytest.mark.parametrize(
    ("prefixes", "left_out"),
    [
        pytest.param(["_ws_http_80", "_ws_tls_443"], [], id="http-first"),
        pytest.param(["_ws_TLS_443", "_ws_http_80"], [], id="passthrough-first"),
        pytest.param(["_ws_http_80", "_ws_http_81"], ["_ws_http_81"], id="two-backends"),
        pytest.param(["_ws_mysql_80", "_ws_tls_443"], ["_ws_tls_443"], id="two-tcp-routes"),
        pytest.param(["_tcp_http_80", "_tcp_tls_443"], ["_tcp_tls_443"], id="another-entrypoint"),
    ],
)
def test_entrypoint_without_tls(prefixes: list[str], left_out: list[str]) -> None:
    """HTTP beside passthrough is no conflict on an entrypoint known to have no TLS, all else is."""
    names = [f"{prefix}._tcp.app.de" for prefix in prefixes]
    read = read_hosts(dict.fromkeys(names, ONE))
    planned = plan_routes(read.entries, without_tls={"ws"})
    assert [each.entry for each in planned.diagnostics] == [
        f"{each}._tcp.app.de" for each in left_out
    ]


def test_tls_from_the_access_file_leaves_the_passthrough_route_out() -> None:
    """An HTTP router with TLS of its own would take the connections: the other is not served."""
    access = read_access("routes: {app.de: {tls: true}}")
    names = {"_ws_http_80._tcp.app.de": ONE, "_ws_tls_443._tcp.app.de": ONE}
    rendering = render(names, access=access, without_tls={"ws"})
    assert [route.entry.name for route in rendering.routes] == [*names][:1]
    assert [each.code for each in rendering.diagnostics] == ["access-not-applicable"]
