"""The access file: what it may say, and where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ctsdns_traefik.core.access.model import (
    Access,
    Backend,
    Challenge,
    Dashboard,
    RouteAccess,
)
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.entries.address import TAILNET_RANGES
from ctsdns_traefik.core.problems import LocatedError, SourceLocation

EXAMPLE = """\
tailnet:
  ranges: [100.64.0.0/10, "fd7a:115c:a1e0::/48"]
forwardAuth:
  oidc: {address: "http://127.0.0.1:4181", authResponseHeaders: [X-Forwarded-User]}
  cloudflare-access: {address: "http://127.0.0.1:4180/verify?aud=AUD"}
clientAuth:
  home-ca: {caFiles: [/etc/traefik/client-ca.pem]}
routes:
  "*.internal.example.com": {access: tailscale-only}
  shared.example.com: {access: tailscale-bypass, forwardAuth: oidc}
  api.example.com: {access: mtls-strict, clientAuth: home-ca}
  www.vm.example.com: {acmeChallenge: {entryPoint: web, port: 80}}
  app.example.com:
    middlewares: [compress@file]
    certResolver: letsencrypt
    tls: true
    backend: {serverName: App.example.com, insecureSkipVerify: true}
    priority: 7
dashboard:
  domain: traefik.example.com
  entryPoint: websecure
  access: forward-auth
  forwardAuth: cloudflare-access
"""


def test_example() -> None:
    """Every option is read."""
    assert read_access(EXAMPLE) == Access(
        ranges=TAILNET_RANGES,
        forward_auth={
            "oidc": {
                "address": "http://127.0.0.1:4181",
                "authResponseHeaders": ["X-Forwarded-User"],
            },
            "cloudflare-access": {"address": "http://127.0.0.1:4180/verify?aud=AUD"},
        },
        client_auth={"home-ca": ("/etc/traefik/client-ca.pem",)},
        routes={
            route.pattern: route
            for route in (
                RouteAccess("*.internal.example.com", SourceLocation(9, 3), "tailscale-only"),
                RouteAccess(
                    "shared.example.com", SourceLocation(10, 3), "tailscale-bypass", "oidc"
                ),
                RouteAccess(
                    "api.example.com", SourceLocation(11, 3), "mtls-strict", client_auth="home-ca"
                ),
                RouteAccess(
                    "www.vm.example.com", SourceLocation(12, 3), challenge=Challenge("web", 80)
                ),
                RouteAccess(
                    "app.example.com",
                    SourceLocation(13, 3),
                    middlewares=("compress@file",),
                    cert_resolver="letsencrypt",
                    tls=True,
                    backend=Backend("app.example.com", insecure_skip_verify=True),
                    priority=7,
                ),
            )
        },
        dashboard=Dashboard(
            "websecure",
            RouteAccess(
                "traefik.example.com",
                SourceLocation(19, 1),
                "forward-auth",
                forward_auth="cloudflare-access",
            ),
        ),
    )


ALL_OPTIONS = {
    "address": "https://auth.example.com/",
    "trustForwardHeader": False,
    "authResponseHeaders": ["X-A", "X-B"],
    "authResponseHeadersRegex": "^X-",
    "authRequestHeaders": ["Cookie"],
    "addAuthCookiesToResponse": ["session"],
    "tls": {"ca": "ca.pem", "cert": "a.pem", "key": "a.key", "insecureSkipVerify": True},
}


def test_options_of_forward_auth_are_passed_on() -> None:
    """Traefik's middleware gets what the file says."""
    assert read_access(f"forwardAuth: {{x: {ALL_OPTIONS}}}").forward_auth == {"x": ALL_OPTIONS}


@pytest.mark.parametrize(
    ("domain", "pattern"),
    [
        pytest.param("a.example.com", "a.example.com", id="exact-name"),
        pytest.param("b.example.com", "*.example.com", id="wildcard"),
        pytest.param("x.b.example.com", "*.b.example.com", id="longest-wildcard"),
        pytest.param("y.x.b.example.com", "*.b.example.com", id="any-number-of-labels"),
        pytest.param("*.example.com", "*.example.com", id="wildcard-of-an-entry"),
        pytest.param("*.c.example.com", "*.example.com", id="longer-wildcard-of-an-entry"),
        pytest.param("example.com", None, id="not-the-domain-itself"),
        pytest.param("com", None, id="nothing"),
    ],
)
def test_what_holds_for_a_domain(domain: str, pattern: str | None) -> None:
    """The exact name comes first, then the longest wildcard, however many labels it covers."""
    access = read_access(
        'routes: {"*.example.com": {access: public}, "*.b.example.com": {access: public},'
        " a.example.com: {access: public}}"
    )
    found = access.find(domain)
    assert (found and found.pattern) == pattern


def route(options: str, name: str = "a.de") -> str:
    """Return a file with one route, and something to refer to."""
    return (
        "forwardAuth: {oidc: {address: 'http://a'}}\nclientAuth: {home: {caFiles: [a]}}\n"
        f"routes:\n  {name}: {{{options}}}\n"
    )


def auth(option: str) -> str:
    """Return a file with one auth server that has an option."""
    return f"forwardAuth: {{o: {{address: 'http://a', {option}}}}}"


FORWARD = "access: forward-auth, forwardAuth: oidc"
NO_ACCESS = "dashboard: {domain: a.de, entryPoint: web}"


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        pytest.param("", "it is empty", 1, 1, id="empty"),
        pytest.param("# a\n", "it is empty", 1, 1, id="comment"),
        pytest.param("[]", "is not a map", 1, 1, id="list"),
        pytest.param("a: b: c", "it is not YAML: mapping values are", 1, 5, id="no-yaml"),
        pytest.param("routes: {}\nroutes: {}", "it is not YAML: found dup", 2, 1, id="twice"),
        pytest.param(
            "\nroute: {}", "route is not known; did you mean routes?", 2, 1, id="unknown-section"
        ),
        pytest.param("1: {}", "1 is not text", 1, 1, id="number-as-a-key"),
        pytest.param("routes:", "routes is not a map", 1, 1, id="null"),
        pytest.param(
            "tailnet: {ranges: [100.64.0.1/10]}",
            'tailnet.ranges has "100.64.0.1/10", which is not a network: has host bits set',
            *(1, 11),
            id="host-bits",
        ),
        pytest.param(
            "tailnet: {ranges: [x]}", 'ranges has "x", which is no', 1, 11, id="no-network"
        ),
        pytest.param("tailnet: {ranges: [0.0.0.0/0]}", "every address", 1, 11, id="everybody"),
        pytest.param("tailnet: {ranges: ['::/0']}", "every address", 1, 11, id="everybody-ipv6"),
        pytest.param("tailnet: {ranges: ['fe80::%a/64']}", "has a zone", 1, 11, id="zone"),
        pytest.param(
            "tailnet: {ranges: ['::ffff:0:0/96']}", "is an IPv4 network", 1, 11, id="mapped"
        ),
        pytest.param("tailnet: {ranges: []}", "tailnet.ranges is empty", 1, 11, id="no-range"),
        pytest.param("tailnet: {ranges: a}", "is not a list", 1, 11, id="no-list"),
        pytest.param("tailnet: {ranges: [1]}", "is not text", 1, 11, id="number-in-a-list"),
        pytest.param(
            "tailnet: {range: []}", "tailnet.range is not known; did you", 1, 11, id="range"
        ),
        pytest.param(
            "forwardAuth: {o: {}}", "forwardAuth.o has no address", 1, 15, id="no-address"
        ),
        pytest.param("forwardAuth: {a b: {}}", "is not a name", 1, 15, id="name-with-a-space"),
        pytest.param(
            "forwardAuth: {o: {adress: x}}",
            "forwardAuth.o.adress is not known; did you mean address?",
            *(1, 19),
            id="misspelt-option",
        ),
        pytest.param(
            "forwardAuth: {o: {address: 'http://a', forwardBody: 1}}",
            "forwardAuth.o.forwardBody is neither true nor false",
            *(1, 40),
            id="option-of-newer-releases",
        ),
        pytest.param("forwardAuth: {o: {address: a.de}}", "is not a URL", 1, 19, id="no-url"),
        pytest.param(
            "forwardAuth: {o: {address: 'http://a', trustForwardHeader: 1}}",
            "trustForwardHeader is neither true nor false",
            *(1, 40),
            id="number-for-a-flag",
        ),
        pytest.param(
            "forwardAuth: {o: {address: 'http://{{env}}'}}", "has {{", 1, 19, id="template"
        ),
        pytest.param("forwardAuth: {o: {address: 'http://`'}}", "has `", 1, 19, id="backtick"),
        pytest.param("forwardAuth: {o: {address: 'http://{}'}}", "has {}", 1, 19, id="braces"),
        pytest.param(
            'forwardAuth: {o: {address: "http://a\\n"}}', "cannot be seen", 1, 19, id="line-end"
        ),
        pytest.param(
            "forwardAuth: {o: {address: 'http://a', tls: {}}}", "tls is empty", 1, 40, id="tls"
        ),
        pytest.param(auth("tls: {cert: /a}"), "has one of cert", 1, 40, id="no-key"),
        *(
            pytest.param(auth(f"authResponseHeadersRegex: '{each}'"), "egular ex", 1, 40, id=each)
            for each in ("(", "*", "^(?=X-)", "(?<!a)b", r"(a)\1", "[b-a]")
        ),
        pytest.param("clientAuth: {h: {}}", "clientAuth.h has no caFiles", 1, 14, id="no-files"),
        pytest.param(route("acess: x"), "did you mean access?", 4, 10, id="misspelt"),
        pytest.param(
            route("access: tailnet-only"),
            'names "tailnet-only", which is not a mode of access; did you mean tailscale-only?',
            *(4, 10),
            id="misspelt-mode",
        ),
        pytest.param(
            route("access: forward-auth"), "is forward-auth, which needs", 4, 10, id="no-server"
        ),
        pytest.param(route("access: mtls-strict"), "which needs clientAuth", 4, 10, id="no-ca"),
        pytest.param(
            route("access: forward-auth, forwardAuth: oidcc"),
            'names "oidcc", which is not in forwardAuth; did you mean oidc?',
            *(4, 32),
            id="unknown-server",
        ),
        pytest.param(
            "routes: {a.de: {access: mtls-strict, clientAuth: x}}",
            'names "x", which is not in clientAuth; there is none',
            *(1, 38),
            id="nothing-defined",
        ),
        pytest.param(
            route("access: tailscale-only, forwardAuth: oidc"),
            "forwardAuth has no effect with access tailscale-only: remove it",
            *(4, 34),
            id="server-without-use",
        ),
        pytest.param(
            route("clientAuth: home"), "has no effect with access not set", 4, 10, id="no-access"
        ),
        pytest.param(route("tls: false, certResolver: le"), "needs TLS", 4, 10, id="no-tls"),
        pytest.param(route("priority: 0"), "from 1 to 2147483647", 4, 10, id="priority"),
        pytest.param(route("priority: true"), "whole number", 4, 10, id="flag-for-a-number"),
        pytest.param(route("middlewares: [a b]"), "is not a middleware's", 4, 10, id="middleware"),
        pytest.param(route("certResolver: a b"), "is not a resolver's", 4, 10, id="resolver"),
        pytest.param(
            route("healthCheck: {interval: 3000000h}"), "more than a day", 4, 24, id="endless"
        ),
        pytest.param(route("backend: {}"), "backend is empty", 4, 10, id="empty-backend"),
        pytest.param(route("backend: {serverName: a_b}"), "is not a name", 4, 20, id="server-name"),
        pytest.param(route("acmeChallenge: {port: 80}"), "has no entryPoint", 4, 10, id="no-ep"),
        pytest.param(
            route("acmeChallenge: {entryPoint: web, port: 0}"), "65535", 4, 43, id="port-0"
        ),
        pytest.param(
            route("acmeChallenge: {entryPoint: a b, port: 1}"), "entrypoint's", 4, 26, id="ep"
        ),
        pytest.param(route(FORWARD, "a_b.de"), "is not a name or wildcard", 4, 3, id="bad-name"),
        pytest.param(route(FORWARD, "'*'"), "is not a name or wildcard", 4, 3, id="star-alone"),
        pytest.param(
            "raw: {'a b': {}}", "raw.a b is not an entrypoint's name", 1, 7, id="raw-name"
        ),
        pytest.param(
            "raw: {ssh: {access: mtls-strict}}",
            'raw.ssh.access names "mtls-strict", which is not an access that a route without',
            1,
            13,
            id="raw-mode",
        ),
        pytest.param(
            "raw: {ssh: {certResolver: le}}",
            "raw.ssh.certResolver is not known",
            1,
            13,
            id="raw-tls",
        ),
        pytest.param(
            "default: tailscale-only\nraw: {ssh: {}}",
            "raw.ssh has no access, but the default has",
            2,
            7,
            id="raw-without-access",
        ),
        pytest.param(
            "tailnet: {entryPoints: [a b]}",
            'tailnet.entryPoints has "a b", which is not an entrypoint\'s name',
            1,
            11,
            id="tailnet-entrypoint",
        ),
        pytest.param(
            route(FORWARD) + "  A.de: {}\n",
            "is in line 4 already: remove one of the two",
            5,
            3,
            id="name-twice",
        ),
        pytest.param(
            route(FORWARD, "'*.de'") + "  a.de: {priority: 5}\n",
            "routes.a.de has no access, but *.de has",
            *(5, 3),
            id="name-that-would-be-open",
        ),
        pytest.param(
            route(FORWARD, "'*.de'") + "  '*.a.de': {}\n  b.a.de: {}\n",
            "routes.*.a.de has no access, but *.de has",
            *(5, 3),
            id="wildcard-that-would-be-open",
        ),
        pytest.param("default: {}", "default has no access", 1, 1, id="empty-default"),
        pytest.param(
            "default:", "default is neither a mode of access nor a map", 1, 1, id="null-default"
        ),
        pytest.param("default: open", 'names "open"', 1, 1, id="unknown-default"),
        pytest.param(
            "default: forward-auth", "is forward-auth, which needs forwardAuth", 1, 1, id="no-auth"
        ),
        pytest.param(
            "default: {access: forward-auth, forwardAuth: x}", 'names "x"', 1, 33, id="no-such-auth"
        ),
        pytest.param(
            "default: {access: public, priority: 7}", "is not known", 1, 27, id="default-priority"
        ),
        pytest.param(
            "default: tailscale-only\nroutes: {a.de: {certResolver: le}}",
            "has no access, but the default has: repeat it, or write access: public",
            2,
            10,
            id="options-below-a-default",
        ),
        pytest.param("dashboard: {}", "dashboard has no domain", 1, 1, id="empty-dashboard"),
        pytest.param(NO_ACCESS, "dashboard has no access", 1, 1, id="open-dashboard"),
        pytest.param(
            f"{NO_ACCESS[:-1]}, access: public}}", "access is public", 1, 44, id="public-dashboard"
        ),
        pytest.param(
            f"{NO_ACCESS[:-1]}, access: tailscale-bypass, forwardAuth: x}}\nforwardAuth:\n"
            "  x: {address: 'http://a', authResponseHeadersRegex: X}",
            "dashboard.forwardAuth has authResponseHeadersRegex",
            1,
            70,
            id="dashboard-with-headers-by-pattern",
        ),
        pytest.param(
            "forwardAuth: {x: {address: 'http://a', authResponseHeaders: [X-A, 'X B']}}",
            'has "X B", which is not a header\'s name',
            1,
            40,
            id="header",
        ),
        pytest.param(
            "dashboard: {domain: '*.de', entryPoint: web, access: tailscale-only}",
            "is a wildcard",
            *(1, 13),
            id="dashboards",
        ),
        pytest.param(
            f"{NO_ACCESS[:-1]}, access: tailscale-only, backend: {{}}}}",
            "dashboard.backend is not known",
            *(1, 68),
            id="backend-of-the-dashboard",
        ),
        pytest.param(
            route(FORWARD) + f"{NO_ACCESS[:-1]}, access: tailscale-only}}",
            "has an access in routes too",
            *(5, 13),
            id="two-modes-for-one-name",
        ),
    ],
)
def test_what_is_wrong(text: str, message: str, line: int, column: int) -> None:
    """The first thing that is wrong is reported with its path and its place, in one line."""
    with pytest.raises(LocatedError) as caught:
        read_access(text)
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.location == (line, column)


MANY_FAULTS = """\
tailnet: {ranges: [0.0.0.0/0]}
forwardAuth:
  oidc: {adress: "http://127.0.0.1:4181"}
  sso: {address: "127.0.0.1", trustForwardHeader: maybe}
clientAuth:
  "a b": {caFiles: []}
default: tailscale
routes:
  a.example.com: {access: publik, tls: 1, priority: -1}
  b.example.com: {access: forward-auth, forwadAuth: oidc, tls: 1}
  c.example.com: {access: forward-auth, forwardAuth: oidc}
  d.example.com: {access: mtls-strict}
  e.example.com: {access: mtls-strict}
  "*": {access: public}
raw:
  ssh: {acess: tailscale-only}
dashboard: {entryPoint: web, access: public}
extra: 1
"""


def test_all_that_is_wrong() -> None:
    """Faults that hide none of each other are reported together, in order, and none twice."""
    with pytest.raises(LocatedError) as caught:
        read_access(MANY_FAULTS)
    faults = (caught.value, *caught.value.others)
    found = [
        (*fault.location, " ".join(fault.message.replace(":", "").split()[:5])) for fault in faults
    ]
    assert found == [
        (1, 11, "tailnet.ranges has 0.0.0.0/0, which is"),
        (3, 10, "forwardAuth.oidc.adress is not known; did"),
        (4, 9, "forwardAuth.sso.address is not a URL"),
        (4, 31, "forwardAuth.sso.trustForwardHeader is neither true nor"),
        (6, 3, "clientAuth.a b is not a"),
        (7, 1, 'default names "tailscale", which is'),
        (9, 19, 'routes.a.example.com.access names "publik", which is'),
        (9, 35, "routes.a.example.com.tls is neither true nor"),
        (9, 43, "routes.a.example.com.priority is not a whole"),
        (10, 41, "routes.b.example.com.forwadAuth is not known; did"),
        (10, 59, "routes.b.example.com.tls is neither true nor"),
        (12, 19, "routes.d.example.com.access is mtls-strict, which needs"),
        (13, 19, "routes.e.example.com.access is mtls-strict, which needs"),
        (14, 3, "routes.* is not a name"),
        (16, 9, "raw.ssh.acess is not known; did"),
        (17, 1, "dashboard has no domain add"),
        (18, 1, "extra is not known; there"),
    ]


def test_default() -> None:
    """It holds for every name that no pattern covers: a mode alone, or a map with what it needs."""
    access = read_access("default: tailscale-only\nroutes: {'*.a.de': {access: public}}")
    assert [found.mode for name in ("a.de", "x.y", "*.b.de") if (found := access.find(name))] == [
        "tailscale-only"
    ] * 3
    found = access.find("b.a.de")
    assert found
    assert found.pattern == "*.a.de"
    text = (
        "forwardAuth: {o: {address: 'http://a'}}\n"
        "default: {access: forward-auth, forwardAuth: o, middlewares: [m@file], tls: true}"
    )
    access = read_access(text)
    assert access.default == RouteAccess(
        "*", SourceLocation(2, 1), "forward-auth", "o", middlewares=("m@file",), tls=True
    )
    assert access.self_contained().default == access.default._replace(middlewares=())


@pytest.mark.parametrize("value", ["x", 1, None, True, [], {}, [[]], {1: 2}, -1, "{{", 1.5])
@pytest.mark.parametrize(
    "path",
    [
        *("tailnet", "tailnet.ranges", "forwardAuth", "forwardAuth.a", "forwardAuth.a.address"),
        *("forwardAuth.a.tls", "forwardAuth.a.authRequestHeaders", "clientAuth.a.caFiles"),
        *("routes", "routes.a", "routes.a.access", "routes.a.middlewares", "routes.a.priority"),
        *("routes.a.acmeChallenge", "routes.a.acmeChallenge.port", "routes.a.tls"),
        *("routes.a.backend", "routes.a.backend.serverName", "routes.a.certResolver"),
        *("dashboard", "dashboard.domain", "dashboard.entryPoint", "dashboard.access"),
    ],
)
def test_any_value_is_read_or_refused(path: str, value: Any) -> None:
    """No value in any place is more than an error."""
    nested: Any = value
    for key in reversed(path.split(".")):
        nested = {key: nested}
    try:
        assert isinstance(read_access(repr(nested).replace("None", "null")), Access)
    except LocatedError as why:
        assert why.message.isprintable()  # noqa: PT017  (either is right)
