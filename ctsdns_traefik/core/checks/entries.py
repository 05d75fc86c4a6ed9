"""Check what Traefik would do with each entry that the grammar accepts.

A rule is a function that yields diagnostics, which docs/problems.md explains. All were observed
with Traefik 3.7.15; tests/traefik/test_checks_in_traefik.py repeats that. A rule that would have to
guess, because no static configuration is known, reports nothing or a warning.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ctsdns_traefik.core.access.modes import ALWAYS_OFFERED, alpn_of
from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.dynamic.routes import Route, plan_routes, priority_of
from ctsdns_traefik.core.entries.grammar import HostEntry, diagnose, entrypoint_span, scheme_span
from ctsdns_traefik.core.problems import Diagnostic, Severity, diagnose_setting
from ctsdns_traefik.core.releases import NEWEST, Release, as_text, has, since
from ctsdns_traefik.core.static_config.configuration import UNKNOWN, Entrypoint, StaticConfiguration
from ctsdns_traefik.core.text import shown

CLIENT_FIRST = frozenset(
    {"amqp", "dns", "ldap", "minecraft", "mqtt", "postgres", "postgresql", "rdp", "redis", "rtsp"}
)
"""Schemes of protocols in which the client speaks first."""

_CHALLENGE_PRIORITY = len("PathPrefix(`/.well-known/acme-challenge/`)")
"""The priority of Traefik's own route for challenges with ``allowACMEByPass``."""


_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")


class Context(NamedTuple):
    """Everything that a rule may use."""

    entries: tuple[HostEntry, ...]
    """In the order of their names, including those that a conflict leaves out."""
    routes: tuple[Route, ...]
    """In the order of their entries' names."""
    static: StaticConfiguration
    version: Release

    def entrypoint(self, name: str) -> Entrypoint:
        """Return what is known about an entrypoint, which may be only its name."""
        return self.static.entrypoints.get(name) or Entrypoint(name, described=False)

    @property
    def wildcards(self) -> bool:
        """Whether a wildcard in a rule matches names."""
        return has(self.version, "wildcards") and not self.static.old_rules

    def rules_for(self, domain: str) -> tuple[str, ...]:
        """Return the domains whose rules match a domain: itself, and the wildcard one label up."""
        around = f"*.{domain.partition('.')[2]}"
        return (domain, around) if self.wildcards else (domain,)


def check(
    entries: Sequence[HostEntry],
    static: StaticConfiguration | None,
    *,
    output: str | None = None,
    traefik_version: Release = NEWEST,
    routes: Sequence[Route] | None = None,
) -> tuple[Diagnostic, ...]:
    """Find where Traefik would not do what is wanted: first entries, by name, then settings.

    ``entries`` are all that the grammar accepts, including those that a conflict leaves out;
    ``output`` is the path of the dynamic file; ``routes`` are the routes with an access file
    applied, if there is one.
    """
    static = static or UNKNOWN
    if routes is None:
        routes = plan_routes(entries, without_tls=static.without_tls).routes
    context = Context(tuple(sorted(entries)), tuple(routes), static, traefik_version)
    found = [diagnostic for rule in ENTRY_RULES for diagnostic in rule(context)]
    found.sort(key=lambda diagnostic: diagnostic.entry)
    found += encoded_slash_refused(context)
    return (*found, *check_static(static, output, traefik_version))


def passthrough_shadowed(context: Context) -> Iterator[Diagnostic]:
    """Report TCP entries whose connections go to an HTTP entry for the same name.

    An HTTP router with TLS takes precedence over every TCP router for its names.
    """
    takers: dict[tuple[str, str], HostEntry] = {}
    own_tls = {route.entry for route in context.routes if route.tls}
    for entry in context.entries:
        if entry.is_http:
            takers.setdefault((entry.entrypoint, entry.domain), entry)
    for entry in context.entries:
        if entry.is_http or entry.transport == "udp":
            continue
        entrypoint = context.entrypoint(entry.entrypoint)
        keys = [(entrypoint.name, domain) for domain in context.rules_for(entry.domain)]
        found = [takers[key] for key in keys if key in takers]
        no_tls = entrypoint.described and not entrypoint.tls
        if not found or (no_tls and not own_tls.intersection(found)):
            continue
        when = "" if entrypoint.described else f" if entrypoint {entrypoint.name} has TLS"
        yield diagnose(
            "passthrough-shadowed",
            entry,
            f"{shown(found[0].name)} takes the TLS connections for {entry.domain}{when}",
            "give one of the two another entrypoint or domain",
            Severity.ERROR if entrypoint.described else Severity.WARNING,
        )


def unknown_entrypoint(context: Context) -> Iterator[Diagnostic]:
    """Report entries on entrypoints that Traefik does not have."""
    there = context.static.entrypoints
    if not there:
        return
    unknown = {entry.entrypoint for entry in context.entries} - there.keys()
    hints = {name: _existing_hint(name, sorted(there)) for name in unknown}
    for entry in context.entries:
        if entry.entrypoint in unknown:
            yield diagnose(
                "unknown-entrypoint",
                entry,
                f"Traefik has no entrypoint {entry.entrypoint}",
                hints[entry.entrypoint],
                span=entrypoint_span(entry),
            )


def wrong_protocol_entrypoint(context: Context) -> Iterator[Diagnostic]:
    """Report TCP entries on entrypoints that listen on UDP, and the other way round."""
    used = {(entry.entrypoint, entry.transport) for entry in context.entries}
    for entry in context.entries:
        entrypoint, wanted = context.entrypoint(entry.entrypoint), entry.transport
        name, other = entrypoint.name, "tcp" if wanted == "udp" else "udp"
        if not (entrypoint.described or entrypoint.address):
            if wanted == "udp" and (name, other) in used:
                yield _one_of_both(entry)
        elif name in context.static.entrypoints and entrypoint.protocol == other:
            address = shown(entrypoint.address.partition("/")[0])
            line = f'address: "{address}{"/udp" if wanted == "udp" else ""}"'
            yield diagnose(
                "wrong-protocol-entrypoint",
                entry,
                f"entrypoint {name} listens on {other.upper()} ({shown(entrypoint.address)})",
                f"use an entrypoint that listens on {wanted.upper()}, with {line}",
                span=entrypoint_span(entry),
            )


def _one_of_both(entry: HostEntry) -> Diagnostic:
    return diagnose(
        "wrong-protocol-entrypoint",
        entry,
        f"TCP entries name entrypoint {entry.entrypoint} too, and Traefik listens there on either"
        " UDP or TCP",
        'use two entrypoints, one with address: ":PORT/udp"',
        Severity.WARNING,
        entrypoint_span(entry),
    )


def shadowed_by_raw(context: Context) -> Iterator[Diagnostic]:
    """Report HTTP routes without TLS beside a raw entry, which takes their connections."""
    raw = _raw_by_entrypoint(context)
    for route in context.routes if raw else ():
        entrypoint = context.entrypoint(route.entry.entrypoint)
        taker = raw.get(entrypoint.name)
        if not taker or route.protocol != "http" or route.part or entrypoint.tls or route.tls:
            continue
        when = "" if entrypoint.described else f" unless entrypoint {entrypoint.name} has TLS"
        yield diagnose(
            "shadowed-by-raw",
            route.entry,
            f"{shown(taker.name)} takes all connections without TLS, and this route is never"
            f" reached{when}",
            "give one of the two another entrypoint",
            Severity.ERROR if entrypoint.described else Severity.WARNING,
            entrypoint_span(route.entry),
        )


def raw_waits(context: Context) -> Iterator[Diagnostic]:
    """Report raw entries beside TLS routes, where Traefik waits for the client's first byte."""
    raw = _raw_by_entrypoint(context)
    beside: dict[str, HostEntry] = {}
    for route in context.routes if raw else ():
        name = route.entry.entrypoint
        has_tls = route.tls or context.entrypoint(name).tls or route.protocol == "tcp"
        if name in raw and has_tls and route.protocol != "udp" and not route.entry.is_raw:
            beside.setdefault(name, route.entry)
    for name, other in beside.items():
        if raw[name].scheme not in CLIENT_FIRST:
            what = shown(other.name) if other.name else "the dashboard"
            yield diagnose(
                "raw-waits",
                raw[name],
                f"beside {what}, which has TLS, Traefik waits for the client's first byte: if the"
                " protocol starts with the server's, both wait",
                "give one of the two another entrypoint, unless the client speaks first",
                Severity.WARNING,
                entrypoint_span(raw[name]),
            )


def _raw_by_entrypoint(context: Context) -> dict[str, HostEntry]:
    return {route.entry.entrypoint: route.entry for route in context.routes if route.entry.is_raw}


def redirect_shadows_route(context: Context) -> Iterator[Diagnostic]:
    """Report HTTP routes that the redirect of their entrypoint outranks.

    Redirects do not apply to TCP. Between equal priorities Traefik picks at random at each start.
    """
    for route in context.routes:
        entrypoint = context.entrypoint(route.entry.entrypoint)
        redirect = context.static.redirect_of(entrypoint)
        if route.protocol != "http" or not redirect or redirect.priority < priority_of(route):
            continue
        if route.part:  # additional to the entry's own route
            continue
        yield diagnose(
            "redirect-shadows-route",
            route.entry,
            f"entrypoint {entrypoint.name} redirects every request to {shown(redirect.to)} with"
            f" priority {redirect.priority}, and the route has {priority_of(route)}",
            "use another entrypoint, or set"
            f" entryPoints.{entrypoint.name}.http.redirections.entryPoint.priority to 1",
            span=entrypoint_span(route.entry),
        )


def entrypoint_without_tls(context: Context) -> Iterator[Diagnostic]:
    """Report HTTP entries that serve plain HTTP where clients use HTTPS."""
    redirects = {
        name: redirect
        for name, entrypoint in context.static.entrypoints.items()
        if (redirect := context.static.redirect_of(entrypoint))
        and redirect.scheme.lower() == "https"
    }
    own_tls = {route.entry.name for route in context.routes if route.tls}
    for entry in context.entries:
        entrypoint = context.entrypoint(entry.entrypoint)
        speaks_tls = entrypoint.tls or entry.name in own_tls
        if not entry.is_http or not entrypoint.described or speaks_tls:
            continue
        reasons = ["it listens on port 443"] if entrypoint.port == "443" else []
        reasons += [
            f"entrypoint {shown(name)} redirects to it with https"
            for name, redirect in redirects.items()
            if redirect.to in (entrypoint.name, f":{entrypoint.port}")
        ]
        if reasons:
            yield diagnose(
                "entrypoint-without-tls",
                entry,
                f"entrypoint {entrypoint.name} serves only plain HTTP, though {reasons[0]}: a"
                " browser gets 404",
                "set tls: true, or certResolver, for the name in the access file, which needs no"
                f" restart of Traefik, or entryPoints.{entrypoint.name}.http.tls to {{}}",
                span=entrypoint_span(entry),
            )


def https_backend_unverifiable(context: Context) -> Iterator[Diagnostic]:
    """Report https entries: Traefik verifies their backends' certificates by IP address."""
    static = context.static
    if not static.described or static.insecure_skip_verify or static.own_trust:
        return
    settled = {route.entry.name for route in context.routes if route.servers_transport}
    for entry in context.entries:
        if entry.is_http and entry.scheme == "https" and entry.name not in settled:
            yield diagnose(
                "https-backend-unverifiable",
                entry,
                "Traefik answers 500 unless the backend's certificate names"
                f" {entry.address or 'the address'} and the system trusts its issuer",
                "set serversTransport.insecureSkipVerify to true, or serversTransport.rootCAs if"
                " the certificate names the address, or use http",
                Severity.WARNING,
                scheme_span(entry),
            )


def acme_intercepts(context: Context) -> Iterator[Diagnostic]:
    """Report passthrough entries whose backends never receive their own HTTP-01 challenges."""
    passthrough = [entry for entry in context.entries if entry.is_passthrough]
    for name in context.static.challenge_entrypoints:
        own = _domains_with_challenges(context, name)
        for entry in passthrough:
            if own.isdisjoint(context.rules_for(entry.domain)):
                yield diagnose(
                    "acme-intercepts",
                    entry,
                    f"Traefik answers the HTTP-01 challenges for {entry.domain} on entrypoint"
                    f" {shown(name)} itself, so that the backend cannot get a certificate by them",
                    "use DNS-01 challenges for Traefik's certificate resolver, or for the backend",
                    Severity.WARNING,
                )


def tls_challenge_intercepted(context: Context) -> Iterator[Diagnostic]:
    """Report passthrough entries whose backends never receive TLS-ALPN-01 challenges."""
    for entry in context.entries if context.static.tls_challenge else ():
        entrypoint = context.entrypoint(entry.entrypoint)
        bypass = entrypoint.acme_bypass and has(context.version, "entrypoints.*.allowacmebypass")
        if entry.is_passthrough and entrypoint.described and not bypass:
            yield diagnose(
                "tls-challenge-intercepted",
                entry,
                f"on entrypoint {entrypoint.name} Traefik answers TLS-ALPN-01 challenges itself,"
                " since a certificate resolver of its own has tlsChallenge",
                f"set entryPoints.{entrypoint.name}.allowACMEByPass to true (Traefik"
                f" {since('entrypoints.*.allowacmebypass')} or newer), or use DNS-01 challenges in"
                " Traefik",
                Severity.WARNING,
                entrypoint_span(entry),
            )


def alpn_missing(context: Context) -> Iterator[Diagnostic]:
    """Report routes whose clients offer an ALPN protocol that Traefik's default refuses."""
    for route in context.routes:
        if (protocols := alpn_of(route)) == ALWAYS_OFFERED and not route.tls:
            yield diagnose(
                "alpn-missing",
                route.entry,
                f"newer clients of {route.entry.scheme} (libpq 17) offer the ALPN protocol"
                f" {protocols[0]} alone, which Traefik refuses by default",
                "give --access-file, which adds it: a file with default: public is enough",
                Severity.WARNING,
                scheme_span(route.entry),
            )


def unreachable_wildcard(context: Context) -> Iterator[Diagnostic]:
    """Report wildcards where there are none: literal in HTTP rules, an error in TCP rules.

    That is before Traefik 3.7, and in the syntax of Traefik 2.
    """
    why, how = "with core.defaultRuleSyntax v2 Traefik has no wildcards", "remove that setting"
    if not has(context.version, "wildcards"):
        why = f"Traefik {as_text(context.version)} does not support wildcards"
        how = f"use Traefik {since('wildcards')} or newer"
    for entry in context.entries if not context.wildcards else ():
        if entry.is_wildcard and entry.transport == "tcp":
            at = entry.name.index("*")
            yield diagnose(
                "unreachable-wildcard",
                entry,
                why,
                f"{how}, or write an entry for each name",
                span=(at, at + 1),
            )


def starttls_fails(context: Context) -> Iterator[Diagnostic]:
    """Report entries of PostgreSQL for a release in which TLS does not begin as its clients ask."""
    for route in context.routes if has(context.version, "starttls-fails") else ():
        if alpn_of(route) == ALWAYS_OFFERED:
            yield diagnose(
                "release-defect",
                route.entry,
                f"Traefik {as_text(context.version)} gives clients of PostgreSQL no TLS",
                "use another release, or sslnegotiation=direct in all clients",
                span=scheme_span(route.entry),
            )


def encoded_slash_refused(context: Context) -> Iterator[Diagnostic]:
    """Report entrypoints of HTTP entries for a release that refuses paths which others pass."""
    names = {entry.entrypoint for entry in context.entries if entry.is_http}
    for name in sorted(names) if has(context.version, "encoded-slash-refused") else ():
        entrypoint = context.entrypoint(name)
        if entrypoint.described and not entrypoint.encoded_slash:
            setting = f"entryPoints.{name}.http.encodedCharacters.allowEncodedSlash"
            yield diagnose_setting(
                "release-defect",
                setting,
                f"Traefik {as_text(context.version)} answers 400 for a path with an encoded slash",
                f"use another release, or set {setting} to true",
                Severity.WARNING,
            )


def address_as_name(context: Context) -> Iterator[Diagnostic]:
    """Report TCP entries whose domain is an address: clients send none as SNI (RFC 6066)."""
    for entry in context.entries:
        is_named = entry.transport == "tcp" and not entry.is_http
        if is_named and _IPV4.fullmatch(entry.domain):
            yield diagnose(
                "address-as-name",
                entry,
                f"TLS clients send no name for an address, here {entry.domain}: no connection"
                " reaches this route",
                "write a name, or * with an entrypoint of its own",
                Severity.WARNING,
                (at := entry.name.rindex(entry.domain), at + len(entry.domain)),
            )


def _existing_hint(name: str, there: list[str]) -> str:
    """Return a hint with all entrypoints, the one with the most similar name first."""
    by_lower = {each.lower(): each for each in there}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    meant = f"did you mean {shown(by_lower[close[0]])}? " if close else ""
    return f"{meant}it has {shown(', '.join(there))}"


def _domains_with_challenges(context: Context, entrypoint: str) -> set[str]:
    """Return the domains on an entrypoint whose routes get challenges in place of Traefik."""
    if not context.entrypoint(entrypoint).acme_bypass:
        return set()
    return {
        route.entry.domain
        for route in context.routes
        if route.protocol == "http"
        and route.entry.entrypoint == entrypoint
        and priority_of(route) > _CHALLENGE_PRIORITY
    }


ENTRY_RULES: tuple[Callable[[Context], Iterator[Diagnostic]], ...] = (
    passthrough_shadowed,
    unknown_entrypoint,
    wrong_protocol_entrypoint,
    shadowed_by_raw,
    raw_waits,
    redirect_shadows_route,
    entrypoint_without_tls,
    https_backend_unverifiable,
    acme_intercepts,
    tls_challenge_intercepted,
    alpn_missing,
    unreachable_wildcard,
    address_as_name,
    starttls_fails,
)
