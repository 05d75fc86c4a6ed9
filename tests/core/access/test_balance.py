"""Entries that share one service by the access file: their servers, health checks and cookies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.document import from_text
from ctsdns_traefik.core.dynamic.key_values import from_key_values, to_key_values
from ctsdns_traefik.core.dynamic.recovery import recover_routes
from ctsdns_traefik.core.dynamic.rendering import Rendering, render, render_routes
from ctsdns_traefik.core.problems import LocatedError

ONE, TWO, THREE = "100.64.0.1", "100.64.0.2", "fd7a:115c:a1e0::3"
APP = {
    "_web_http_80._tcp.app.b.de": ONE,
    "_web_http_8080._tcp.app.b.de": ONE,
    "_web_http_8080._tcp.app.b.de.": TWO,
    "_web_http_80._tcp.APP.b.de": ONE,  # the same backend once more
}
BACKENDS = [f"http://{ONE}:80", f"http://{ONE}:8080", f"http://{TWO}:8080"]
SERVICE = "service-app-b-de-http-80"


def rendered(access: str, hosts: dict[str, str]) -> Rendering:
    """Render hosts with an access file."""
    return render(hosts, access=read_access(access))


def service(rendering: Rendering, section: str = "http") -> dict[str, Any]:
    """Return what the only service of a section has, but for its servers as a list."""
    (found,) = rendering.document[section]["services"].values()
    balancer = dict(found["loadBalancer"])
    balancer["servers"] = [next(iter(each.values())) for each in balancer["servers"]]
    return balancer


def test_entries_of_one_name_share_a_service() -> None:
    """Each backend is a server, once, in the order of the entries; no entry is in conflict."""
    rendering = rendered("routes: {app.b.de: {balance: true}}", APP)
    assert list(rendering.document["http"]["routers"]) == ["router-app-b-de"]
    assert list(rendering.document["http"]["services"]) == [SERVICE]
    assert service(rendering) == {"servers": BACKENDS}
    assert rendering.diagnostics == ()
    assert len(rendering.entries) == len(APP)


@pytest.mark.parametrize(
    "access",
    [
        pytest.param("default: public", id="default"),
        pytest.param("routes: {app.b.de: {balance: false}}", id="false"),
        pytest.param("routes: {other.b.de: {balance: true}}", id="other-name"),
        pytest.param("routes: {'*.b.de': {balance: true}, app.b.de: {}}", id="wildcard"),
    ],
)
def test_without_balance_they_are_in_conflict(access: str) -> None:
    """The first is served alone, as without an access file."""
    rendering = rendered(access, APP)
    assert service(rendering) == {"servers": [BACKENDS[0]]}
    assert {each.code for each in rendering.diagnostics} == {"conflict"}
    assert rendering.text == render(APP).text


def test_balance_by_a_wildcard_pattern() -> None:
    """A pattern balances each name that it covers, by itself."""
    hosts = {**APP, "_web_http_80._tcp.b.b.de": ONE, "_web_http_80._tcp.b.b.de.": TWO}
    rendering = rendered("routes: {'*.b.de': {balance: true}}", hosts)
    servers = {
        name: len(each["loadBalancer"]["servers"])
        for name, each in rendering.document["http"]["services"].items()
    }
    assert servers == {SERVICE: 3, "service-b-b-de-http-80": 2}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("_web_http_80._tcp.a.de", "_web_https_443._tcp.a.de", id="scheme"),
        pytest.param("_tcp_ssh_22._tcp.a.de", "_tcp_mysql_3306._tcp.a.de", id="tcp-scheme"),
        pytest.param("_tcp_tls_443._tcp.a.de", "_tcp_ssh_22._tcp.a.de", id="passthrough"),
    ],
)
def test_entries_of_another_scheme_are_in_conflict(one: str, other: str) -> None:
    """Servers of one service speak one protocol."""
    rendering = rendered("routes: {a.de: {balance: true}}", {one: ONE, other: TWO})
    assert [each.entry for each in rendering.diagnostics] == [max(one, other)]


def test_entrypoints_have_services_of_their_own() -> None:
    """A name on two entrypoints has two services, each with the servers of its entrypoint."""
    hosts = {
        "_a_http_80._tcp.x.de": ONE,
        "_a_http_80._tcp.x.de.": TWO,
        "_b_http_80._tcp.x.de": ONE,
    }
    document = rendered("routes: {x.de: {balance: true}}", hosts).document["http"]
    servers = {
        router["entryPoints"][0]: len(
            document["services"][router["service"]]["loadBalancer"]["servers"]
        )
        for router in document["routers"].values()
    }
    assert servers == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("section", "pattern", "scheme", "transport", "domain"),
    [
        pytest.param("tcp", "routes: {a.de: ", "ssh", "tcp", "a.de", id="tcp"),
        pytest.param("tcp", "routes: {a.de: ", "tls", "tcp", "a.de", id="passthrough"),
        pytest.param("tcp", "raw: {e: ", "ssh", "tcp", "*", id="raw"),
        pytest.param("udp", "routes: {a.de: ", "dns", "udp", "a.de", id="udp"),
        pytest.param("udp", "raw: {e: ", "dns", "udp", "*", id="udp-without-a-name"),
    ],
)
def test_other_kinds_are_balanced(
    section: str, pattern: str, scheme: str, transport: str, domain: str
) -> None:
    """TCP, raw TCP and UDP entries share services as HTTP entries do."""
    hosts = {
        f"_e_{scheme}_{port}._{transport}.{domain}": address
        for port, address in ((53, ONE), (54, THREE))
    }
    rendering = rendered(f"{pattern}{{balance: true}}}}", hosts)
    assert service(rendering, section) == {"servers": [f"{ONE}:53", f"[{THREE}]:54"]}
    assert rendering.diagnostics == ()


@pytest.mark.parametrize(
    ("options", "written"),
    [
        pytest.param(
            "healthCheck: {path: /healthz, interval: 10s, timeout: 3s}",
            {"healthCheck": {"path": "/healthz", "interval": "10s", "timeout": "3s"}},
            id="all",
        ),
        pytest.param(
            "healthCheck: {interval: 10}",
            {"healthCheck": {"path": "/", "interval": "10s", "timeout": "5s"}},
            id="seconds",
        ),
        pytest.param(
            "healthCheck: {interval: 1m30s}",
            {"healthCheck": {"path": "/", "interval": "1m30s", "timeout": "5s"}},
            id="interval",
        ),
        pytest.param(
            "healthCheck: {interval: 500ms}",
            {"healthCheck": {"path": "/", "interval": "500ms", "timeout": "250ms"}},
            id="short-interval",
        ),
        pytest.param(
            "balance: true, sticky: true", {"sticky": {"cookie": {"httpOnly": True}}}, id="sticky"
        ),
    ],
)
def test_options_of_an_http_service(options: str, written: dict[str, Any]) -> None:
    """Health checks and cookies are written as Traefik has them."""
    rendering = rendered(f"routes: {{app.b.de: {{{options}}}}}", APP)
    assert {key: each for key, each in service(rendering).items() if key != "servers"} == written
    text = json.dumps(rendering.document, default=dict)
    assert from_key_values(to_key_values(rendering.document)) == json.loads(text)


def test_health_check_of_a_tcp_service() -> None:
    """TCP has no paths: a check connects."""
    hosts = {"_e_ssh_22._tcp.a.de": ONE}
    rendering = rendered("routes: {a.de: {healthCheck: {path: /x, interval: 9s}}}", hosts)
    assert service(rendering, "tcp")["healthCheck"] == {"interval": "9s", "timeout": "5s"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("_e_ssh_22._tcp.a.de", "balance: true, sticky: true", id="tcp-cookie"),
        pytest.param("_e_dns_53._udp.a.de", "balance: true, sticky: true", id="udp-cookie"),
        pytest.param(
            "_e_dns_53._udp.a.de", "balance: true, healthCheck: {interval: 9s}", id="udp-check"
        ),
        pytest.param(
            "_e_tls_443._tcp.a.de",
            "balance: true, acmeChallenge: {entryPoint: web, port: 80}",
            id="challenge",
        ),
    ],
)
def test_what_a_kind_does_not_have_is_not_applicable(name: str, options: str) -> None:
    """A route that cannot be served as the access file has it is left out."""
    rendering = rendered(f"routes: {{a.de: {{{options}}}}}", {name: ONE, f"{name}.": TWO})
    assert [each.code for each in rendering.diagnostics] == ["access-not-applicable"]
    assert rendering.document == {}


def test_name_below_a_balanced_wildcard() -> None:
    """A name with other settings than the wildcard that serves it has a service of its own."""
    hosts = {"_web_http_80._tcp.*.b.de": ONE, "_web_http_80._tcp.*.b.de.": TWO}
    access = "routes: {'*.b.de': {balance: true, healthCheck: {interval: 9s}}, x.b.de: {}}"
    services = rendered(access, hosts).document["http"]["services"]
    assert {name: list(each["loadBalancer"]) for name, each in services.items()} == {
        "service-wildcard-b-de-http-80": ["servers", "healthCheck"],
        "service-wildcard-b-de-http-80~x.b.de": ["servers"],
    }


def test_checks_of_raw_entries_are_apart() -> None:
    """One machine behind two entrypoints has a health check on that of its setting alone."""
    hosts = {"_a_ssh_22._tcp.*": ONE, "_b_ssh_22._tcp.*": ONE}
    access = "raw: {a: {healthCheck: {interval: 9s}}}"
    services = rendered(access, hosts).document["tcp"]["services"]
    assert {name: "healthCheck" in each["loadBalancer"] for name, each in services.items()} == {
        "service-any-ssh-22": False,
        "service-any-ssh-22~a": True,
    }


def test_balanced_routes_are_read_back() -> None:
    """At a restart all servers are known again, and without balance the first alone."""
    access = "routes: {app.b.de: {balance: true, sticky: true, healthCheck: {interval: 9s}}}"
    standing = rendered(access, APP)
    found = recover_routes(from_text(standing.text))
    assert render_routes(found, access=read_access(access)).text == standing.text
    alone = render_routes(found, access=read_access("default: public"))
    assert service(alone) == {"servers": BACKENDS[:1]}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param("balance: 1", "balance is neither true nor false", id="balance"),
        pytest.param("sticky: true", "sticky has no effect without balance", id="sticky"),
        pytest.param("healthCheck: true", "healthCheck is not a map", id="no-map"),
        pytest.param("healthCheck: {}", "healthCheck is empty", id="empty"),
        pytest.param("healthCheck: {port: 1}", "healthCheck.port is not known", id="unknown"),
        pytest.param("healthCheck: {path: x}", "is not the path of a URL", id="path"),
        pytest.param("healthCheck: {path: '/a b'}", "is not the path of a URL", id="space"),
        pytest.param("healthCheck: {path: '/{{x'}", "cannot have", id="template"),
        pytest.param("healthCheck: {interval: true}", "interval is not text", id="flag"),
        pytest.param("healthCheck: {interval: -1}", "not a time such as", id="negative"),
        pytest.param("healthCheck: {path: //a/b}", "is not the path of a URL", id="host"),
        pytest.param("healthCheck: {path: /a%zz}", "is not the path of a URL", id="escape"),
        pytest.param("healthCheck: {path: 1}", "is not the path of a URL", id="path-of-digits"),
        pytest.param("healthCheck: {interval: '10'}", "not a time such as", id="no-unit"),
        pytest.param("healthCheck: {interval: 0s}", "not a time such as", id="zero"),
        pytest.param("healthCheck: {interval: 1.5s}", "not a time such as", id="fraction"),
        pytest.param(
            "healthCheck: {interval: 5s, timeout: 5s}", "not less than the interval", id="timeout"
        ),
        pytest.param("healthCheck: {timeout: 31s}", "not less than the interval", id="of-default"),
    ],
)
def test_bad_options(options: str, error: str) -> None:
    """What Traefik would refuse or change is an error of the access file, with its place."""
    with pytest.raises(LocatedError) as raised:
        read_access(f"routes:\n  a.de: {{{options}}}")
    assert error in str(raised.value)
    assert raised.value.location.line == 2


def test_proof_reaches_no_backend() -> None:
    """Health checks are left out where Traefik runs on routes only to judge them."""
    access = read_access(
        "{raw: {ssh: {healthCheck: {interval: 9s}}}, routes: {a.de: {healthCheck: {interval: 9s}}}}"
    ).self_contained()
    assert [each.health_check for each in (*access.raw.values(), *access.routes.values())] == [
        None,
        None,
    ]
