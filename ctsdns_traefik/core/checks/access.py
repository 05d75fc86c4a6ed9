"""Check what Traefik would do with the routers that an access file adds.

The rules were observed with Traefik; tests/traefik/test_access_in_traefik.py repeats that.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ctsdns_traefik.core.access.apply import CHALLENGE_PART
from ctsdns_traefik.core.access.model import DASHBOARD, Access, wider
from ctsdns_traefik.core.access.modes import (
    TRUSTED,
    TRUSTED_BY_PATTERN,
    depends_on_address,
    forward_auth_name,
)
from ctsdns_traefik.core.checks.static import unknown_resolver
from ctsdns_traefik.core.dynamic.routes import INTERNAL, Route, priority_of
from ctsdns_traefik.core.entries.grammar import ANY, HostEntry, diagnose, entrypoint_span
from ctsdns_traefik.core.problems import (
    Diagnostic,
    Severity,
    SourceLocation,
    diagnose_setting,
)
from ctsdns_traefik.core.releases import NEWEST, Release, has, since
from ctsdns_traefik.core.static_config.configuration import (
    UNKNOWN,
    Entrypoint,
    Redirect,
    StaticConfiguration,
)
from ctsdns_traefik.core.text import shown

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4-mapped IPv6 addresses, which Traefik reads as IPv4."""


_SUBNETS = {4: 24, 6: 64}
"""The prefix length of the largest network that may be a subnet of proxies, by IP version."""


def check_access(
    entries: Iterable[HostEntry],
    routes: Sequence[Route],
    access: Access,
    static: StaticConfiguration | None,
    version: Release = NEWEST,
) -> tuple[Diagnostic, ...]:
    """Find added routers that would not work as intended, and patterns that match no entry.

    A diagnostic is for an entry, or for a setting of the access file or the static configuration.
    ``version`` is that of the Traefik that will run.
    """
    static = static or UNKNOWN
    return (
        *_challenges(routes, static, version),
        *_dashboard(routes, static),
        *_tied(routes),
        *_outranked(routes),
        *_replaced(routes, static),
        *_resolvers(routes, access, static),
        *_aliases(routes, access, static),
        *_proxied(routes, static),
        *_reachable(routes, access, static),
        *check_unused(entries, access),
    )


def setting_locations(access: Access) -> Mapping[str, SourceLocation]:
    """Return the locations of the access file's settings that diagnostics can be for."""
    return {setting: each.location for setting, each in access.by_setting.items()}


def _challenges(
    routes: Sequence[Route], static: StaticConfiguration, version: Release
) -> Iterator[Diagnostic]:
    for route in routes:
        if route.part == CHALLENGE_PART:
            for why, hint in _obstacles(route, routes, static, version, challenge=True):
                domain = route.entry.domain
                message = f"ACME challenges for {domain} do not reach the backend: {why}"
                yield diagnose("challenge-unreachable", route.entry, message, hint)


def _dashboard(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Diagnostic]:
    for route in routes:
        if route.router == DASHBOARD:
            for why, hint in _obstacles(route, routes, static, challenge=False):
                message = f"the dashboard cannot be reached: {why}"
                yield diagnose_setting("dashboard-unreachable", DASHBOARD, message, hint)


def _obstacles(
    route: Route,
    routes: Sequence[Route],
    static: StaticConfiguration,
    version: Release = NEWEST,
    *,
    challenge: bool,
) -> Iterator[tuple[str, str]]:
    """Yield each reason why requests do not reach a router, and how to fix it."""
    name = route.entry.entrypoint
    entrypoint = static.entrypoints.get(name, Entrypoint(name, described=False))
    raw = [each.entry for each in routes if each.entry.is_raw and each.entry.entrypoint == name]
    if raw and entrypoint.described and not (entrypoint.tls or route.tls):
        yield (
            f"{shown(raw[0].name)} takes all connections without TLS of entrypoint {name}",
            "give one of the two another entrypoint",
        )
    redirect = static.redirect_of(entrypoint)
    if static.entrypoints and name not in static.entrypoints:
        yield (
            f"Traefik has no entrypoint {name}",
            f"set entryPoint to one of {', '.join(static.entrypoints)}",
        )
    if entrypoint.protocol == "udp":
        yield f"entrypoint {name} listens on UDP", "set entryPoint to one that listens on TCP"
    if redirect and redirect.priority >= priority_of(route):
        yield from _behind_redirect(entrypoint, redirect, version, challenge=challenge)
    if challenge and entrypoint.tls:
        yield (
            f"entrypoint {name} has TLS, and challenges come without it",
            "set entryPoint to one without TLS on port 80",
        )
    if challenge and name in static.challenge_entrypoints and not entrypoint.acme_bypass:
        why = f"on entrypoint {name} Traefik answers all challenges itself"
        first = since("entrypoints.*.allowacmebypass")
        yield why, f"set entryPoints.{name}.allowACMEByPass to true ({first} or newer)"
    if not challenge and static.described and not (static.api and static.dashboard):
        what = "Traefik's API is without it" if static.api else "Traefik has no API"
        yield what, "set api: {} in its static configuration, without dashboard: false"


def _behind_redirect(
    entrypoint: Entrypoint, redirect: Redirect, version: Release, *, challenge: bool
) -> Iterator[tuple[str, str]]:
    """Yield the obstacle of a redirect, which newer releases let challenges past."""
    setting, first = f"entryPoints.{entrypoint.name}", since("acme-past-redirect")
    bypass = f", or with Traefik {first} or newer {setting}.allowACMEByPass to true"
    if not (challenge and entrypoint.acme_bypass and has(version, "acme-past-redirect")):
        why = f"entrypoint {entrypoint.name} redirects every request with priority"
        yield (
            f"{why} {redirect.priority}",
            f"set {setting}.http.redirections.entryPoint.priority to 1{bypass * challenge}",
        )


def _tied(routes: Sequence[Route]) -> Iterator[Diagnostic]:
    """Report one-letter names with other TLS options than the wildcard beside them.

    Between names of equal length Traefik picks at random at each start.
    """
    options = {
        (route.entry.entrypoint, route.entry.domain): route.tls.options if route.tls else ""
        for route in routes
        if route.protocol == "http" and not route.part
    }
    for route in routes:
        entrypoint, domain = route.entry.entrypoint, route.entry.domain
        ours, around = route.tls.options if route.tls else "", wider(domain)
        if (
            route.protocol == "http"
            and len(domain) == len(around)
            and options.get((entrypoint, around), ours) != ours
        ):
            yield diagnose(
                "tls-options-tied",
                route.entry,
                f"at each start Traefik picks either its TLS options or those of {around}, and"
                " answers 421 if they are the wrong ones",
                "use a longer name, or the same access for both",
            )


def _outranked(routes: Sequence[Route]) -> Iterator[Diagnostic]:
    """Report names whose requests go to the wildcard beside them, by a priority of the file.

    Between routers of equal priority Traefik picks at random at each start.
    """
    wildcards = {
        (route.protocol, route.entry.entrypoint, route.entry.domain, bool(route.tls)): route
        for route in routes
        if route.entry.is_wildcard and not route.part
    }
    for route in routes:
        protocol, entry, around = route.protocol, route.entry, wider(route.entry.domain)
        wildcard = wildcards.get((protocol, entry.entrypoint, around, bool(route.tls)))
        if entry.is_wildcard or route.part or not wildcard or protocol == "udp":
            continue
        ours, highest = priority_of(route), priority_of(wildcard)
        if highest >= ours:
            picked = "sends its requests there" if highest > ours else "picks one at random"
            yield diagnose(
                "outranked-by-wildcard",
                entry,
                f"{shown(wildcard.entry.name)} has priority {highest}, this route {ours}: Traefik"
                f" {picked}",
                "remove the wildcard's priority in the access file, or set a higher one here",
            )


def _replaced(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report HTTP routers whose TLS section replaces that of their entrypoint, and what is lost."""
    for route in routes:
        entrypoint = static.entrypoints.get(route.entry.entrypoint)
        if not entrypoint or not route.tls or route.protocol != "http":
            continue
        if not route.tls.options and entrypoint.tls_options not in ("", "default"):
            yield _replaces(
                route,
                f"its tls or certResolver replaces the TLS options {shown(entrypoint.tls_options)}"
                f" of entrypoint {entrypoint.name}, so that these do not apply",
                "remove tls and certResolver, or set access to mtls-strict",
            )
        if not route.tls.cert_resolver and entrypoint.cert_resolver:
            resolver = shown(entrypoint.cert_resolver)
            yield _replaces(
                route,
                f"its tls or mtls-strict replaces the certificate resolver {resolver} of entrypoint"
                f" {entrypoint.name}, which gets no certificate for this name",
                f"set certResolver to {resolver} for it",
            )._replace(severity=Severity.WARNING)


def _replaces(route: Route, message: str, hint: str) -> Diagnostic:
    if route.entry.name:
        return diagnose("entrypoint-tls-replaced", route.entry, message, hint)
    return diagnose_setting("entrypoint-tls-replaced", DASHBOARD, message, hint)


def _resolvers(
    routes: Sequence[Route], access: Access, static: StaticConfiguration
) -> Iterator[Diagnostic]:
    """Report settings of the access file that name a certificate resolver that is not defined."""
    used = {route.tls.cert_resolver for route in routes if route.tls} - {"", *static.resolvers}
    for setting, each in access.by_setting.items() if static.described else ():
        if each.cert_resolver in used:
            yield unknown_resolver(setting, each.cert_resolver, static)


def _aliases(
    routes: Sequence[Route], access: Access, static: StaticConfiguration
) -> Iterator[Diagnostic]:
    """Report entrypoints that pass headers from clients that backends mistake for trusted ones."""
    trusting = {
        forward_auth_name(name)
        for name, options in access.forward_auth.items()
        if TRUSTED in options or TRUSTED_BY_PATTERN in options
    }
    used = {
        route.entry.entrypoint
        for route in routes
        if trusting.intersection(route.middlewares) and not route.service.endswith(INTERNAL)
    }
    for entrypoint in _described(used, static):
        if not entrypoint.alias_headers:
            setting = f"entryPoints.{entrypoint.name}.http.aliasHeadersStrategy"
            first = since("entrypoints.*.http.aliasheadersstrategy")
            yield diagnose_setting(
                "header-aliases-pass",
                setting,
                f"entrypoint {entrypoint.name} passes on X_Name and X.Name from clients, and PHP,"
                " WSGI and CGI take them for X-Name, which the auth server sets",
                f"set {setting} to delete, with Traefik {first} or newer",
                Severity.WARNING,
            )


def _proxied(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report entrypoints where clients can choose the address that access depends on."""
    used = {route.entry.entrypoint for route in routes if depends_on_address(route)}
    for entrypoint in _described(used, static):
        protocol = entrypoint.proxy_protocol
        wide = [each for each in protocol.trusted if _is_wide(each)]
        if protocol.insecure or wide:
            origin = "" if protocol.insecure else f" from {shown(', '.join(wide))}"
            setting = "insecure" if protocol.insecure else "trustedIPs"
            yield diagnose_setting(
                "proxy-protocol-trusted",
                f"entryPoints.{entrypoint.name}.proxyProtocol.{setting}",
                f"any client that connects{origin} to entrypoint {entrypoint.name} chooses the"
                " address that tailscale-only and tailscale-bypass check",
                "name the addresses of your own proxies in trustedIPs, and leave insecure out",
                Severity.WARNING,
            )


def _reachable(
    routes: Sequence[Route], access: Access, static: StaticConfiguration
) -> Iterator[Diagnostic]:
    """Report UDP entries that are for the tailnet on an entrypoint that others can reach.

    The access file lists such entrypoints, which ``watch`` cannot see, in ``tailnet.entryPoints``.
    """
    for route in routes:
        settings = access.settings_for(route.entry)
        name = route.entry.entrypoint
        if route.protocol != "udp" or not settings or not settings.is_protected:
            continue
        entrypoint = static.entrypoints.get(name)
        if name not in access.tailnet_entrypoints:
            yield diagnose(
                "udp-entrypoint-unlisted",
                route.entry,
                f"entrypoint {name} listens on the tailnet alone, but without the static"
                " configuration watch and render-once cannot know that, and leave the route out",
                f"list {name} in tailnet.entryPoints of the access file",
                span=entrypoint_span(route.entry),
            )
        elif entrypoint and entrypoint.address and not is_bound(entrypoint, access):
            yield diagnose(
                "udp-entrypoint-open",
                route.entry,
                f"entrypoint {name} of tailnet.entryPoints listens on {shown(entrypoint.address)},"
                " which is not an address of the tailnet: anybody who can reach it is served",
                f"set entryPoints.{name}.address to the machine's Tailscale address and the port",
                span=entrypoint_span(route.entry),
            )


def is_bound(entrypoint: Entrypoint, access: Access) -> bool:
    """Return whether an entrypoint listens on an address of the tailnet, or on loopback, alone."""
    try:
        address = ipaddress.ip_address(entrypoint.host)
    except ValueError:
        return False
    networks = map(ipaddress.ip_network, access.ranges)
    return address.is_loopback or any(address in network for network in networks)


def _described(names: Iterable[str], static: StaticConfiguration) -> Iterator[Entrypoint]:
    """Yield the entrypoints whose settings are all known."""
    for name in sorted(names):
        if name in static.entrypoints and static.entrypoints[name].described:
            yield static.entrypoints[name]


def _is_wide(trusted: str) -> bool:
    """Return whether a network, loopback aside, is larger than a subnet of proxies.

    An invalid one is not: Traefik does not start with it.
    """
    try:
        network = ipaddress.ip_network(trusted, strict=False)
    except ValueError:
        return False
    if network.version == 6 and network.subnet_of(_MAPPED):  # noqa: PLR2004
        network = ipaddress.ip_network((int(network[0]) & 0xFFFFFFFF, network.prefixlen - 96))
    return network.prefixlen < _SUBNETS[network.version] and not network.is_loopback


def check_unused(entries: Iterable[HostEntry], access: Access) -> Iterator[Diagnostic]:
    """Find patterns that match no entry: a misspelt one protects nothing."""
    entries = tuple(entries)
    raw = {entry.entrypoint for entry in entries if entry.domain == ANY}
    for name in access.raw.keys() - raw:
        close = difflib.get_close_matches(name, sorted(raw), n=1)
        yield _unused(f"raw.{name}", "no entry without a name has this entrypoint", close)
    domains = {entry.domain for entry in entries} - {ANY}
    used = {found.pattern for domain in domains if (found := access.find(domain))}
    for domain in domains:
        used |= {each.pattern for each in access.exact_below(domain)}
    unused = [pattern for pattern in access.routes if pattern not in used]
    around = {each for domain in domains for each in _wildcards_of(domain)} if unused else set()
    for pattern in unused:
        known = around if pattern.startswith("*") else domains
        close = difflib.get_close_matches(pattern, sorted(known), n=1)
        message = "no entry has this name, or a more specific one covers all that have"
        yield _unused(_setting(pattern), message, close)


def _unused(setting: str, message: str, close: list[str]) -> Diagnostic:
    hint = f"did you mean {close[0]}?" if close else "remove it, or add an entry"
    return diagnose_setting("access-unused", setting, message, hint, Severity.WARNING)


def _wildcards_of(domain: str) -> Iterator[str]:
    while domain := wider(domain):
        yield domain


def _setting(pattern: str) -> str:
    return f"routes.{pattern}"
