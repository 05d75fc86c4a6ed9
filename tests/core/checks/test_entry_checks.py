"""The rules about what Traefik would do: each speaks when it should, and only then."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import pytest

from ctsdns_traefik.core.checks import entries
from ctsdns_traefik.core.entries.grammar import HostEntry, read_hosts
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.static_config.configuration import (
    StaticConfiguration,
    read_static,
    with_entrypoints,
)

ADDRESS = "100.64.0.1"


def check(*given: Any, **options: Any) -> tuple[Diagnostic, ...]:
    """Check without the rule about addresses, which most configurations here leave out."""
    found = entries.check(*given, **options)
    return tuple(each for each in found if each.code != "random-port")


def entries_of(*names: str) -> tuple[HostEntry, ...]:
    """Read entries that the grammar accepts."""
    read = read_hosts(dict.fromkeys(names, ADDRESS))
    assert read.diagnostics == ()
    return read.entries


def found(
    text: str,
    *names: str,
    output: str | None = None,
    version: tuple[int, int] = (3, 7),
) -> list[tuple[str, str]]:
    """Check entries under a static configuration in YAML; return codes, and what they are about."""
    problems = check(
        entries_of(*names),
        read_static(text, "yaml"),
        output=output,
        traefik_version=version,
    )
    return [(problem.code, problem.entry or problem.setting) for problem in problems]


def only(text: str, *names: str, output: str | None = None) -> Diagnostic:
    """Check entries under a static configuration; return the one problem there is."""
    (problem,) = check(entries_of(*names), read_static(text, "yaml"), output=output)
    return problem


HTTP = "_ws_http_80._tcp.a.de"
WITH_TLS = "entryPoints: {ws: {http: {tls: {}}}}"
WITHOUT_TLS = "entryPoints: {ws: {address: ':80'}}"


@pytest.mark.parametrize(
    ("text", "taker", "shadowed", "when"),
    [
        pytest.param(WITH_TLS, HTTP, "_ws_tls_443._tcp.a.de", "", id="passthrough"),
        pytest.param(WITH_TLS, HTTP, "_ws_ssh_22._tcp.a.de", "", id="tls-ended-by-traefik"),
        pytest.param(WITH_TLS, "_ws_https_443._tcp.a.de", "_ws_ssh_22._tcp.a.de", "", id="https"),
        pytest.param(WITH_TLS, "_ws_http_80._tcp.*.de", "_ws_ssh_22._tcp.a.de", "", id="wildcard"),
        pytest.param(
            WITH_TLS, "_ws_http_80._tcp.*.de", "_ws_ssh_22._tcp.*.de", "", id="two-wildcards"
        ),
        pytest.param(
            "", HTTP, "_ws_ssh_22._tcp.a.de", " if entrypoint ws has TLS", id="nothing-known"
        ),
    ],
)
def test_passthrough_shadowed(text: str, taker: str, shadowed: str, when: str) -> None:
    """A TCP entry that an HTTP entry shadows is an error, or a warning if TLS is a guess."""
    static = read_static(text, "yaml") if text else None
    wanted = Diagnostic(
        code="passthrough-shadowed",
        entry=shadowed,
        message=f"{taker} takes the TLS connections for {shadowed.partition('._tcp.')[2]}{when}",
        hint="give one of the two another entrypoint or domain",
        span=(0, len(shadowed)),
        address=ADDRESS,
        severity=Severity.WARNING if when else Severity.ERROR,
    )
    others = {"https-backend-unverifiable"}
    problems = check(entries_of(taker, shadowed), static)
    assert [problem for problem in problems if problem.code not in others] == [wanted]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(WITHOUT_TLS, [HTTP, "_ws_tls_443._tcp.a.de"], id="without-tls"),
        pytest.param(WITH_TLS, [HTTP, "_ws_ssh_22._tcp.b.de"], id="other-name"),
        pytest.param(
            WITH_TLS, ["_ws_http_80._tcp.*.de", "_ws_ssh_22._tcp.b.a.de"], id="two-labels-below"
        ),
        pytest.param(WITH_TLS, [HTTP, "_ws_ssh_22._tcp.*.de"], id="tcp-wildcard"),
        pytest.param(
            "entryPoints: {ws: {http: {tls: true}}, tcp: {}}",
            [HTTP, "_tcp_ssh_22._tcp.a.de"],
            id="other-entrypoint",
        ),
        pytest.param(
            WITH_TLS, ["_ws_mysql_3306._tcp.b.de", "_ws_tls_443._tcp.a.de"], id="tcp-alone"
        ),
    ],
)
def test_passthrough_not_shadowed(text: str, names: list[str]) -> None:
    """TCP and HTTP entries that Traefik tells apart are fine."""
    assert found(text, *names) == []


def test_entries_that_a_conflict_leaves_out_are_checked() -> None:
    """An entry that a conflict leaves out counts as taker and as taken."""
    names = ("_ws_TLS_443._tcp.a.de", HTTP, "_ws_ssh_22._tcp.a.de")
    assert found(WITH_TLS, *names) == [
        ("passthrough-shadowed", names[0]),
        ("passthrough-shadowed", names[2]),
    ]


@pytest.mark.parametrize(
    ("entrypoint", "hint"),
    [
        pytest.param("WebSecure", "did you mean websecure? it has tcp, web, websecure", id="case"),
        pytest.param("websecur", "did you mean websecure? it has tcp, web, websecure", id="typo"),
        pytest.param("ssh", "it has tcp, web, websecure", id="nothing-like-it"),
    ],
)
def test_unknown_entrypoint(entrypoint: str, hint: str) -> None:
    """An entry on an entrypoint that Traefik has not is an error, with those that it has."""
    name = f"_{entrypoint}_http_80._tcp.a.de"
    text = "entryPoints: {websecure: {http: {tls: true}}, web: {}, tcp: {}}"
    assert only(text, name) == Diagnostic(
        code="unknown-entrypoint",
        entry=name,
        message=f"Traefik has no entrypoint {entrypoint}",
        hint=hint,
        span=(1, 1 + len(entrypoint)),
        address=ADDRESS,
    )


def test_unknown_entrypoint_of_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is meant by a name is looked for once, however many entries have it."""
    asked: list[str] = []

    def closest(name: str, names: Iterable[str], n: int) -> list[str]:
        asked.append(name)
        return sorted(names)[:n]

    monkeypatch.setattr(difflib, "get_close_matches", closest)
    names = [f"_{wrong}_http_80._tcp.a{n}.de" for wrong in ("x", "y") for n in range(50)]
    assert len(found("entryPoints: {web: {}}", *names)) == 100
    assert sorted(asked) == ["x", "y"]


def test_known_entrypoints() -> None:
    """Entrypoints that are set, that Traefik adds, and that are given are all known."""
    assert found("api: {insecure: true}\nentryPoints: {web: {}}", "_web_http_80._tcp.a.de") == [
        ("dashboard-exposed", "api.insecure")
    ]
    assert found("ping: {}", "_http_http_80._tcp.a.de", "_traefik_ssh_22._tcp.a.de") == []
    given = with_entrypoints(None, ["web"])
    assert check(entries_of("_web_http_80._tcp.a.de"), given) == ()
    (problem,) = check(entries_of("_wib_http_80._tcp.a.de"), given)
    assert problem.hint == "did you mean web? it has web"


@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_tcp_entry_on_an_entrypoint_for_udp(scheme: str) -> None:
    """A TCP entry on an entrypoint for UDP is an error, whatever its scheme; TCP is fine."""
    name = f"_dns_{scheme}_53._tcp.a.de"
    assert only("entryPoints: {dns: {address: ':53/UDP'}}", name) == Diagnostic(
        code="wrong-protocol-entrypoint",
        entry=name,
        message="entrypoint dns listens on UDP (:53/UDP)",
        hint='use an entrypoint that listens on TCP, with address: ":53"',
        span=(1, 4),
        address=ADDRESS,
    )
    assert found("entryPoints: {dns: {address: ':53/tcp'}}", name) == []
    assert check(entries_of(name), with_entrypoints(None, ["dns=:53/udp"]))[0].entry == name


def test_udp_entry_on_an_entrypoint_for_tcp() -> None:
    """A UDP entry on an entrypoint for TCP is an error, with the address that is right for it."""
    name = "_dns_dns_53._udp.ns.a.de"
    problem = only("entryPoints: {dns: {address: '100.64.0.9:53'}}", name)
    assert (problem.code, problem.severity) == ("wrong-protocol-entrypoint", Severity.ERROR)
    assert problem.message == "entrypoint dns listens on TCP (100.64.0.9:53)"
    assert problem.hint.endswith('with address: "100.64.0.9:53/udp"')
    assert found("entryPoints: {dns: {address: ':53/udp'}}", name) == []
    assert check(entries_of(name), None) == ()
    assert check(entries_of(name), with_entrypoints(None, ["dns"])) == ()
    assert check(entries_of(name), with_entrypoints(None, ["dns=:53"]))[0].entry == name


def test_one_entrypoint_for_tcp_and_udp() -> None:
    """Entries of both kinds on an entrypoint that is not known are a warning."""
    udp = "_dns_dns_53._udp.ns.a.de"
    (problem,) = check(entries_of(udp, "_dns_dns_53._tcp.*"), None)
    assert (problem.code, problem.entry) == ("wrong-protocol-entrypoint", udp)
    assert problem.severity is Severity.WARNING


RAW = "_ws_mysql_3306._tcp.*"


@pytest.mark.parametrize(
    ("text", "names", "codes"),
    [
        pytest.param(WITHOUT_TLS, [RAW], [], id="alone"),
        pytest.param(WITHOUT_TLS, [RAW, HTTP], [("shadowed-by-raw", HTTP)], id="plain-http"),
        pytest.param(WITH_TLS, [RAW, HTTP], [("raw-waits", RAW)], id="https"),
        pytest.param(
            WITHOUT_TLS, [RAW, "_ws_tls_443._tcp.*"], [("raw-waits", RAW)], id="all-passthrough"
        ),
        pytest.param(
            WITHOUT_TLS, [RAW, "_ws_ssh_22._tcp.a.de"], [("raw-waits", RAW)], id="tcp-by-name"
        ),
        pytest.param(
            WITHOUT_TLS, ["_ws_rdp_3389._tcp.*", "_ws_ssh_22._tcp.a.de"], [], id="client-first"
        ),
        pytest.param(WITHOUT_TLS, ["_ws_tls_443._tcp.*", HTTP], [], id="passthrough-and-http"),
        pytest.param(
            "entryPoints: {ws: {}, web: {}}", [RAW, "_web_http_80._tcp.a.de"], [], id="apart"
        ),
    ],
)
def test_beside_a_raw_entry(text: str, names: list[str], codes: list[tuple[str, str]]) -> None:
    """HTTP without TLS beside a raw entry is never reached, and with TLS makes servers wait."""
    assert found(text, *names) == codes


def test_http_beside_a_raw_entry_on_an_unknown_entrypoint() -> None:
    """Whether HTTP is reached depends on the entrypoint's TLS: unknown, it is a warning."""
    (problem,) = check(entries_of(RAW, HTTP), None)
    assert (problem.code, problem.severity) == ("shadowed-by-raw", Severity.WARNING)
    assert problem.message.endswith("unless entrypoint ws has TLS")


def redirecting(settings: str, http: str = "") -> str:
    """Return a configuration with an entrypoint "web" that redirects."""
    redirect = f"redirections: {{entryPoint: {{{settings}}}}}"
    return f"""
entryPoints:
  web: {{http: {{{redirect}{http}}}}}
  ws: {{address: ':8443', http: {{tls: true}}}}
"""


def test_redirect_shadows_route() -> None:
    """An HTTP route that its entrypoint's redirect outranks is an error, with both priorities."""
    name = "_web_http_80._tcp.a.de"
    assert only(redirecting("to: ws"), name) == Diagnostic(
        code="redirect-shadows-route",
        entry=name,
        message="entrypoint web redirects every request to ws with priority 9223372036854775806,"
        " and the route has 12",
        hint="use another entrypoint, or set"
        " entryPoints.web.http.redirections.entryPoint.priority to 1",
        span=(1, 4),
        address=ADDRESS,
    )


@pytest.mark.parametrize(
    ("settings", "names", "shadowed"),
    [
        pytest.param("to: ws, priority: 1", ["a"], [], id="low"),
        pytest.param("to: ws, priority: -1", ["a"], [], id="negative"),
        pytest.param("to: ':1'", ["a"], ["a"], id="to-a-port"),
        pytest.param("to: nowhere", ["a"], [], id="to-no-entrypoint"),
        pytest.param("scheme: https", ["a"], [], id="to-nothing"),
        pytest.param("to: ws, priority: 12", ["a", "ab"], ["a"], id="equal"),
        pytest.param("to: ws, priority: 0", ["a", "abcdefgh"], ["a"], id="length-of-its-rule"),
        pytest.param("to: ws, priority: 12", ["*", "a"], ["*"], id="raised-beside-a-wildcard"),
    ],
)
def test_redirect_that_shadows_some(settings: str, names: list[str], shadowed: list[str]) -> None:
    """The redirect counts if Traefik makes one, and if the route's priority is not above it."""
    entries = {each: f"_web_http_80._tcp.{each}.de" for each in names}
    reported = found(redirecting(settings), *entries.values())
    assert [each for each in reported if each[0] != "redirect-ignored"] == [
        ("redirect-shadows-route", entries[each]) for each in shadowed
    ]
    ignored = "to: nowhere" in settings or "to:" not in settings
    assert len(reported) - len(shadowed) == ignored


@pytest.mark.parametrize("http", ["", ", tls: true"], ids=["plain", "tls"])
def test_redirect_shadows_no_tcp_route(http: str) -> None:
    """TCP routes know no redirect."""
    assert found(redirecting("to: ws", http), "_web_ssh_22._tcp.a.de") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(
            "entryPoints: {ws: {address: ':443'}}", "it listens on port 443", id="port-443"
        ),
        pytest.param(
            "entryPoints: {ws: {address: '[::1]:443/tcp'}}", "it listens on port 443", id="ipv6"
        ),
        pytest.param(
            redirecting("to: ws").replace("tls: true", "tls: false"),
            "entrypoint web redirects to it with https",
            id="redirected-to-by-name",
        ),
        pytest.param(
            redirecting("to: ':8443', scheme: HTTPS").replace("tls: true", "tls: false"),
            "entrypoint web redirects to it with https",
            id="redirected-to-by-port",
        ),
    ],
)
def test_entrypoint_without_tls(text: str, why: str) -> None:
    """An HTTP entry where clients come with HTTPS, but the entrypoint has none, is an error."""
    assert only(text, HTTP) == Diagnostic(
        code="entrypoint-without-tls",
        entry=HTTP,
        message=f"entrypoint ws serves only plain HTTP, though {why}: a browser gets 404",
        hint="set tls: true, or certResolver, for the name in the access file, which needs no"
        " restart of Traefik, or entryPoints.ws.http.tls to {}",
        span=(1, 3),
        address=ADDRESS,
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("entryPoints: {ws: {address: ':443', http: {tls: {}}}}", HTTP, id="with-tls"),
        pytest.param(
            "entryPoints: {ws: {address: ':443'}}", "_ws_tls_443._tcp.a.de", id="tcp-entry"
        ),
        pytest.param("entryPoints: {ws: {address: ':8443'}}", HTTP, id="another-port"),
        pytest.param(
            redirecting("to: ws, scheme: http").replace("tls: true", "tls: false"),
            HTTP,
            id="redirected-to-in-plain-http",
        ),
    ],
)
def test_entrypoint_needs_no_tls(text: str, name: str) -> None:
    """Where no client comes with HTTPS, or the entry is for TCP, all is well."""
    assert found(text, name) == []


def test_given_entrypoint_is_not_reported_to_have_no_tls() -> None:
    """Of an entrypoint that is only named nobody knows whether it has TLS."""
    assert check(entries_of(HTTP), with_entrypoints(None, ["ws=:443"])) == ()


HTTPS = "_ws_https_443._tcp.a.de"


def test_https_backend_unverifiable() -> None:
    """An https entry whose backend's certificate cannot be right is a warning."""
    assert only(WITH_TLS, HTTPS) == Diagnostic(
        code="https-backend-unverifiable",
        entry=HTTPS,
        message="Traefik answers 500 unless the backend's certificate names 100.64.0.1 and the"
        " system trusts its issuer",
        hint="set serversTransport.insecureSkipVerify to true, or serversTransport.rootCAs if the"
        " certificate names the address, or use http",
        span=(4, 9),
        address=ADDRESS,
        severity=Severity.WARNING,
    )


@pytest.mark.parametrize("setting", ["insecureSkipVerify: true", "rootCAs: [a]", "spiffe: {a: b}"])
def test_https_backend_verifiable(setting: str) -> None:
    """A transport that checks nothing, or whom the operator says, is fine; so is plain http."""
    assert found(f"{WITH_TLS}\nserversTransport: {{{setting}}}", HTTPS) == []
    assert found(WITH_TLS, HTTP) == []
    assert check(entries_of(HTTPS), with_entrypoints(None, ["ws"])) == ()


def with_resolver(web: str = "", entrypoint: str = "web", challenge: str = "httpChallenge") -> str:
    """Return a configuration with a certificate resolver."""
    return f"""
entryPoints:
  web: {{address: ':80'{web}}}
  ws: {{address: ':443', http: {{tls: true}}}}
certificatesResolvers: {{le: {{acme: {{{challenge}: {{entryPoint: {entrypoint}}}}}}}}}
"""


TLS = "_ws_tls_443._tcp.vault.de"


def test_acme_intercepts() -> None:
    """A passthrough entry beside a resolver with HTTP-01 challenges is a warning."""
    assert only(with_resolver(), TLS) == Diagnostic(
        code="acme-intercepts",
        entry=TLS,
        message="Traefik answers the HTTP-01 challenges for vault.de on entrypoint web itself,"
        " so that the backend cannot get a certificate by them",
        hint="use DNS-01 challenges for Traefik's certificate resolver, or for the backend",
        span=(0, len(TLS)),
        address=ADDRESS,
        severity=Severity.WARNING,
    )


LONG = "vault-of-the-whole-department.example.de"
BYPASS = ", allowACMEByPass: true"


@pytest.mark.parametrize(
    ("text", "names", "intercepted"),
    [
        pytest.param(with_resolver(challenge="dnsChallenge"), [TLS], [], id="other-challenge"),
        pytest.param(with_resolver(), ["_ws_ssh_22._tcp.b.de", HTTP], [], id="no-passthrough"),
        pytest.param(with_resolver(BYPASS), [TLS], [TLS], id="bypass-without-a-route"),
        pytest.param(
            with_resolver(BYPASS),
            ["_web_http_80._tcp.vault.de", TLS],
            [TLS],
            id="bypass-with-a-shorter-rule",
        ),
        pytest.param(
            with_resolver(BYPASS),
            [f"_web_http_80._tcp.{LONG}", f"_ws_tls_443._tcp.{LONG}"],
            [],
            id="bypass-with-a-longer-rule",
        ),
        pytest.param(
            with_resolver(BYPASS),
            [f"_web_http_80._tcp.{LONG[-35:]}", f"_ws_tls_443._tcp.{LONG[-35:]}"],
            [],
            id="bypass-with-a-rule-just-longer",
        ),
        pytest.param(
            with_resolver(BYPASS),
            [f"_web_http_80._tcp.{LONG[-34:]}", f"_ws_tls_443._tcp.{LONG[-34:]}"],
            [f"_ws_tls_443._tcp.{LONG[-34:]}"],
            id="bypass-with-a-rule-as-long",
        ),
        pytest.param(
            with_resolver(BYPASS),
            [f"_web_http_80._tcp.*.{LONG}", f"_ws_tls_443._tcp.a.{LONG}"],
            [],
            id="bypass-with-a-wildcard",
        ),
        pytest.param(
            with_resolver(),
            [f"_web_http_80._tcp.{LONG}", f"_ws_tls_443._tcp.{LONG}"],
            [f"_ws_tls_443._tcp.{LONG}"],
            id="longer-rule-without-bypass",
        ),
    ],
)
def test_acme_that_intercepts_some(text: str, names: list[str], intercepted: list[str]) -> None:
    """A backend has its challenges if Traefik takes none, or yields to a longer rule."""
    assert found(text, *names) == [("acme-intercepts", name) for name in intercepted]


def test_unreachable_wildcard() -> None:
    """A wildcard for a Traefik that knows none is an error, under its asterisk."""
    name = "_ws_http_80._tcp.*.de"
    assert check(entries_of(name, HTTP), None, traefik_version=(3, 6)) == (
        Diagnostic(
            code="unreachable-wildcard",
            entry=name,
            message="Traefik 3.6 does not support wildcards",
            hint="use Traefik 3.7.0 or newer, or write an entry for each name",
            span=(17, 18),
            address=ADDRESS,
        ),
    )
    for version in ((3, 7), (3, 10), (4, 0)):
        assert check(entries_of(name), None, traefik_version=version) == ()


def test_wildcard_before_there_were_wildcards() -> None:
    """An HTTP wildcard takes no connections of a name from a release that knows none."""
    names = ("_ws_http_1._tcp.*.a.de", "_ws_tls_1._tcp.b.a.de")
    assert found(WITH_TLS, *names) == [("passthrough-shadowed", names[1])]
    assert found(WITH_TLS, *names, version=(3, 6)) == [("unreachable-wildcard", names[0])]


def test_address_as_name() -> None:
    """An address is no name that TLS clients send; HTTP has it in the request."""
    names = ("_t_ssh_22._tcp.10.0.0.1.", "_t_tls_1._tcp.10.0.0.2")
    fine = ("_h_http_1._tcp.10.0.0.1", "_d_dns_1._udp.10.0.0.1", "_t_ssh_1._tcp.0.0.1.de")
    problems = check(entries_of(*names, *fine), None)
    assert [(each.code, each.entry, str(each.severity), each.span) for each in problems] == [
        ("address-as-name", names[0], "warning", (15, 23)),
        ("address-as-name", names[1], "warning", (14, 22)),
    ]


@pytest.mark.parametrize("version", [(3, 6, 10), (3, 6, 11), (3, 6, 12), (3, 7)])
def test_defect_of_one_release(version: tuple[int, ...]) -> None:
    """PostgreSQL's TLS that ends at a Traefik 3.6.11 is an error; raw it works."""
    names = ("_t_postgres_1._tcp.a.de", "_t_mysql_1._tcp.b.de", "_t_tls_1._tcp.c.de")
    found = check(entries_of(*names, "_r_postgres_1._tcp.*"), None, traefik_version=version)
    defects = [each for each in found if each.code == "release-defect"]
    assert [each.entry for each in defects] == [names[0]] * (version == (3, 6, 11))


@pytest.mark.parametrize(
    ("version", "allowed", "settings"),
    [
        pytest.param((3, 6, 2), "", [], id="older"),
        pytest.param((3, 6, 4), "", ["web", "ws"], id="first"),
        pytest.param(
            (3, 6, 6), ", encodedCharacters: {allowEncodedSlash: true}", ["ws"], id="last"
        ),
        pytest.param((3, 6, 7), "", [], id="newer"),
        pytest.param((3, 7), "", [], id="newest"),
    ],
)
def test_release_that_refuses_encoded_slashes(
    version: tuple[int, ...], allowed: str, settings: list[str]
) -> None:
    """Each entrypoint of HTTP entries is reported that does not allow them, by its setting."""
    text = f"entryPoints: {{web: {{http: {{maxHeaderBytes: 9{allowed}}}}}, ws: {{}}, tcp: {{}}}}"
    entries = entries_of("_web_http_1._tcp.a.de", "_ws_https_1._tcp.b.de", "_tcp_ssh_1._tcp.c.de")
    found = check(entries, read_static(text, "yaml"), traefik_version=version)
    assert [each.setting for each in found if each.code == "release-defect"] == [
        f"entryPoints.{name}.http.encodedCharacters.allowEncodedSlash" for name in settings
    ]


def test_problems_of_entries_come_by_name_and_before_settings() -> None:
    """All that is wrong with an entry stands together, in the order of the entries' names."""
    text = f"api: {{insecure: true}}\n{redirecting('to: ws')}"
    names = ("_wib_https_1._tcp.b.de", "_web_https_1._tcp.c.de", "_web_http_1._tcp.a.de")
    assert found(text, *names, output="/a.yml") == [
        ("redirect-shadows-route", names[2]),
        ("redirect-shadows-route", names[1]),
        ("https-backend-unverifiable", names[1]),
        ("unknown-entrypoint", names[0]),
        ("https-backend-unverifiable", names[0]),
        ("dynamic-file-not-watched", "providers.file"),
        ("dashboard-exposed", "api.insecure"),
    ]


def test_order_of_entries_does_not_matter() -> None:
    """The same entries in another order have the same problems."""
    entries = entries_of(HTTP, "_ws_https_1._tcp.a.de", "_ws_ssh_1._tcp.a.de", "_x_ssh_1._tcp.a.de")
    static = read_static(WITH_TLS, "yaml")
    assert check(entries[::-1], static) == check(entries, static)


def test_nothing_known_gives_no_diagnostics() -> None:
    """Without a static configuration the rules that need one are silent."""
    names = (HTTPS, "_web_http_80._tcp.a.de", "_dns_ssh_22._tcp.b.de", "_x_tls_1._tcp.*.de")
    assert check(entries_of(*names), None, output="/etc/a.json") == ()
    assert check((), StaticConfiguration({}, described=False), output="/a.json") == ()
