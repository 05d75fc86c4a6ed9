"""Names of one letter beside a wildcard, whose rules are equally long."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts


def priorities(*names: str) -> list[int | None]:
    """Return the priorities of all routes, in the order of their entries' names."""
    hosts = dict.fromkeys(names, "100.64.0.1")
    return [route.priority for route in plan_routes(read_hosts(hosts).entries).routes]


@pytest.mark.parametrize(
    ("wildcard", "beside", "priority"),
    [
        pytest.param("_w_http_80._tcp.*.de", "_w_http_80._tcp.a.de", 13, id="http"),
        pytest.param("_w_http_80._tcp.*.de", "_w_https_80._tcp.1.de", 13, id="https-and-a-digit"),
        pytest.param("_w_ssh_22._tcp.*.de", "_w_tls_443._tcp.a.de", 16, id="tcp"),
        pytest.param("_w_http_80._tcp.*.a.de", "_w_http_80._tcp.b.a.de", 15, id="deeper"),
        pytest.param("_w_http_80._tcp.*.de", "_x_http_80._tcp.a.de", None, id="other-entrypoint"),
        pytest.param("_w_http_80._tcp.*.de", "_w_ssh_22._tcp.a.de", None, id="other-protocol"),
        pytest.param("_w_http_80._tcp.*.de", "_w_http_80._tcp.ab.de", None, id="two-letters"),
        pytest.param("_w_http_80._tcp.*.de", "_w_http_80._tcp.a.fr", None, id="other-parent"),
        pytest.param("_w_http_80._tcp.*.de", "_w_http_80._tcp.a.b.de", None, id="grandchild"),
    ],
)
def test_priority_beside_a_wildcard(wildcard: str, beside: str, priority: int | None) -> None:
    """Only a name whose rule is as long as the wildcard's is raised, to one above that length."""
    assert priorities(wildcard, beside) == [None, priority]


def test_wildcard_that_is_left_out_raises_nothing() -> None:
    """A wildcard that lost a conflict stands beside no name."""
    left_out = "_w_http_80._tcp.*.de"
    assert priorities("_w_TLS_1._tcp.*.de", left_out, "_w_http_80._tcp.a.de") == [None, None]


def test_name_alone_has_no_priority() -> None:
    """Without a wildcard a name of one letter is like any other."""
    assert priorities("_w_http_80._tcp.a.de", "_w_http_80._tcp.b.de") == [None, None]
