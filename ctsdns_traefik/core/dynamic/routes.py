"""Entries to routes: what each becomes in Traefik, its names, and which cannot be told apart.

Names are ``router-<slug>`` for HTTP, ``router-<slug>-<scheme>`` for TCP and
``service-<slug>-<scheme>-<port>`` for services, where the slug is the domain with ``.`` as ``-``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from ctsdns_traefik.core.entries.grammar import HostEntry
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.text import shown

Protocol = Literal["http", "tcp"]

INTERNAL = "@internal"
"""How the names of Traefik's own services end."""


class RouterTls(NamedTuple):
    """The section ``tls`` of a router, its passthrough aside."""

    cert_resolver: str = ""
    options: str = ""
    """The name of TLS options; ``""`` for Traefik's own."""


class Route(NamedTuple):
    """What one entry becomes in Traefik, or one of several; see :mod:`.access`."""

    entry: HostEntry
    protocol: Protocol
    """The kind of router: ``http`` and ``https`` backends have HTTP routers, all others TCP."""
    rule: str
    backend: str
    """A URL for HTTP, ``address:port`` for TCP."""
    passthrough: bool
    """Whether the backend, not Traefik, ends the client's TLS."""
    router: str
    """The router's name."""
    service: str
    """The service's name."""
    priority: int | None = None
    """Of the router, if Traefik's default, the length of the rule, will not do."""
    middlewares: tuple[str, ...] = ()
    """In the order in which requests pass them."""
    tls: RouterTls | None = None
    """Of an HTTP router, if not as its entrypoint has it; of a TCP router, if there is more."""
    servers_transport: str = ""
    """How the service talks to its backend, by name; ``""`` as Traefik does by itself."""
    part: str = ""
    """What of its entry a router is for that is there besides the entry's own."""


class Plan(NamedTuple):
    """The routes to serve, in the order of their entries' names, and the conflicts left out."""

    routes: tuple[Route, ...]
    problems: tuple[Diagnostic, ...]


def plan_routes(entries: Iterable[HostEntry]) -> Plan:
    """Leave out conflicting entries and name the routers and services of the others.

    The first in the order of the entries' names wins a conflict and keeps a name, so that the
    order in which the entries come makes no difference.
    """
    routes, problems = _without_conflicts([make_route(entry) for entry in sorted(entries)])
    routers = _allot_names(routes, [route.router for route in routes], _itself)
    services = _allot_names(routes, [route.service for route in routes], _its_backend)
    priorities = _priorities(routes)
    named = tuple(
        _named(route, router, service, priorities.get(route.entry.name))
        for route, router, service in zip(routes, routers, services, strict=True)
    )
    return Plan(named, tuple(problems))


def _named(route: Route, router: str, service: str, priority: int | None) -> Route:
    """Give a route its names; most have them already."""
    if (router, service, priority) == (route.router, route.service, route.priority):
        return route
    return route._replace(router=router, service=service, priority=priority)


def make_route(entry: HostEntry) -> Route:
    """Make an entry's route with the names that it wants."""
    host = f"[{entry.address}]" if ":" in entry.address else entry.address
    slug = entry.domain.replace("*", "wildcard").replace(".", "-")
    service = f"service-{slug}-{entry.scheme}-{entry.port}"
    if entry.is_http:
        backend = f"{entry.scheme}://{host}:{entry.port}"
        rule = f"Host(`{entry.domain}`)"
        return Route(entry, "http", rule, backend, False, f"router-{slug}", service)
    backend = f"{host}:{entry.port}"
    rule = f"HostSNI(`{entry.domain}`)"
    router = f"router-{slug}-{entry.scheme}"
    return Route(entry, "tcp", rule, backend, entry.scheme == "tls", router, service)


def _without_conflicts(routes: list[Route]) -> tuple[list[Route], list[Diagnostic]]:
    """Split sorted routes into those to serve and the conflicts with one of them."""
    first: dict[tuple[str, str, Protocol], Route] = {}
    served: list[Route] = []
    problems: list[Diagnostic] = []
    for route in routes:
        entrypoint, domain = route.entry.entrypoint, route.entry.domain
        same = first.get((entrypoint, domain, route.protocol), route)
        other = first.get((entrypoint, domain, "tcp" if route.protocol == "http" else "http"))
        if (same.backend, same.passthrough) != (route.backend, route.passthrough):
            problems.append(_conflict(route.entry, same.entry, "leads to another backend"))
        elif other and (route.passthrough or other.passthrough):
            problems.append(_conflict(route.entry, other.entry, "needs the same TLS connections"))
        else:
            first.setdefault((entrypoint, domain, route.protocol), route)
            served.append(route)
    return served, problems


def _conflict(entry: HostEntry, served: HostEntry, why: str) -> Diagnostic:
    return Diagnostic(
        code="conflict",
        entry=entry.name,
        message=f"{shown(served.name)} already serves {entry.domain} on entrypoint"
        f" {entry.entrypoint}, and {shown(entry.name)} {why}",
        hint="remove one of the two, or give it another entrypoint or domain",
        span=(0, len(entry.name)),
        address=entry.address,
    )


Owners = dict[Protocol, dict[str, str]]
"""What each name stands for."""


def _itself(route: Route) -> str:
    return route.entry.name


def _its_backend(route: Route) -> str:
    return route.backend


def _allot_names(
    routes: list[Route], wanted: list[str], stands_for: Callable[[Route], str]
) -> list[str]:
    """Give each route the name of its router or service.

    A name belongs to the first that wants it and to those that stand for the same; the others
    take longer names, and only those that nobody wanted. HTTP and TCP names are told apart, as
    Traefik does.
    """
    owners: Owners = {"http": {}, "tcp": {}}
    for route, name in zip(routes, wanted, strict=True):
        owners[route.protocol].setdefault(name, stands_for(route))
    return [
        name
        if owners[route.protocol][name] == stands_for(route)
        else _longer_name(route, name, owners, stands_for(route))
        for route, name in zip(routes, wanted, strict=True)
    ]


def _longer_name(route: Route, name: str, owners: Owners, meaning: str) -> str:
    """Find and take the first longer name that is free, or that already means the same."""
    taken = owners[route.protocol]
    return next(
        longer
        for longer in _longer_names(route.entry, name)
        if taken.setdefault(longer, meaning) == meaning
    )


def _longer_names(entry: HostEntry, name: str) -> Iterator[str]:
    """Offer longer names; the last, with 64 hex digits, belongs to no other entry."""
    import hashlib  # such clashes are rare

    yield f"{name}-{entry.entrypoint}"
    yield f"{name}-{entry.entrypoint}-{entry.scheme}-{entry.port}"
    digest = hashlib.sha256(entry.name.encode("utf-8", "surrogatepass")).hexdigest()
    for digits in range(8, len(digest) + 1):
        yield f"{name}-{digest[:digits]}"


def priority_of(route: Route) -> int:
    """Return the priority that Traefik gives to a router."""
    return len(route.rule) if route.priority is None else route.priority


def with_priorities(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Give named routes the priorities that :func:`plan_routes` would give them.

    One that has a priority for other reasons keeps it.
    """
    kept = list(routes)
    found = _priorities(kept)
    return tuple(each._replace(priority=found.get(each.entry.name, each.priority)) for each in kept)


def _priorities(routes: list[Route]) -> dict[str, int]:
    """Raise a one-letter name above the wildcard beside it; by entry name.

    Traefik prefers the longer rule. That puts every name above its wildcard but those with one
    letter for the wildcard's ``*``: equal length, and Traefik picks either, anew at each start.
    """
    wildcards = {
        (route.protocol, route.entry.entrypoint, route.entry.domain[1:])
        for route in routes
        if route.entry.domain.startswith("*.")
    }
    if not wildcards:
        return {}
    return {
        route.entry.name: len(route.rule) + 1
        for route in routes
        if route.entry.domain[0] != "*"
        and (route.protocol, route.entry.entrypoint, route.entry.domain[1:]) in wildcards
    }
