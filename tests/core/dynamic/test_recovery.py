"""A document that stands, read back: whose routes it has, and what has lost its protection."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.document import from_text
from ctsdns_traefik.core.dynamic.recovery import find_unprotected, recover_routes
from ctsdns_traefik.core.dynamic.rendering import render, render_routes

HOSTS = {
    "_web_https_8443._tcp.app.example.com": "fd7a:115c:a1e0::1",
    "_web_http_80._tcp.*.example.com": "100.64.0.1",
    "_web_http_80._tcp.a.example.com": "100.64.0.2",
    "_tcp_my-sql_3306._tcp.db.example.com": "100.64.0.3",
    "_tcp_tls_443._tcp.vm.example.com": "100.64.0.4",
}
WITHOUT_NAMES = {
    "_ssh_ssh_22._tcp.*": "100.64.0.5",
    "_games_tls_443._tcp.*": "100.64.0.5",
    "_wg_wireguard_51820._udp.*": "fd7a:115c:a1e0::1",
}
DEFINED = (
    "forwardAuth: {o: {address: 'http://a'}}\nclientAuth: {h: {caFiles: [ca.pem]}}\n"
    "tailnet: {ranges: [100.64.0.0/10]}\n"
)
APP, SERVICE = "router-app-example-com", "service-app-example-com-https-8443"


def test_entries_are_read_back() -> None:
    """Each route comes back with its entry, in the plainest spelling of its name."""
    hosts = {**HOSTS, **WITHOUT_NAMES}
    found = recover_routes(from_text(render(hosts).text))
    assert {route.entry.name: route.entry.address for route in found} == hosts
    assert render_routes(found).text == render(hosts).text


@pytest.mark.parametrize(
    "domain", ["ns.example.com", "ns-1.example.com", "any", f"{'a' * 60}.b.de"]
)
def test_udp_entries_are_read_back(domain: str) -> None:
    """A UDP route keeps its names and backend, though its domain is only a slug in them."""
    hosts = {
        f"_dns_dns_53._udp.{domain}": "100.64.0.6",
        f"_dns2_dns_53._udp.{domain}": "100.64.0.7",
    }
    found = recover_routes(from_text(render(hosts).text))
    assert render_routes(found).text == render(hosts).text


@pytest.mark.parametrize(
    ("access", "kept"),
    [
        pytest.param("{default: public}", True, id="all-public"),
        pytest.param("{default: tailscale-only}", False, id="default"),
        pytest.param(
            "{default: tailscale-only, routes: {ns-1.b.de: {access: public}}}", True, id="name"
        ),
        pytest.param("{routes: {ns-1.b.de: {access: tailscale-only}}}", False, id="closed-name"),
        pytest.param("{routes: {'*.b.de': {access: tailscale-only}}}", False, id="wildcard"),
        pytest.param(
            "{routes: {ns-1.b.de: {access: public}, ns.1.b.de: {access: tailscale-only}}}",
            False,
            id="in-doubt",
        ),
        pytest.param("{tailnet: {entryPoints: [dns]}, default: tailscale-only}", True, id="bound"),
    ],
)
def test_access_of_udp_routes_read_back(access: str, kept: bool) -> None:
    """Their access is that of the names with the same slug, in doubt the strictest."""
    standing = render({"_dns_dns_53._udp.ns-1.b.de": "100.64.0.6"})
    found = render_routes(recover_routes(standing.document), access=read_access(access))
    assert found.text == (standing.text if kept else "{}\n")


def change(path: str, value: object) -> Callable[[Any], None]:
    """Return what sets one value of the document."""

    def apply(document: Any) -> None:
        *parts, last = path.split("/")
        for part in parts:
            document = document[part]
        document[last] = value

    return apply


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(change(f"http/routers/{APP}/rule", "PathPrefix(`/`)"), id="rule"),
        pytest.param(change(f"http/routers/{APP}/rule", "Host(`a_b.de`)"), id="domain"),
        pytest.param(change(f"http/routers/{APP}/rule", 7), id="no-text"),
        pytest.param(change(f"http/routers/{APP}/entryPoints", ["web", "x"]), id="entrypoints"),
        pytest.param(change(f"http/routers/{APP}/entryPoints", "web"), id="no-list"),
        pytest.param(change(f"http/routers/{APP}/entryPoints", [["`"]]), id="entrypoint"),
        pytest.param(change(f"http/routers/{APP}/service", "api@internal"), id="internal"),
        pytest.param(change(f"http/services/{SERVICE}/loadBalancer/servers", []), id="no-server"),
        pytest.param(
            change(f"http/services/{SERVICE}/loadBalancer/servers", [{"url": "https://a:1"}]),
            id="address",
        ),
        pytest.param(change(f"http/services/{SERVICE}", {"weighted": {}}), id="other-service"),
        pytest.param(change("http/services", {}), id="no-services"),
    ],
)
def test_what_is_not_this_tools_is_left_out(disturb: Callable[[Any], None]) -> None:
    """A router that this tool would not have written is no route, and costs no other its place."""
    document = copy.deepcopy(from_text(render(HOSTS).text))
    disturb(document)
    names = {route.router for route in recover_routes(document)}
    assert APP not in names
    assert {"router-db-example-com-my-sql", "router-vm-example-com-tls"} <= names


def test_other_names_are_left_out() -> None:
    """A router of another name is no route, though all else is as this tool writes it."""
    document: Any = copy.deepcopy(from_text(render(HOSTS).text))
    document["http"]["routers"]["mine"] = document["http"]["routers"].pop(APP)
    assert len(recover_routes(document)) == len(HOSTS) - 1


ALL = ("router-a-example-com", APP, "router-db-example-com-my-sql", "router-vm-example-com-tls")


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        pytest.param("routes: {}", "default: tailscale-only", (), id="protected"),
        pytest.param(
            "default: tailscale-only",
            "routes: {}",
            (*ALL, "router-wildcard-example-com"),
            id="public",
        ),
        pytest.param(
            "default: tailscale-only",
            "default: tailscale-only\nroutes: {app.example.com: {access: public}}",
            (APP,),
            id="one-name",
        ),
        pytest.param(
            "routes: {'*.example.com': {access: tailscale-only}}",
            "routes: {'*.example.com': {access: tailscale-only}, x.example.com: {access: public}}",
            ("router-wildcard-example-com~x.example.com",),
            id="name-of-a-wildcard",
        ),
        pytest.param(
            "routes: {app.example.com: {access: tailscale-only}}",
            "routes: {app.example.com: {access: tailscale-bypass, forwardAuth: o}}",
            (),
            id="another-protection",
        ),
        pytest.param(
            "routes: {app.example.com: {access: tailscale-bypass, forwardAuth: o}}",
            "routes: {app.example.com: {access: public}}",
            (APP,),
            id="bypass",
        ),
        pytest.param(
            "routes: {app.example.com: {access: mtls-strict, clientAuth: h}}",
            "routes: {app.example.com: {access: public, middlewares: [m@file]}}",
            (APP,),
            id="certificates",
        ),
        pytest.param(
            "routes: {vm.example.com: {access: tailscale-only}}",
            "routes: {vm.example.com: {access: tailscale-only,"
            " acmeChallenge: {entryPoint: web, port: 80}}}",
            (),
            id="challenge",
        ),
    ],
)
def test_unprotected(before: str, after: str, names: tuple[str, ...]) -> None:
    """The routers are named of names that had a protection, and now anybody may reach."""
    documents = [
        from_text(render(HOSTS, access=read_access(DEFINED + text)).text)
        for text in (before, after)
    ]
    assert find_unprotected(documents[0], documents[1]) == names
