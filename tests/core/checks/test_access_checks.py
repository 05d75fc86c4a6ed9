"""Checks of what an access file adds to the routes, without a Traefik."""

from __future__ import annotations

import json

import pytest

from ctsdns_traefik.core.access.model import AccessText
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.checks.access import check_access
from ctsdns_traefik.core.checks.validation import StaticText, check_policy
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy import SourceText, hosts_of_text
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


def codes(names: list[str], access: str, text: str, version: tuple[int, int]) -> list[str]:
    """Return the codes of what is found in entries with an access file, as validate finds them.

    The routes that it lists are those that watch and render-once make of the same entries.
    """
    hosts = dict.fromkeys(names, "100.64.0.1")
    policy = json.dumps({"hosts": hosts}).encode()
    checked = check_policy(
        hosts_of_text(policy),
        SourceText("policy", policy),
        StaticText("t.yml", text, read_static(text, "yaml") if text else None),
        AccessText("a.yml", access, read_access(access)),
        version=version,
    )
    known = read_access(access)._replace(release=version)
    assert checked.routes == render(hosts, access=known).routes
    return [f"{each.severity} {each.code}" for each in checked.diagnostics]


UDP = "_dns_dns_53._udp.ns.a.de"


@pytest.mark.parametrize(
    ("address", "access", "found"),
    [
        pytest.param("", "default: tailscale-only", ["error access-not-applicable"], id="unknown"),
        pytest.param(
            ":53/udp", "default: tailscale-only", ["error access-not-applicable"], id="everywhere"
        ),
        pytest.param(
            "100.64.0.9:53/udp",
            "default: tailscale-only",
            ["error udp-entrypoint-unlisted"],
            id="bound",
        ),
        pytest.param(
            "100.64.0.9:53/udp",
            "{tailnet: {entryPoints: [dns]}, default: tailscale-only}",
            [],
            id="bound-and-listed",
        ),
        pytest.param(
            "[fd7a:115c:a1e0::9]:53/udp",
            "{tailnet: {entryPoints: [dns]}, default: tailscale-only}",
            [],
            id="bound-by-ipv6",
        ),
        pytest.param(
            "192.168.0.9:53/udp",
            "{tailnet: {entryPoints: [dns]}, default: tailscale-only}",
            ["error udp-entrypoint-open"],
            id="listed-on-another-network",
        ),
        pytest.param(
            ":53/udp",
            "{tailnet: {entryPoints: [dns]}, default: tailscale-only}",
            ["error udp-entrypoint-open"],
            id="listed-everywhere",
        ),
        pytest.param(":53/udp", "default: public", [], id="public"),
        pytest.param(
            "100.64.0.9:53/udp",
            "{forwardAuth: {o: {address: 'http://a'}},"
            " default: {access: forward-auth, forwardAuth: o}}",
            ["error access-not-applicable"],
            id="forward-auth",
        ),
    ],
)
def test_udp_for_the_tailnet(address: str, access: str, found: list[str]) -> None:
    """Only an entrypoint that is bound to the tailnet makes a UDP entry tailscale-only."""
    text = f"entryPoints: {{dns: {{address: '{address}'}}}}" if address else ""
    assert codes([UDP], access, text, (3, 7)) == found


@pytest.mark.parametrize(
    ("version", "found"),
    [((3, 5), ["error health-check-unsupported"]), ((3, 6), []), ((3, 0), None)],
)
def test_release_of_health_checks(version: tuple[int, int], found: list[str] | None) -> None:
    """Traefik has health checks of HTTP services since 3.0, and of TCP services since 3.6."""
    access = "{default: public, routes: {a.de: {healthCheck: {interval: 9s}}}}"
    assert codes(["_w_http_80._tcp.a.de"], access, "", version) == []
    if found is not None:
        assert codes(["_w_ssh_22._tcp.a.de"], access, "", version) == found


OUTRANKED = ["error outranked-by-wildcard"]


@pytest.mark.parametrize(
    ("wildcard", "name", "found"),
    [
        pytest.param("priority: 100", "", OUTRANKED, id="higher"),
        pytest.param("priority: 15", "", OUTRANKED, id="equal"),
        pytest.param("priority: 14", "", [], id="lower"),
        pytest.param("", "priority: 1", OUTRANKED, id="name-lowered"),
        pytest.param("priority: 100", "priority: 101", [], id="name-above"),
        pytest.param("priority: 100", "tls: true", [], id="other-connections"),
    ],
)
def test_wildcard_above_a_name(wildcard: str, name: str, found: list[str]) -> None:
    """A wildcard whose priority is not below its name's takes the requests for it."""
    options = f'{{"*.b.de": {{access: public, {wildcard}}}, ab.b.de: {{access: public, {name}}}}}'
    names = ["_w_http_80._tcp.*.b.de", "_w_http_81._tcp.ab.b.de"]
    assert codes(names, f"routes: {options}", "", (3, 7)) == found


def test_unused_entrypoint_under_raw() -> None:
    """An entrypoint under raw that no entry without a name has is a warning, with the one meant."""
    access = "{default: public, raw: {shh: {access: public}}}"
    assert codes(["_ssh_ssh_22._tcp.*"], access, "", (3, 7)) == ["warning access-unused"]
    assert codes(["_shh_ssh_22._tcp.*"], access, "", (3, 7)) == []


@pytest.mark.parametrize(
    ("tls", "found"),
    [("", ["error dashboard-unreachable"]), (", http: {tls: {}}", ["warning raw-waits"])],
)
def test_dashboard_beside_a_raw_entry(tls: str, found: list[str]) -> None:
    """The dashboard without TLS is never reached beside an entry that takes all without."""
    access = "dashboard: {domain: t.de, entryPoint: ssh, access: tailscale-only}"
    text = f"{{api: {{}}, entryPoints: {{ssh: {{address: ':22'{tls}}}}}}}"
    assert codes(["_ssh_ssh_22._tcp.*"], access, text, (3, 7)) == found
