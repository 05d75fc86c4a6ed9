"""Names for which a certificate resolver gets no certificate."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.checks.certificates import certificates_missing
from ctsdns_traefik.core.checks.dynamic_files import DynamicFile, DynamicFiles
from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.static_config.configuration import read_static
from ctsdns_traefik.core.static_config.reader import Form

NAMES = ("a.example.com", "*.example.com", "nas.tail1234.ts.net")
ENTRYPOINT = "entryPoints: {ws: {address: ':443', http: {tls: {certResolver: le%s}}}}\n"


def missing(text: str, form: Form = "yaml", other: str = "") -> set[str]:
    """Return the names, or the setting, for which there is no certificate."""
    routes = plan_routes(read_hosts({f"_ws_http_80._tcp.{n}": "::1" for n in NAMES}).entries).routes
    beside = DynamicFiles([DynamicFile("/d/o.yml", other)], certain=True)
    found = certificates_missing(routes, read_static(text, form), beside)
    return {each.setting or each.entry.partition("_tcp.")[2] for each in found}


@pytest.mark.parametrize(
    ("domains", "resolver", "wanted"),
    [
        pytest.param("", "{acme: {tlsChallenge: {}}}", {"*.example.com"}, id="tls"),
        pytest.param("", "{acme: {dnsChallenge: {provider: x}}}", set(), id="dns"),
        pytest.param("", "{acme: {tlsChallenge: }}", {"certificatesResolvers.le"}, id="none"),
        pytest.param("", "{tailscale: {}}", {"a.example.com", "*.example.com"}, id="tailscale"),
        pytest.param(
            ", domains: [{main: example.com, sans: ['*.Example.com']}]",
            "{acme: {dnsChallenge: {provider: x}}}",
            {"nas.tail1234.ts.net"},
            id="domains",
        ),
        pytest.param(
            ", domains: [{main: a.example.com}, {main: '*.tail1234.ts.net'}]",
            "{acme: {httpChallenge: {entryPoint: ws}}}",
            {"*.example.com", "nas.tail1234.ts.net"},
            id="domains-with-a-wildcard",
        ),
    ],
)
def test_missing_certificates(domains: str, resolver: str, wanted: set[str]) -> None:
    """It depends on the challenge, the kind of resolver and the entrypoint's domains."""
    text = ENTRYPOINT % domains + f"certificatesResolvers: {{le: {resolver}}}"
    assert missing(text) == wanted
    for other in ("tls: {certificates: [{certFile: c, keyFile: k}]}", "tls: {stores: {a: {}}}"):
        assert missing(text, other=other) == set()
    assert missing(text.replace("certResolver: le", "options: default")) == set()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        pytest.param(
            "yaml",
            "services: {t: {image: traefik, command: [--entrypoints.ws.address=:443,"
            " '--entrypoints.ws.http.tls.domains[0].main=example.com',"
            " '--entrypoints.ws.http.tls.domains[0].sans=*.example.com,b.de',"
            " --entrypoints.ws.http.tls.certresolver=le,"
            " --certificatesresolvers.le.acme.dnschallenge.provider=x]}}",
            id="flags",
        ),
        pytest.param(
            "variables",
            "TRAEFIK_ENTRYPOINTS_WS_ADDRESS=:443\n"
            "TRAEFIK_ENTRYPOINTS_WS_HTTP_TLS_DOMAINS_0_MAIN=example.com\n"
            "TRAEFIK_ENTRYPOINTS_WS_HTTP_TLS_DOMAINS_0_SANS=*.example.com,b.de\n"
            "TRAEFIK_ENTRYPOINTS_WS_HTTP_TLS_CERTRESOLVER=le\n"
            "TRAEFIK_CERTIFICATESRESOLVERS_LE_ACME_DNSCHALLENGE_PROVIDER=x",
            id="variables",
        ),
        pytest.param(
            "toml",
            "[entryPoints.ws.http.tls]\ncertResolver='le'\n[[entryPoints.ws.http.tls.domains]]\n"
            "main='example.com'\nsans=['*.example.com']\n"
            "[certificatesResolvers.le.acme.dnsChallenge]\nprovider='x'",
            id="toml",
        ),
    ],
)
def test_domains_however_they_are_written(form: Form, text: str) -> None:
    """The entrypoint's domains are read from flags, variables and TOML, too."""
    assert missing(text, form) == {"nas.tail1234.ts.net"}
