"""Checks of what an access file adds to the routes, without a Traefik."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.checks.access import check_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.static_config.configuration import read_static


@pytest.mark.parametrize(
    ("tls", "codes"),
    [
        pytest.param("{}", [], id="no-options"),
        pytest.param("{options: default}", [], id="default-options"),
        pytest.param("{options: mine@file}", ["entrypoint-tls-replaced"], id="other-options"),
    ],
)
def test_tls_of_a_router_replaces_other_options_than_the_default(
    tls: str, codes: list[str]
) -> None:
    """A router with its own TLS section has the default options: only others are replaced."""
    access = read_access("routes: {a.de: {tls: true}}")
    static = read_static(f"entryPoints: {{ws: {{http: {{tls: {tls}}}}}}}", "yaml")
    rendering = render({"_ws_http_80._tcp.a.de": "100.64.0.1"}, access=access)
    found = check_access(rendering.entries, rendering.routes, access, static)
    assert [each.code for each in found] == codes
