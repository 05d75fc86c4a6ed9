"""Routes and an access file to routers: what is served, how, and what is left out."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import FULL

from ctsdns_traefik.core.access.model import Access, RouteAccess
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.diff import compare, outline
from ctsdns_traefik.core.dynamic.document import Document, Format, from_text, to_text
from ctsdns_traefik.core.dynamic.recovery import recover_routes
from ctsdns_traefik.core.dynamic.rendering import Rendering, render, render_routes
from ctsdns_traefik.core.problems import LocatedError

DEFINED = """\
tailnet: {ranges: [100.64.0.0/10]}
forwardAuth: {oidc: {address: "http://127.0.0.1:4181"}}
clientAuth: {home: {caFiles: [ca.pem]}, other: {caFiles: [a.pem, b.pem]}}
"""
BYPASS = "{access: tailscale-bypass, forwardAuth: oidc}"
FORWARD = "{access: forward-auth, forwardAuth: oidc}"
MTLS = "{access: mtls-strict, clientAuth: home}"


def rendered(routes: str, *names: str, more: str = "") -> Rendering:
    """Render entries with an access file."""
    access = read_access(f"{DEFINED}routes: {routes}\n{more}")
    return render(dict.fromkeys(names, "100.64.0.1"), access=access)


def routers(rendering: Rendering, section: str = "http") -> dict[str, Any]:
    """Return the routers of a section without what each has."""
    found = rendering.document.get(section, {}).get("routers", {})
    return {
        name: {key: value for key, value in router.items() if key not in ("service", "entryPoints")}
        for name, router in found.items()
    }


def codes(rendering: Rendering) -> list[tuple[str, str]]:
    """Return the entries that are left out, and why."""
    return [(problem.entry, problem.code) for problem in rendering.diagnostics]


RAW, ALL, UDP = "_e_ssh_22._tcp.*", "_e_tls_443._tcp.*", "_e_dns_53._udp.ns.b.de"


@pytest.mark.parametrize("name", [RAW, ALL])
def test_raw_route_for_the_tailnet(name: str) -> None:
    """A route without a name admits the tailnet alone, by the default or by its entrypoint."""
    for more in ("default: tailscale-only", "raw: {e: {access: tailscale-only}}"):
        rendering = rendered("{}", name, more=more)
        (router,) = routers(rendering, "tcp").values()
        assert (router["rule"], router["middlewares"]) == ("HostSNI(`*`)", ["access-tailnet"])
        assert rendering.document["tcp"]["middlewares"] == {
            "access-tailnet": {"ipAllowList": {"sourceRange": ["100.64.0.0/10"]}}
        }


def test_raw_settings_are_for_one_entrypoint() -> None:
    """An entrypoint under raw is opened, and no other, nor a name on it."""
    named = "_e_ssh_22._tcp.a.b.de"
    more = "default: tailscale-only\nraw: {e: {access: public}}"
    rendering = rendered("{}", RAW, "_f_ssh_22._tcp.*", named, more=more)
    found = {name: "middlewares" in each for name, each in routers(rendering, "tcp").items()}
    assert found == {
        "router-any-ssh": False,
        "router-any-ssh-f": True,
        "router-a-b-de-ssh": True,
    }


@pytest.mark.parametrize(
    ("routes", "more", "served"),
    [
        pytest.param("{a.de: {access: tailscale-only}}", "", False, id="name"),
        pytest.param(
            "{'*.a.de': {access: tailscale-only}}", "default: public", False, id="wildcard"
        ),
        pytest.param(f"{{a.de: {MTLS}}}", "default: tailscale-only", False, id="another"),
        pytest.param("{a.de: {access: public}}", "default: tailscale-only", True, id="opened"),
        pytest.param(
            "{a.de: {access: tailscale-only}}", "default: tailscale-only", True, id="same"
        ),
        pytest.param(
            "{a.de: {access: tailscale-only}}", "raw: {e: {access: public}}", True, id="wanted"
        ),
        pytest.param(
            "{a.de: {access: tailscale-only}}", "raw: {f: {access: public}}", False, id="elsewhere"
        ),
    ],
)
def test_passthrough_of_all_names(routes: str, more: str, served: bool) -> None:
    """It serves names with another access too: then raw has to say what holds for all of them."""
    rendering = rendered(routes, ALL, RAW, more=more)
    left_out = [] if served else [(ALL, "access-not-applicable")]
    assert codes(rendering) == left_out
    assert ("router-any-tls" in routers(rendering, "tcp")) == served
    assert "router-any-ssh" in routers(rendering, "tcp")


@pytest.mark.parametrize(
    "default",
    [FORWARD, BYPASS, MTLS, "{access: public, certResolver: le}", "{access: public, tls: true}"],
)
@pytest.mark.parametrize("name", [RAW, UDP])
def test_route_without_tls_or_requests_is_left_out(name: str, default: str) -> None:
    """Where a raw or UDP route cannot have what the access file asks for, there is no route."""
    rendering = rendered("{}", name, more=f"default: {default}")
    assert (codes(rendering), rendering.document) == ([(name, "access-not-applicable")], {})


@pytest.mark.parametrize(
    ("more", "served"),
    [
        pytest.param("", True, id="no-access"),
        pytest.param("default: public", True, id="public"),
        pytest.param("default: tailscale-only", False, id="tailscale-only"),
        pytest.param("default: {access: public, tls: false}", True, id="no-tls"),
        pytest.param("default: {access: public, middlewares: [x]}", False, id="middlewares"),
    ],
)
def test_udp_route(more: str, served: bool) -> None:
    """Nothing restricts a UDP route, so that it is served if it is public, and else left out."""
    rendering = rendered("{}", UDP, more=more)
    assert ("udp" in rendering.document, rendering.diagnostics == ()) == (served, served)
    if served:
        assert routers(rendering, "udp") == {"router-ns-b-de-dns": {}}


def test_udp_route_on_an_entrypoint_of_the_tailnet() -> None:
    """An entrypoint that only the tailnet reaches restricts a UDP route, to the tailnet alone."""
    for mode, served in (("tailscale-only", True), (FORWARD, False)):
        text = f"{DEFINED.replace('tailnet: {', 'tailnet: {entryPoints: [e], ')}default: {mode}"
        rendering = render({UDP: "100.64.0.1"}, access=read_access(text))
        assert ("udp" in rendering.document) == served


HTTP, SSH, TLS = "_w_http_80._tcp.a.b.de", "_w_ssh_22._tcp.a.b.de", "_w_tls_443._tcp.a.b.de"
HTTP_RULE, TCP_RULE = "Host(`a.b.de`)", "HostSNI(`a.b.de`)"


@pytest.mark.parametrize(
    ("options", "router"),
    [
        pytest.param("{}", {}, id="nothing"),
        pytest.param("{access: public}", {}, id="public"),
        pytest.param(
            "{access: tailscale-only, middlewares: [x@file, y]}",
            {"middlewares": ["access-tailnet", "x@file", "y"]},
            id="tailscale-only-and-middlewares",
        ),
        pytest.param(FORWARD, {"middlewares": ["access-forward-auth-oidc"]}, id="forward-auth"),
        pytest.param(MTLS, {"tls": {"options": "access-client-auth-home"}}, id="mtls-strict"),
        pytest.param(
            f"{MTLS[:-1]}, certResolver: le}}",
            {"tls": {"certResolver": "le", "options": "access-client-auth-home"}},
            id="mtls-strict-with-a-resolver",
        ),
        pytest.param("{tls: true}", {"tls": {"options": "default"}}, id="tls"),
        pytest.param("{tls: false}", {}, id="no-tls"),
        pytest.param("{certResolver: le}", {"tls": {"certResolver": "le"}}, id="resolver"),
        pytest.param("{priority: 7}", {"priority": 7}, id="priority"),
        pytest.param("{backend: {serverName: x.de}}", {}, id="backend-of-no-https"),
        pytest.param("{acmeChallenge: {entryPoint: web, port: 80}}", {}, id="challenge-of-no-tls"),
    ],
)
def test_http_route(options: str, router: dict[str, Any]) -> None:
    """Each option becomes what Traefik has for it, and nothing else."""
    rendering = rendered(f"{{a.b.de: {options}}}", HTTP)
    assert routers(rendering) == {"router-a-b-de": {"rule": HTTP_RULE, **router}}
    assert rendering.diagnostics == ()


@pytest.mark.parametrize(
    ("options", "name", "router"),
    [
        pytest.param("{}", SSH, {"tls": {"passthrough": False}}, id="nothing"),
        pytest.param(
            "{access: tailscale-only}",
            TLS,
            {"middlewares": ["access-tailnet"], "tls": {"passthrough": True}},
            id="tailscale-only-with-passthrough",
        ),
        pytest.param(
            f"{MTLS[:-1]}, tls: true, certResolver: le}}",
            SSH,
            {
                "tls": {
                    "passthrough": False,
                    "certResolver": "le",
                    "options": "access-client-auth-home",
                }
            },
            id="mtls-strict",
        ),
        pytest.param("{tls: true}", SSH, {"tls": {"passthrough": False}}, id="tls"),
    ],
)
def test_tcp_route(options: str, name: str, router: dict[str, Any]) -> None:
    """TCP has what of it there is for TCP."""
    rendering = rendered(f"{{a.b.de: {options}}}", name)
    (found,) = routers(rendering, "tcp").values()
    assert (found, rendering.diagnostics) == ({"rule": TCP_RULE, **router}, ())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param(BYPASS, SSH, id="bypass-of-tcp"),
        pytest.param(FORWARD, SSH, id="forward-auth-of-tcp"),
        pytest.param(FORWARD, TLS, id="forward-auth-of-passthrough"),
        pytest.param(MTLS, TLS, id="mtls-of-passthrough"),
        pytest.param("{access: tailscale-only, tls: false}", SSH, id="tcp-without-tls"),
        pytest.param("{certResolver: le}", TLS, id="resolver-of-passthrough"),
        pytest.param("{tls: true}", TLS, id="tls-of-passthrough"),
    ],
)
def test_route_that_cannot_be_is_left_out(options: str, name: str) -> None:
    """What is set for a route holds, or the route is not served, and reported."""
    rendering = rendered(f"{{a.b.de: {options}}}", name, "_w_http_80._tcp.x.de")
    assert codes(rendering) == [(name, "access-not-applicable")]
    assert list(routers(rendering)) == ["router-x-de"]
    assert routers(rendering, "tcp") == {}


def test_bypass() -> None:
    """Two routers, the one for the tailnet above the other, and one service."""
    rendering = rendered(f"{{a.b.de: {BYPASS}}}", HTTP)
    assert rendering.document["http"]["routers"] == {
        "router-a-b-de": {
            "rule": HTTP_RULE,
            "service": "service-a-b-de-http-80",
            "entryPoints": ["w"],
            "middlewares": ["access-forward-auth-oidc"],
        },
        "router-a-b-de~tailnet": {
            "rule": f"{HTTP_RULE} && (ClientIP(`100.64.0.0/10`))",
            "service": "service-a-b-de-http-80",
            "entryPoints": ["w"],
            "priority": 15,
        },
    }


def with_headers(options: str) -> str:
    """Return an access file whose auth server sets headers, and an entry's access by it."""
    server = f'{{address: "http://127.0.0.1:1", {options}}}'
    return f"forwardAuth: {{oidc: {server}}}\nroutes: {{a.b.de: {BYPASS[:-1]}, middlewares: [m]}}}}"


def test_bypass_of_an_auth_server_that_sets_headers() -> None:
    """The tailnet's router removes them, before anything else that may set them again."""
    access = read_access(with_headers("authResponseHeaders: [X-User, x-mail]"))
    http = render({HTTP: "100.64.0.1"}, access=access).document["http"]
    assert http["middlewares"]["access-drop-headers-oidc"] == {
        "headers": {"customRequestHeaders": {"X-User": "", "x-mail": ""}}
    }
    middlewares = [router["middlewares"] for router in http["routers"].values()]
    assert middlewares == [["access-forward-auth-oidc", "m"], ["access-drop-headers-oidc", "m"]]


def test_bypass_of_headers_that_cannot_be_removed() -> None:
    """A route is left out if clients could send what a pattern says the auth server sets."""
    text = with_headers('authResponseHeaders: [X-User], authResponseHeadersRegex: "^X-"')
    rendering = render({HTTP: "100.64.0.1"}, access=read_access(text))
    assert codes(rendering) == [(HTTP, "access-not-applicable")]
    assert rendering.document == {}
    text = text.replace("tailscale-bypass", "forward-auth")
    assert render({HTTP: "100.64.0.1"}, access=read_access(text)).diagnostics == ()


def test_references() -> None:
    """What routers and services refer to is defined, once, and nothing else is."""
    names = [HTTP, "_w_https_443._tcp.c.de", "_w_https_443._tcp.d.de", SSH]
    options = (
        "{a.b.de: {access: tailscale-only}, c.de: {access: mtls-strict, clientAuth: other,"
        " backend: {serverName: x.y}}, d.de: {backend: {insecureSkipVerify: true}}}"
    )
    document = dict(rendered(options, *names).document)
    allowed = {"access-tailnet": {"ipAllowList": {"sourceRange": ["100.64.0.0/10"]}}}
    assert document["http"]["middlewares"] == document["tcp"]["middlewares"] == allowed
    assert document["http"]["serversTransports"] == {
        "access-backend-insecure": {"insecureSkipVerify": True},
        "access-backend.x.y": {"serverName": "x.y"},
    }
    assert document["tls"]["options"] == {
        "access-client-auth-other": {
            "clientAuth": {
                "caFiles": ["a.pem", "b.pem"],
                "clientAuthType": "RequireAndVerifyClientCert",
            }
        }
    }
    balancers = [each["loadBalancer"] for each in document["http"]["services"].values()]
    transports = [balancer.get("serversTransport") for balancer in balancers]
    assert transports == [None, "access-backend.x.y", "access-backend-insecure"]


def test_transport_that_only_checks() -> None:
    """Where Traefik skips the check by default, a route may ask for it; the map is not empty."""
    transports = rendered(
        "{c.de: {backend: {insecureSkipVerify: false}}}", "_w_https_443._tcp.c.de"
    ).document["http"]["serversTransports"]
    assert transports == {"access-backend": {"insecureSkipVerify": False}}


def test_services_with_another_transport_are_apart() -> None:
    """Entries that would share a service do not if they talk to the backend otherwise."""
    names = ["_w_https_443._tcp.a.b.de", "_w_https_443._tcp.a-b.de"]
    services = rendered("{a-b.de: {backend: {serverName: x.y}}}", *names).document["http"]
    assert list(services["services"]) == [
        "service-a-b-de-https-443",
        "service-a-b-de-https-443~backend.x.y",
    ]


def test_challenge() -> None:
    """A passthrough route gets a second router, in HTTP, to the port that is named."""
    rendering = rendered("{a.b.de: {acmeChallenge: {entryPoint: web, port: 8080}}}", TLS)
    assert rendering.document["http"] == {
        "routers": {
            "router-a-b-de-tls~acme-challenge": {
                "rule": f"{HTTP_RULE} && PathPrefix(`/.well-known/acme-challenge/`)"
                " && Method(`GET`)",
                "service": "service-a-b-de-tls-443~acme-challenge",
                "entryPoints": ["web"],
            }
        },
        "services": {
            "service-a-b-de-tls-443~acme-challenge": {
                "loadBalancer": {"servers": [{"url": "http://100.64.0.1:8080"}]}
            }
        },
    }


@pytest.mark.parametrize(
    ("other", "left_out"),
    [
        pytest.param("100.64.0.1", [], id="same-machine"),
        pytest.param("100.64.0.2", ["_x_tls_443._tcp.a.b.de"], id="another-machine"),
    ],
)
def test_challenge_of_two_entries(other: str, left_out: list[str]) -> None:
    """Challenges for one name go to one machine."""
    access = read_access("routes: {a.b.de: {acmeChallenge: {entryPoint: web, port: 80}}}")
    rendering = render({TLS: "100.64.0.1", "_x_tls_443._tcp.a.b.de": other}, access=access)
    assert [problem.entry for problem in rendering.diagnostics] == left_out
    assert len(routers(rendering)) == 1


DASHBOARD = "dashboard: {domain: a.b.de, entryPoint: w, access: tailscale-only, priority: 9}"


def test_dashboard() -> None:
    """The dashboard is Traefik's own service, and no entry takes its name."""
    rendering = rendered("{}", HTTP, TLS, "_x_http_80._tcp.a.b.de", more=DASHBOARD)
    assert codes(rendering) == [(HTTP, "access-not-applicable"), (TLS, "conflict")]
    assert rendering.document["http"]["routers"]["dashboard"] == {
        "rule": HTTP_RULE,
        "service": "api@internal",
        "entryPoints": ["w"],
        "middlewares": ["access-tailnet"],
        "priority": 9,
    }
    assert list(rendering.document["http"]["services"]) == ["service-a-b-de-http-80"]


def test_dashboard_alone() -> None:
    """Without entries there is the dashboard's router, and no map is empty."""
    document = rendered("{}", more=DASHBOARD).document
    assert list(document["http"]) == ["routers", "middlewares"]


WILD = "_w_http_80._tcp.*.b.de"


def test_name_that_only_a_wildcard_serves() -> None:
    """What is set for the name holds where the wildcard's entry serves it."""
    rendering = rendered(f"{{a.b.de: {BYPASS}, a.a.b.de: {MTLS}}}", WILD)
    assert routers(rendering) == {
        "router-wildcard-b-de": {"rule": "Host(`*.b.de`)"},
        "router-wildcard-b-de~a.b.de": {
            "rule": HTTP_RULE,
            "priority": 15,
            "middlewares": ["access-forward-auth-oidc"],
        },
        "router-wildcard-b-de~a.b.de~tailnet": {
            "rule": f"{HTTP_RULE} && (ClientIP(`100.64.0.0/10`))",
            "priority": 16,
        },
    }


def test_name_with_its_own_entry_beside_its_wildcard() -> None:
    """A name that has an entry gets one router, although its wildcard's entry comes first."""
    rendering = rendered("{a.b.de: {access: tailscale-only}}", WILD, HTTP)
    assert routers(rendering) == {
        "router-a-b-de": {"rule": HTTP_RULE, "priority": 15, "middlewares": ["access-tailnet"]},
        "router-wildcard-b-de": {"rule": "Host(`*.b.de`)"},
    }


def test_pattern_for_the_names_further_down_is_no_name() -> None:
    """A wildcard pattern one label further down adds no router to a wildcard's entry."""
    rendering = rendered('{"*.a.b.de": {access: tailscale-only}}', WILD)
    assert routers(rendering) == {"router-wildcard-b-de": {"rule": "Host(`*.b.de`)"}}


def test_rule_of_many_ranges_stays_on_one_line() -> None:
    """A rule of any length is written whole in YAML, which would fold it by default."""
    ranges = ", ".join(f"10.0.{number}.0/24" for number in range(100))
    access = read_access(
        f"tailnet: {{ranges: [{ranges}]}}\nforwardAuth: {{oidc: {{address: 'http://a'}}}}\n"
        f"routes: {{a.b.de: {BYPASS}}}"
    )
    rendering = render({HTTP: "100.64.0.1"}, "yaml", access)
    assert max(map(len, rendering.text.splitlines())) > 2_000
    assert from_text(rendering.text) == rendering.document


def test_wildcard_that_cannot_hold_to_a_name() -> None:
    """A wildcard that would serve a name without its access is left out."""
    wild = "_w_ssh_22._tcp.*.b.de"
    rendering = rendered(f"{{a.b.de: {FORWARD}}}", wild, SSH)
    assert codes(rendering) == [
        (wild, "access-not-applicable"),
        (SSH, "access-not-applicable"),
    ]


def test_wildcard_that_outranks_a_name() -> None:
    """A wildcard that comes before a name with another access, by priority, is left out."""
    options = f'{{"*.b.de": {{priority: 99, access: tailscale-only}}, a.b.de: {MTLS}}}'
    assert codes(rendered(options, WILD, HTTP)) == [(WILD, "access-not-applicable")]
    same = '{"*.b.de": {priority: 99, access: public}, a.b.de: {access: public}}'
    assert codes(rendered(same, WILD, HTTP)) == []


def test_name_with_tls_of_its_own_beside_a_wildcard() -> None:
    """Where TLS is the name's alone, plain requests for it are not the wildcard's either."""
    options = f'{{a.b.de: {MTLS}, d.b.de: {FORWARD}, "*.b.de": {BYPASS}}}'
    rendering = rendered(options, WILD, HTTP)
    assert routers(rendering)["router-wildcard-b-de"] == {
        "rule": "Host(`*.b.de`) && !HostRegexp(`^a[.]b[.]de[.]?$`)",
        "middlewares": ["access-forward-auth-oidc"],
        "priority": 13,
    }
    assert routers(rendering)["router-wildcard-b-de~tailnet"] == {
        "rule": "Host(`*.b.de`) && (ClientIP(`100.64.0.0/10`)) && !HostRegexp(`^a[.]b[.]de[.]?$`)",
        "priority": 14,
    }


def test_challenge_does_not_stand_for_the_name() -> None:
    """A wildcard on the entrypoint of challenges holds to what is set about the name."""
    options = "{a.b.de: {access: tailscale-only, acmeChallenge: {entryPoint: w, port: 80}}}"
    found = routers(rendered(options, WILD, "_x_tls_443._tcp.a.b.de"))
    assert found["router-wildcard-b-de~a.b.de"]["middlewares"] == ["access-tailnet"]


def changed(before: str, after: str) -> tuple[str, ...]:
    """Return the routers that another access file changes."""
    names = [HTTP, "_w_https_443._tcp.c.de", SSH.replace("a.b", "d")]
    old, new = (read_access(text) for text in (before, after))
    hosts = dict.fromkeys(names, "100.64.0.1")
    documents = [render(hosts, access=access).document for access in (old, new)]
    assert [from_text(to_text(each)) for each in documents] == documents
    assert [from_text(to_text(each, "yaml")) for each in documents] == documents
    return compare(*map(outline, documents)).changed


SAID = "routes: {a.b.de: {access: forward-auth, forwardAuth: x}, d.de: {access: tailscale-only}}\n"


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        pytest.param(
            SAID + "forwardAuth: {x: {address: 'http://a'}}",
            SAID + "forwardAuth: {x: {address: 'http://b'}, y: {address: 'http://c'}}",
            ("router-a-b-de",),
            id="auth-server",
        ),
        pytest.param(
            SAID + "forwardAuth: {x: {address: 'http://a'}}",
            SAID + "forwardAuth: {x: {address: 'http://a'}}\ntailnet: {ranges: [10.0.0.0/8]}",
            ("router-d-de-ssh",),
            id="ranges",
        ),
        pytest.param(
            f"{DEFINED}routes: {{a.b.de: {MTLS}, d.de: {MTLS}}}",
            f"{DEFINED}routes: {{a.b.de: {MTLS}, d.de: {MTLS}}}".replace("[ca.pem]", "[new.pem]"),
            ("router-a-b-de", "router-d-de-ssh"),
            id="authorities",
        ),
        pytest.param(
            "routes: {c.de: {backend: {serverName: a.de}}}",
            "routes: {c.de: {backend: {serverName: b.de}}}",
            ("router-c-de",),
            id="transport",
        ),
    ],
)
def test_router_has_changed_with_what_it_refers_to(
    before: str, after: str, names: tuple[str, ...]
) -> None:
    """A change of a middleware, TLS options or a transport is one of the routers with it."""
    assert changed(before, after) == names


NAMES = ["a.b.de", "c.b.de", "cd.b.de", "a.a.b.de", "b.de"]
ENTRY_NAMES = st.builds(
    "_{}_{}_{}._tcp.{}".format,
    st.sampled_from(["w", "x"]),
    st.sampled_from(["http", "https", "tls", "ssh"]),
    st.sampled_from(["80", "81"]),
    st.sampled_from([*NAMES, "*.b.de", "*.a.b.de"]),
)
BYPASS_DEFAULT = "default: {access: tailscale-bypass, forwardAuth: oidc}\n"
SAYINGS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(1, 40),
        "tls": st.booleans(),
        "certResolver": st.just("le"),
        "middlewares": st.just(["m@file"]),
        "backend": st.just({"serverName": "x.y"}),
        "acmeChallenge": st.just({"entryPoint": "w", "port": 80}),
    },
)
ACCESSES = st.sampled_from(
    [
        *({"access": "public"}, {"access": "tailscale-only"}),
        {"access": "tailscale-bypass", "forwardAuth": "oidc"},
        {"access": "forward-auth", "forwardAuth": "oidc"},
        {"access": "mtls-strict", "clientAuth": "home"},
        {"access": "mtls-strict", "clientAuth": "other"},
    ]
)
DEFAULTS = st.sampled_from(["", "default: tailscale-only\n", "default: public\n", BYPASS_DEFAULT])
HOSTS = st.dictionaries(ENTRY_NAMES, st.sampled_from(["100.64.0.1", "100.64.0.2"]), max_size=10)
ROUTES = st.dictionaries(
    st.sampled_from([*NAMES, "*.b.de", "*.a.b.de", "*.de"]),
    st.builds(dict.__or__, SAYINGS, ACCESSES | st.just({})),
)


SERVERS = st.sampled_from(
    ["", ", authResponseHeaders: [X-User]", ", authResponseHeadersRegex: X-User"]
)
"""What the auth server sets besides, as it stands behind its address."""


@settings(max_examples=1000 if FULL else 100, deadline=None)
@given(HOSTS, ROUTES, DEFAULTS, SERVERS, st.booleans())
def test_no_route_is_served_without_its_access(
    hosts: dict[str, str], routes: dict[str, Any], default: str, sets: str, dashboard: bool
) -> None:
    """Whichever router Traefik picks for a name, from the tailnet or not, holds to its access."""
    access = read(routes, default, sets, dashboard=dashboard)
    if access:
        require_access(render(hosts, access=access).document, access, sets)


@settings(max_examples=1000 if FULL else 100, deadline=None)
@given(
    HOSTS,
    ROUTES,
    DEFAULTS,
    SERVERS,
    ROUTES,
    DEFAULTS,
    st.booleans(),
    st.sampled_from(["json", "yaml"]),
)
def test_routes_that_stand_are_read_back(
    hosts: dict[str, str],
    routes: dict[str, Any],
    default: str,
    sets: str,
    other_routes: dict[str, Any],
    other_default: str,
    dashboard: bool,
    form: Format,
) -> None:
    """What was made of hosts and an access file is made again of the text, and of another file.

    With the other file each router is the one that the hosts would give, or holds to it anyway.
    """
    access = read(routes, default, sets, dashboard=dashboard)
    other = read(other_routes, other_default, sets, dashboard=dashboard)
    if not access or not other:
        return
    text = render(hosts, form, access).text
    standing = recover_routes(from_text(text))
    assert render_routes(standing, form, access).text == text
    rendering = render_routes(standing, form, other)
    require_access(rendering.document, other, sets)
    left_out = {each.code for each in render(hosts, form, access).diagnostics}
    if default == "default: public\n" and not routes and "access-not-applicable" not in left_out:
        assert rendering.text == render(hosts, form, other).text


def read(routes: dict[str, Any], default: str, sets: str, *, dashboard: bool) -> Access | None:
    """Read an access file; return ``None`` for one that is refused."""
    defined = DEFINED.replace('4181"', f'4181"{sets}')
    try:
        end = DASHBOARD if dashboard else ""
        return read_access(f"{defined}{default}routes: {routes}\n{end}")
    except LocatedError:
        return None


def require_access(document: Document, access: Access, sets: str) -> None:
    """Require that every router that Traefik may pick for a name holds to its access."""
    for section in ("http", "tcp"):
        for entrypoint in ("w", "x"):
            for name in NAMES:
                for inside, tls in product((False, True), (None, False, True)):
                    for router in picked(document, section, entrypoint, name, inside, tls):
                        options = said_about(router, name, access)
                        assert holds(router, options, inside)
                        if options and options.mode == "tailscale-bypass" and inside:
                            assert removed_by(router, document) == bool(sets)
                            assert "Regex" not in sets


def removed_by(router: dict[str, Any], document: Document) -> bool:
    """Return whether a router's first middleware removes what the auth server would set."""
    first = router.get("middlewares", [""])[0]
    middleware = document["http"].get("middlewares", {}).get(first, {})
    return bool(middleware == {"headers": {"customRequestHeaders": {"X-User": ""}}})


def said_about(router: dict[str, Any], name: str, access: Access) -> RouteAccess | None:
    """Return what holds for a name; the dashboard says so itself."""
    if router["service"] == "api@internal":
        assert access.dashboard
        return access.dashboard.access
    return access.find(name)


def picked(
    document: Document, section: str, entrypoint: str, name: str, inside: bool, tls: bool | None
) -> list[dict[str, Any]]:
    """Return the routers that Traefik may pick for a request: those with the highest priority.

    On an entrypoint without TLS requests with it and without have routers of their own.
    """
    rules = (f"(`{name}`)", f"(`*.{name.partition('.')[2]}`)")
    matching = [
        router
        for router in document.get(section, {}).get("routers", {}).values()
        if router["entryPoints"] == [entrypoint]
        and (tls is None or tls is ("tls" in router))
        and f"!HostRegexp(`^{name.replace('.', '[.]')}[.]?$`)" not in router["rule"]
        and any(rule in router["rule"] for rule in rules)
        and "PathPrefix" not in router["rule"]
        and (inside or "ClientIP" not in router["rule"])
    ]
    priorities = [router.get("priority", len(router["rule"])) for router in matching]
    return [
        router
        for router, priority in zip(matching, priorities, strict=True)
        if priority == max(priorities)
    ]


def holds(router: dict[str, Any], settings: RouteAccess | None, inside: bool) -> bool:
    """Return whether a router holds to what is set."""
    middlewares = router.get("middlewares", [])
    options = router.get("tls", {}).get("options")
    mode = settings.mode if settings else ""
    if mode == "tailscale-only":
        return bool(middlewares) and middlewares[0] == "access-tailnet"
    if mode == "forward-auth" or (mode == "tailscale-bypass" and not inside):
        return bool(middlewares) and middlewares[0] == "access-forward-auth-oidc"
    if settings and mode == "mtls-strict":
        return bool(options == f"access-client-auth-{settings.client_auth}")
    return True
