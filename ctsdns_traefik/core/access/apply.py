"""Routes and an access file to routes that only those reach who may, or to no route.

What an entry's own router cannot say takes more routers: one for the tailnet, one for ACME
challenges, one for a name with a say of its own that only a wildcard's entry serves. Their names
are the router's, ``~`` and what they are for; no name that is made of entries has a ``~``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.access.model import Access, Challenge, Dashboard, RouteAccess, wider
from ctsdns_traefik.core.access.modes import NotApplicable, part_of, protect
from ctsdns_traefik.core.access.resources import NOTHING, References, references_of
from ctsdns_traefik.core.dynamic.routes import INTERNAL, Route, make_route, priority_of
from ctsdns_traefik.core.entries.grammar import HostEntry
from ctsdns_traefik.core.problems import Diagnostic

CHALLENGE_PART = "acme-challenge"
DASHBOARD = "dashboard"
"""The name of the dashboard's router, and its part."""

_ANYBODY = ("", "", "")

API = f"api{INTERNAL}"
"""Traefik's own service for the API and the dashboard."""


class Applied(NamedTuple):
    """The routes to serve, what they refer to, and the problems with those left out."""

    routes: tuple[Route, ...]
    """In the order of the entries' names, the dashboard first."""
    references: References = NOTHING
    problems: tuple[Diagnostic, ...] = ()


def apply_access(routes: Iterable[Route], access: Access) -> Applied:
    """Serve each route as the access file says; one that cannot be is left out and reported.

    Names come before wildcards: a name that is left out is the wildcard's, which then has to hold
    to what is said about the name.
    """
    served = _Served()
    served.add(_dashboard(access.dashboard, access))
    problems: list[Diagnostic] = []
    for route in sorted(routes, key=_is_wildcard):
        try:
            served.add(_routers(route, served, access))
        except NotApplicable as why:
            problems.append(_problem("access-not-applicable", route.entry, why))
    in_order = tuple(sorted(served.routes, key=lambda route: route.entry.name))
    return Applied(in_order, references_of(in_order, access), tuple(problems))


Key = tuple[str, str, str]


class _Served:
    """The routers so far, by what they are for; those for challenges are for nothing else."""

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
        """Tell whether a route's name has a router."""
        return _key(route) in self._names

    def below(self, wildcard: Route) -> list[Route]:
        """Return the routers for the names that a route's wildcard stands for."""
        return self._below.get(_key(wildcard), [])


def _key(route: Route, domain: str = "") -> Key:
    return route.protocol, route.entry.entrypoint, domain or route.entry.domain


def _is_wildcard(route: Route) -> bool:
    return route.entry.domain.startswith("*")


def _routers(route: Route, served: _Served, access: Access) -> list[Route]:
    """Return all routers of one route; raise :class:`NotApplicable` if one of them cannot be."""
    _require_another_name(route, access.dashboard)
    found: list[Route] = []
    for each, said in _with_names_of_its_own(route, served, access):
        if said is None:
            found.append(each)
            continue
        found += protect(each, said, access)
        if said.challenge and route.passthrough:
            found += _challenge(each, said.challenge, served)
    if _is_wildcard(route):
        others = _others(found, served.below(route), access)
        _require_names_above(found, others)
        found = [_without(others, each) if _is_wildcard(each) else each for each in found]
    return found


def _with_names_of_its_own(
    route: Route, served: _Served, access: Access
) -> Iterator[tuple[Route, RouteAccess | None]]:
    """Yield a route, and for a wildcard those for names that nothing else serves."""
    yield route, access.find(route.entry.domain)
    for said in access.exact_below(route.entry.domain) if _is_wildcard(route) else ():
        named = make_route(route.entry._replace(domain=said.pattern))
        if not served.has(named):
            tied = len(named.rule) == len(route.rule)
            named = part_of(route, said.pattern)._replace(
                entry=named.entry, rule=named.rule, priority=len(named.rule) + 1 if tied else None
            )
            yield named, said


def _challenge(route: Route, challenge: Challenge, served: _Served) -> list[Route]:
    """Return the router for a machine's HTTP-01 challenges, unless it is there already."""
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
    there = served.challenges.get(_key(router))
    if there and there.backend != router.backend:
        raise NotApplicable(
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
    """Refuse the dashboard's name: of two TLS options for one name Traefik takes neither."""
    taken = dashboard and (dashboard.entrypoint, dashboard.access.pattern)
    if (route.entry.entrypoint, route.entry.domain) == taken:
        raise NotApplicable(
            f"the access file has Traefik's dashboard at {route.entry.domain}",
            "give one of the two another entrypoint or domain",
        )


def _others(found: list[Route], below: list[Route], access: Access) -> list[Route]:
    """Return the routers for a wildcard's names that have another access than it has."""
    ours = _protection(found[0], access)
    names = [*below, *(route for route in found if not _is_wildcard(route))]
    return [
        name
        for name in names
        if name.part != CHALLENGE_PART and _protection(name, access) not in (ours, _ANYBODY)
    ]


def _require_names_above(found: list[Route], others: list[Route]) -> None:
    """Refuse a wildcard that, by a priority that was set, outranks a name with another access."""
    wildcards = [route for route in found if _is_wildcard(route) and route.part != CHALLENGE_PART]
    highest = max(map(priority_of, wildcards))
    for name in others:
        if priority_of(name) <= highest:
            raise NotApplicable(
                f"with priority {highest} it would serve {name.entry.domain}, which has another"
                " access",
                "remove priority, or set a higher one for the name",
            )


def _without(others: list[Route], wildcard: Route) -> Route:
    """Take out of a wildcard's rule the names whose routers are not there for all its requests.

    A router with TLS of its own answers nothing else, one without may answer plain HTTP alone:
    that depends on the entrypoint.
    """
    apart = {
        name.entry.domain
        for name in others
        if name.protocol == "http" and bool(name.tls) != bool(wildcard.tls)
    }
    if not apart or wildcard.part == CHALLENGE_PART:
        return wildcard
    rule = "".join([wildcard.rule, *(f" && !Host(`{name}`)" for name in sorted(apart))])
    return wildcard._replace(rule=rule, priority=priority_of(wildcard))


def _protection(route: Route, access: Access) -> tuple[str, str, str]:
    dashboard = access.dashboard if route.service == API else None
    said = dashboard.access if dashboard else access.find(route.entry.domain)
    return said.protection if said else _ANYBODY


def _problem(code: str, entry: HostEntry, why: NotApplicable) -> Diagnostic:
    span = (0, len(entry.name))
    return Diagnostic(code, entry.name, why.message, why.hint, span, entry.address)
