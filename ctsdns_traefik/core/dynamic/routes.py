"""Plan routes from entries: the router and service of each, their names, and conflicts.

Names are ``router-<slug>`` for HTTP, ``router-<slug>-<scheme>`` for TCP and UDP and
``service-<slug>-<scheme>-<port>`` for services, where the slug is the domain with ``.`` as ``-``.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Literal, NamedTuple

from ctsdns_traefik.core.entries.grammar import ANY, HostEntry, diagnose
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.text import shown

Protocol = Literal["http", "tcp", "udp"]


class Section(NamedTuple):
    """What Traefik's dynamic configuration has for one kind of route."""

    server: str
    """The field of a service's server that holds its backend."""
    references: tuple[str, ...]
    """The maps beside ``routers`` and ``services`` to which those refer."""
    rules: bool = True
    """Whether routers have rules, priorities and middlewares."""


SECTIONS: Mapping[Protocol, Section] = {
    "http": Section("url", ("middlewares", "serversTransports")),
    "tcp": Section("address", ("middlewares",)),
    "udp": Section("address", (), rules=False),
}
"""In the order in which documents have them and messages list their routers."""

INTERNAL = "@internal"
"""The suffix of the names of Traefik's own services."""


class RouterTls(NamedTuple):
    """The ``tls`` section of a router, without passthrough."""

    cert_resolver: str = ""
    options: str = ""
    """The name of TLS options, ``""`` for Traefik's default."""


class HealthCheck(NamedTuple):
    """How Traefik finds the servers of a service that do not answer."""

    path: str = "/"
    """For HTTP; TCP only connects."""
    interval: str = "30s"
    timeout: str = "5s"


class Route(NamedTuple):
    """A router and its service for one entry, which may have several; see core/access."""

    entry: HostEntry
    protocol: Protocol
    """The kind of router: ``http`` and ``https`` have HTTP routers, all others TCP or UDP."""
    rule: str
    """``""`` for UDP, which has none."""
    backend: str
    """A URL for HTTP, ``address:port`` for TCP and UDP."""
    passthrough: bool
    """Whether the backend, not Traefik, terminates the client's TLS."""
    router: str
    """The router's name."""
    service: str
    """The service's name."""
    priority: int | None = None
    """The router's priority, if not Traefik's default, the length of the rule."""
    middlewares: tuple[str, ...] = ()
    """In the order in which requests pass them."""
    tls: RouterTls | None = None
    """The router's TLS settings, if it does not use its entrypoint's (HTTP) or none (TCP)."""
    servers_transport: str = ""
    """The name of the service's transport, ``""`` for Traefik's default."""
    part: str = ""
    """The purpose of an additional router, ``""`` for the entry's own."""
    others: tuple[str, ...] = ()
    """Further backends of the service, those of entries that it is balanced with."""
    health_check: HealthCheck | None = None
    sticky: bool = False
    """Whether a cookie keeps a client with one backend."""

    @property
    def backends(self) -> tuple[str, ...]:
        """All backends of the service, in the order of their entries' names."""
        return (self.backend, *self.others)


class Plan(NamedTuple):
    """The routes to serve, by the names of their entries, and the conflicts left out."""

    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]


Balanced = Callable[[HostEntry], bool]
"""Return whether an entry shares one service with those of the same name."""


def plan_routes(
    entries: Iterable[HostEntry],
    balanced: Balanced | None = None,
    without_tls: Container[str] = (),
) -> Plan:
    """Leave out conflicting entries and name the routers and services of the others.

    The entry whose name sorts first wins a conflict and keeps its short names, so that the order of
    the entries makes no difference. ``without_tls`` has the entrypoints that are known to have no
    TLS: HTTP and passthrough of one name are in conflict on all others.
    """
    return plan([make_route(entry) for entry in sorted(entries)], balanced, without_tls)


def plan(
    made: list[Route], balanced: Balanced | None = None, without_tls: Container[str] = ()
) -> Plan:
    """Plan routes as :func:`plan_routes` from what :func:`make_route` has made, sorted by entry."""
    made = _balance(made, balanced) if balanced else made
    routes, conflicts = _without_conflicts(made, without_tls)
    short = [route.router for route in routes], [route.service for route in routes]
    routers = _allot_names(routes, short[0], attrgetter("entry.name"))
    services = _allot_names(routes, short[1], attrgetter("backend", "others"))
    priorities = _priorities(routes)
    if (routers, services, priorities) != (*short, {}):
        routes = [
            _named(route, router, service, priorities.get(route.entry.name))
            for route, router, service in zip(routes, routers, services, strict=True)
        ]
    return Plan(tuple(routes), tuple(conflicts))


def _named(route: Route, router: str, service: str, priority: int | None) -> Route:
    """Give a route its names; most have them already, and copying is slow."""
    if (router, service, priority) == (route.router, route.service, route.priority):
        return route
    return route._replace(router=router, service=service, priority=priority)


def make_route(entry: HostEntry) -> Route:
    """Make an entry's route with its short names."""
    host = f"[{entry.address}]" if ":" in entry.address else entry.address
    slug = slug_of(entry.domain)
    service = f"service-{slug}-{entry.scheme}-{entry.port}"
    if entry.is_http:
        backend = f"{entry.scheme}://{host}:{entry.port}"
        rule = f"Host(`{entry.domain}`)"
        return Route(entry, "http", rule, backend, False, f"router-{slug}", service)
    backend = f"{host}:{entry.port}"
    rule = f"HostSNI(`{entry.domain}`)" if entry.transport == "tcp" else ""
    router = f"router-{slug}-{entry.scheme}"
    passthrough = entry.is_passthrough
    return Route(entry, entry.transport, rule, backend, passthrough, router, service)


def slug_of(domain: str) -> str:
    """Return a domain as a part of names."""
    return "any" if domain == ANY else domain.replace("*", "wildcard").replace(".", "-")


def _balance(routes: list[Route], balanced: Balanced) -> list[Route]:
    """Join sorted routes of one entrypoint, domain, scheme and transport into the first of them."""
    groups: dict[Hashable, list[Route]] = {}
    for route in routes:
        entry = route.entry
        key = (entry.entrypoint, entry.domain, entry.scheme, entry.transport)
        groups.setdefault(key if balanced(entry) else entry.name, []).append(route)
    return [
        first._replace(others=tuple(dict.fromkeys(each.backend for each in rest)))
        if (rest := [each for each in more if each.backend != first.backend])
        else first
        for first, *more in groups.values()
    ]


def _without_conflicts(
    routes: list[Route], without_tls: Container[str]
) -> tuple[list[Route], list[Diagnostic]]:
    """Split sorted routes into those to serve and conflicts with one of them."""
    beside: dict[tuple[str, str, str], list[Route]] = {}
    served: list[Route] = []
    conflicts: list[Diagnostic] = []
    for route in routes:
        entry, taken = route.entry, _takes(route.entry)
        others = beside.setdefault((entry.entrypoint, "" if taken else entry.domain, taken), [])
        if not others:
            conflict = None
        elif taken:
            conflict = _conflict_of_all(entry, others[0].entry, taken)
        else:
            conflict = _find_conflict(route, others, tls=entry.entrypoint not in without_tls)
        if conflict:
            conflicts.append(conflict)
        else:
            others.append(route)
            served.append(route)
    return served, conflicts


def _find_conflict(route: Route, served: list[Route], *, tls: bool) -> Diagnostic | None:
    """Return the conflict of a route with one of those for its entrypoint and domain, if any.

    ``tls`` is whether HTTP routers may have TLS there.
    """
    same = next((each for each in served if each.protocol == route.protocol), route)
    other = next((each for each in served if each.protocol != route.protocol), None)
    if (same.backends, same.passthrough) != (route.backends, route.passthrough):
        return _conflict(route.entry, same.entry, "leads to another backend")
    # An HTTP router with TLS takes all connections for its names from a TCP router. If the access
    # file gives it TLS, the same settings leave the passthrough route out.
    if tls and other and (route.passthrough or other.passthrough):
        return _conflict(route.entry, other.entry, "needs the same TLS connections")
    return None


def _takes(entry: HostEntry) -> str:
    """Return what an entry takes of all that reaches its entrypoint, ``""`` for one name."""
    if entry.transport == "udp":
        return "datagrams"
    return "connections without TLS" if entry.domain == ANY and entry.is_raw else ""


def _conflict_of_all(entry: HostEntry, served: HostEntry, taken: str) -> Diagnostic:
    """Report a second entry for a whole entrypoint.

    Traefik enables the routers of both, and which of them serves can change at each reload.
    """
    return diagnose(
        "conflict",
        entry,
        f"{shown(served.name)} already takes all {taken} of entrypoint {entry.entrypoint}",
        "remove one of the two, or give it another entrypoint",
    )


def _conflict(entry: HostEntry, served: HostEntry, why: str) -> Diagnostic:
    return diagnose(
        "conflict",
        entry,
        f"{shown(served.name)} already serves {entry.domain} on entrypoint"
        f" {entry.entrypoint}, and {shown(entry.name)} {why}",
        "remove one of the two, or give it another entrypoint or domain",
    )


def _allot_names(
    routes: list[Route], wanted: list[str], object_of: Callable[[Route], Hashable]
) -> list[str]:
    """Return the name of each route's router or service, which stands for one object.

    The first route that wants a name gets it, and so do routes with the same object, as services
    for the same backend; the others get a longer name that no route wants. Each protocol has
    names of its own, as in Traefik.
    """
    keys = {(route.protocol, name) for route, name in zip(routes, wanted, strict=True)}
    if len(keys) == len(routes):  # as is usual
        return wanted
    owners: dict[Protocol, dict[str, Hashable]] = {protocol: {} for protocol in SECTIONS}
    for route, name in zip(routes, wanted, strict=True):
        owners[route.protocol].setdefault(name, object_of(route))
    return [
        name
        if owners[route.protocol][name] == object_of(route)
        else _longer_name(route, name, owners[route.protocol], object_of(route))
        for route, name in zip(routes, wanted, strict=True)
    ]


def _longer_name(route: Route, name: str, owners: dict[str, Hashable], owner: Hashable) -> str:
    """Take the first longer name that is free or already stands for the same object."""
    return next(
        longer
        for longer in _longer_names(route.entry, name)
        if owners.setdefault(longer, owner) == owner
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
    """Give recovered routes the priorities that :func:`plan_routes` would give them."""
    kept = list(routes)
    found = _priorities(kept)
    return tuple(each._replace(priority=found.get(each.entry.name, each.priority)) for each in kept)


def _priorities(routes: list[Route]) -> dict[str, int]:
    """Return priorities, by entry name, that put one-letter names above the wildcard beside them.

    Traefik prefers the longer rule, and so every name to its wildcard, except one with a single
    letter in place of ``*``: between rules of equal length Traefik picks at random at each start.
    """
    wildcards = {
        (route.protocol, route.entry.entrypoint, route.entry.domain[1:])
        for route in routes
        if route.entry.is_wildcard and route.rule
    }
    if not wildcards:
        return {}
    return {
        route.entry.name: len(route.rule) + 1
        for route in routes
        if route.entry.domain[0] != "*"
        and (route.protocol, route.entry.entrypoint, route.entry.domain[1:]) in wildcards
    }
