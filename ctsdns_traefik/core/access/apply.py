"""Apply an access file to routes, and leave out the routes that it cannot protect.

Access fails closed: the settings for a name hold whichever router Traefik picks for it, or the
route is left out. What one router cannot express takes additional ones: for the tailnet, for ACME
challenges, for a name that has its own settings but only a wildcard's entry. Their names are the
router's name, ``~`` and their purpose; no name that is made of entries contains a ``~``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from ctsdns_traefik.core.access.model import (
    DASHBOARD,
    NO_BALANCING,
    Access,
    Challenge,
    Dashboard,
    RouteAccess,
    wider,
)
from ctsdns_traefik.core.access.modes import not_applicable, part_of, protect, with_alpn
from ctsdns_traefik.core.access.resources import NOTHING, References, references_of
from ctsdns_traefik.core.dynamic.routes import INTERNAL, Route, make_route, priority_of
from ctsdns_traefik.core.entries.grammar import ANY, HostEntry
from ctsdns_traefik.core.problems import Diagnostic, DiagnosticError, diagnose_setting

CHALLENGE_PART = "acme-challenge"
_UNPROTECTED = ("", "", "")

API = f"api{INTERNAL}"
"""Traefik's own service for the API and the dashboard."""


Known = Mapping[str, tuple[Route, Sequence[Route]]]
"""Routes and all routers of each, by entry name, where these depend on nothing but the access."""

NOTHING_KNOWN: Known = {}


class Applied(NamedTuple):
    """The routes to serve, what they refer to, and diagnostics for those left out."""

    routes: tuple[Route, ...]
    """In the order of the entries' names, the dashboard first."""
    references: References = NOTHING
    diagnostics: tuple[Diagnostic, ...] = ()
    known: Known = NOTHING_KNOWN


def apply_access(routes: Iterable[Route], access: Access, known: Known = NOTHING_KNOWN) -> Applied:
    """Give each route its routers; leave out and report a route whose access cannot be enforced.

    ``known`` is from any other call with the same access, and saves most of the time.
    """
    served = _Served()
    diagnostics: list[Diagnostic] = []
    try:
        served.add(_dashboard(access.dashboard, access))
    except DiagnosticError as why:
        diagnostics.append(diagnose_setting(why.code, DASHBOARD, why.message, why.hint))
    now_known: dict[str, tuple[Route, Sequence[Route]]] = {}
    # Names before wildcards: a wildcard also serves the names that are left out, and must then
    # enforce their settings.
    for route in sorted(routes, key=_is_wildcard):
        same, found = known.get(route.entry.name, (None, ()))
        try:
            found = found if same == route else _routers(route, served, access)
        except DiagnosticError as error:
            diagnostics += error.diagnostics_for(route.entry.name, route.entry.address)
            continue
        served.add(found)
        # A wildcard depends on the names below it, and an ACME challenge on other challenges.
        if not (route.passthrough or _is_wildcard(route)):
            now_known[route.entry.name] = route, found
    in_order = tuple(sorted(served.routes, key=attrgetter("entry.name")))
    references = references_of(in_order, access)
    return Applied(in_order, references, tuple(diagnostics), now_known)


Key = tuple[str, str, str]


class _Served:
    """The routers so far, those for ACME challenges apart from the others."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.challenges: dict[Key, Route] = {}
        self._names: set[Key] = set()
        self._below: dict[Key, list[Route]] = defaultdict(list)

    def add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            self.routes.append(route)
            if route.part == CHALLENGE_PART:
                self.challenges[_key(route)] = route
            elif not _is_wildcard(route):
                self._names.add(_key(route))
                self._below[_key(route, wider(route.entry.domain))].append(route)

    def has(self, route: Route) -> bool:
        """Return whether a route's name has its own router."""
        return _key(route) in self._names

    def below(self, wildcard: Route) -> list[Route]:
        """Return the routers for names that a wildcard route matches."""
        return self._below.get(_key(wildcard), [])


def _key(route: Route, domain: str = "") -> Key:
    return route.protocol, route.entry.entrypoint, domain or route.entry.domain


def _is_wildcard(route: Route) -> bool:
    return route.entry.is_wildcard and route.protocol != "udp"  # to UDP a domain is only a label


def _routers(route: Route, served: _Served, access: Access) -> list[Route]:
    """Return all routers of one route; raise :class:`DiagnosticError` if one is impossible."""
    _require_another_name(route, access.dashboard)
    _require_one_access(route, access)
    found: list[Route] = []
    for each, settings in _with_exact_names(route, served, access):
        if settings is None:
            found.append(with_alpn(each._replace(others=()) if each.others else each))
            continue
        found += protect(each, settings, access)
        if settings.challenge and route.passthrough:  # otherwise Traefik has the certificate
            found += _challenge(each, settings.challenge, served)
    if _is_wildcard(route):
        others = _others(found, served.below(route), access)
        _require_names_above(found, others)
        found = [_without(others, each) if _is_wildcard(each) else each for each in found]
    return found


def _with_exact_names(
    route: Route, served: _Served, access: Access
) -> Iterator[tuple[Route, RouteAccess | None]]:
    """Yield a route, and for a wildcard one for each name with settings but without an entry."""
    whole = access.settings_for(route.entry)
    yield route, whole
    for settings in access.exact_below(route.entry.domain) if _is_wildcard(route) else ():
        named = make_route(route.entry._replace(domain=settings.pattern))
        if not served.has(named):
            # Between rules of equal length Traefik picks at random at each start.
            tied = len(named.rule) == len(route.rule)
            named = part_of(route, settings.pattern)._replace(
                entry=named.entry, rule=named.rule, priority=len(named.rule) + 1 if tied else None
            )
            if settings.balancing != (whole.balancing if whole else NO_BALANCING):
                named = named._replace(service=f"{route.service}~{settings.pattern}")
            yield named, settings


def _challenge(route: Route, challenge: Challenge, served: _Served) -> list[Route]:
    """Return the router for a machine's HTTP-01 challenges, unless it already exists."""
    entry = route.entry._replace(
        entrypoint=challenge.entrypoint, scheme="http", port=challenge.port
    )
    plain = make_route(entry)
    router = plain._replace(
        rule=f"{plain.rule} && PathPrefix(`/.well-known/acme-challenge/`) && Method(`GET`)",
        router=part_of(route, CHALLENGE_PART).router,
        service=f"{route.service}~{CHALLENGE_PART}",
        part=CHALLENGE_PART,
    )
    if route.others:
        raise not_applicable(
            "several machines serve it, and each ACME challenge is for one of them",
            "remove balance or acmeChallenge, or use DNS-01 challenges",
        )
    there = served.challenges.get(_key(router))
    if there and there.backend != router.backend:
        raise not_applicable(
            f"the ACME challenges for {entry.domain} already go to {there.backend}",
            "let one machine serve the name",
        )
    return [] if there else [router]


def _dashboard(dashboard: Dashboard | None, access: Access) -> tuple[Route, ...]:
    if dashboard is None:
        return ()
    entry = HostEntry("", dashboard.entrypoint, "http", 0, dashboard.access.pattern, "")
    route = make_route(entry)._replace(backend=API, service=API, router=DASHBOARD, part=DASHBOARD)
    return protect(route, dashboard.access, access)


def _require_another_name(route: Route, dashboard: Dashboard | None) -> None:
    """Reject the dashboard's name: with two TLS options for one name Traefik applies neither."""
    taken = dashboard and (dashboard.entrypoint, dashboard.access.pattern)
    if (route.entry.entrypoint, route.entry.domain) == taken:
        raise not_applicable(
            f"the access file has Traefik's dashboard at {route.entry.domain}",
            "give one of the two another entrypoint or domain",
        )


def _require_one_access(route: Route, access: Access) -> None:
    """Reject passthrough of every name where some have another access, unless that is wanted."""
    if not (route.passthrough and route.entry.domain == ANY):
        return
    entrypoint, ours = route.entry.entrypoint, _protection(route, access)
    for each in access.routes.values() if entrypoint not in access.raw else ():
        if each.is_protected and each.protection != ours:
            raise not_applicable(
                f"it would serve {each.pattern} too, which has another access",
                f"write what holds for all of entrypoint {entrypoint} under raw",
            )


def _others(found: list[Route], below: list[Route], access: Access) -> list[Route]:
    """Return the routers for names below a wildcard that are protected in another way than it."""
    ours = _protection(found[0], access)
    names = [*below, *(route for route in found if not _is_wildcard(route))]
    return [
        name
        for name in names
        if name.part != CHALLENGE_PART and _protection(name, access) not in (ours, _UNPROTECTED)
    ]


def _require_names_above(found: list[Route], others: list[Route]) -> None:
    """Reject a wildcard whose configured priority outranks a name with another access."""
    wildcards = [route for route in found if _is_wildcard(route) and route.part != CHALLENGE_PART]
    highest = max(map(priority_of, wildcards))
    for name in others:
        if priority_of(name) <= highest:
            raise not_applicable(
                f"with priority {highest} it would serve {name.entry.domain}, which has another"
                " access",
                "remove priority, or set a higher one for the name",
            )


def _without(others: list[Route], wildcard: Route) -> Route:
    """Exclude from a wildcard's rule the names whose routers do not match all of its requests.

    A router with its own TLS section matches only TLS requests; one without, depending on the
    entrypoint, only plain HTTP. Plain requests for a name with mTLS would reach the wildcard. The
    names are excluded by pattern: up to 3.7.12 Traefik counts an excluded name as one of the
    wildcard's own, finds two TLS options for it and applies neither.
    """
    apart = {
        name.entry.domain
        for name in others
        if name.protocol == "http" and bool(name.tls) != bool(wildcard.tls)
    }
    if not apart or wildcard.part == CHALLENGE_PART:
        return wildcard
    rule = "".join([wildcard.rule, *(f" && !{_by_pattern(name)}" for name in sorted(apart))])
    # The longer rule must not outrank the names: it keeps the priority of the shorter one.
    return wildcard._replace(rule=rule, priority=priority_of(wildcard))


def _by_pattern(name: str) -> str:
    """Return a matcher for a name, with or without a dot at its end; Traefik lowers its case."""
    return f"HostRegexp(`^{name.replace('.', '[.]')}[.]?$`)"


def _protection(route: Route, access: Access) -> tuple[str, str, str]:
    dashboard = access.dashboard if route.service == API else None
    settings = dashboard.access if dashboard else access.settings_for(route.entry)
    return settings.protection if settings else _UNPROTECTED
