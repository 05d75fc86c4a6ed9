"""The rules about the access file: what Traefik would do with the routers that it adds.

tests/test_access_in_traefik.py has the real Traefik show what they say.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ctsdns_traefik.core.access import CHALLENGE_PART, DASHBOARD
from ctsdns_traefik.core.access_values import Access, wider
from ctsdns_traefik.core.hosts import HostEntry
from ctsdns_traefik.core.places import Place
from ctsdns_traefik.core.printable import shown
from ctsdns_traefik.core.problems import Problem, Severity
from ctsdns_traefik.core.routes import Route, priority_of
from ctsdns_traefik.core.static import Entrypoint, StaticConfiguration


def check_access(
    entries: Iterable[HostEntry],
    routes: Sequence[Route],
    access: Access,
    static: StaticConfiguration | None,
) -> tuple[Problem, ...]:
    """Find what keeps the added routers from their work, and patterns that nothing has.

    Problems that are no entry's have a setting, a dotted path in the access file.
    """
    static = static or StaticConfiguration({}, described=False)
    return (
        *_challenges(routes, static),
        *_dashboard(routes, static),
        *_tied(routes),
        *_replaced(routes, static),
        *check_unused(entries, access),
    )


def places_in(access: Access) -> Mapping[str, Place]:
    """Return where the settings stand that problems can name."""
    places = {_setting(route.pattern): route.place for route in access.routes.values()}
    return places | ({DASHBOARD: access.dashboard.access.place} if access.dashboard else {})


def _challenges(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Problem]:
    for route in routes:
        if route.part == CHALLENGE_PART:
            for why, hint in _obstacles(route, static, challenge=True):
                message = f"the ACME challenges for {route.entry.domain} do not get through: {why}"
                yield _problem("challenge-unreachable", message, hint, entry=route.entry)


def _dashboard(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Problem]:
    for route in routes:
        if route.router == DASHBOARD:
            for why, hint in _obstacles(route, static, challenge=False):
                message = f"the dashboard cannot be reached: {why}"
                yield _problem("dashboard-unreachable", message, hint, setting=DASHBOARD)


def _obstacles(
    route: Route, static: StaticConfiguration, *, challenge: bool
) -> Iterator[tuple[str, str]]:
    """Yield each reason why requests do not come to a router, and how to mend it."""
    name = route.entry.entrypoint
    entrypoint = static.entrypoints.get(name, Entrypoint(name, described=False))
    redirect = static.redirect_of(entrypoint)
    if static.entrypoints and name not in static.entrypoints:
        yield f"Traefik has no entrypoint {name}", f"name one of {', '.join(static.entrypoints)}"
    if entrypoint.protocol == "udp":
        yield f"entrypoint {name} listens on UDP", "name one that listens on TCP"
    if redirect and redirect.priority >= priority_of(route):
        yield (
            f"entrypoint {name} redirects every request with priority {redirect.priority}",
            f"set entryPoints.{name}.http.redirections.entryPoint.priority to 1",
        )
    if challenge and entrypoint.tls:
        yield f"entrypoint {name} has TLS, and they come without", "name the one with port 80"
    if challenge and name in static.challenge_entrypoints and not entrypoint.acme_bypass:
        yield (
            f"on entrypoint {name} Traefik answers all challenges itself",
            f"set entryPoints.{name}.allowACMEByPass",
        )
    if not challenge and static.described and not static.api:
        yield "Traefik has no API", "set api: {} in its static configuration"


def _tied(routes: Sequence[Route]) -> Iterator[Problem]:
    """Report names of one letter with other TLS options than the wildcard beside them.

    By equally long names Traefik was seen to pick either, anew at each start.
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
            yield _problem(
                "tls-options-tied",
                f"Traefik takes its TLS options or those of {around}, anew at each start, and"
                " answers 421 if they are the wrong ones",
                "use a longer name, or the same access for both",
                entry=route.entry,
            )


def _replaced(routes: Sequence[Route], static: StaticConfiguration) -> Iterator[Problem]:
    """Report HTTP routers whose TLS puts that of their entrypoint, and its mTLS, out of force."""
    for route in routes:
        entrypoint = static.entrypoints.get(route.entry.entrypoint)
        options = entrypoint.tls_options if entrypoint else ""
        ours = route.tls and route.protocol == "http" and not route.tls.options
        if ours and options not in ("", "default"):
            yield _problem(
                "entrypoint-tls-replaced",
                f"its tls or certResolver puts the TLS options {shown(options)} of entrypoint"
                f" {route.entry.entrypoint} out of force",
                "leave them out, or say mtls-strict",
                entry=route.entry if route.entry.name else None,
                setting=DASHBOARD,
            )


def check_unused(entries: Iterable[HostEntry], access: Access) -> Iterator[Problem]:
    """Find the patterns that no entry has: a misspelt one protects nothing.

    What may have been meant is, for a wildcard, a wildcard that covers an entry.
    """
    domains = {entry.domain for entry in entries}
    used = {found.pattern for domain in domains if (found := access.find(domain))}
    for domain in domains:
        used |= {said.pattern for said in access.exact_below(domain)}
    unused = [pattern for pattern in access.routes if pattern not in used]
    around = {each for domain in domains for each in _wildcards_of(domain)} if unused else set()
    for pattern in unused:
        known = around if pattern.startswith("*") else domains
        close = difflib.get_close_matches(pattern, sorted(known), n=1)
        yield _problem(
            "access-unused",
            "no entry has this name, or all have one that says more",
            f"did you mean {close[0]}?" if close else "remove it, or add an entry",
            setting=_setting(pattern),
            severity=Severity.WARNING,
        )


def _wildcards_of(domain: str) -> Iterator[str]:
    while domain := wider(domain):
        yield domain


def _setting(pattern: str) -> str:
    return f"routes.{pattern}"


def _problem(
    code: str,
    message: str,
    hint: str,
    *,
    entry: HostEntry | None = None,
    setting: str = "",
    severity: Severity = Severity.ERROR,
) -> Problem:
    if entry is None:
        return Problem(code, "", message, hint, (0, 0), severity=severity, setting=setting)
    return Problem(code, entry.name, message, hint, (0, len(entry.name)), entry.address, severity)
