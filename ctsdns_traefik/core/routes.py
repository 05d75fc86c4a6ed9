"""Entries to routes: what each becomes in Traefik, its names, and which cannot be told apart.

Names are ``router-<slug>`` for HTTP, ``router-<slug>-<scheme>`` for TCP and
``service-<slug>-<scheme>-<port>`` for services, where the slug is the domain with ``.`` as ``-``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from ctsdns_traefik.core.hosts import HostEntry
from ctsdns_traefik.core.printable import shown
from ctsdns_traefik.core.problems import Problem

Protocol = Literal["http", "tcp"]


class Route(NamedTuple):
    """One entry with the names of its router and service."""

    entry: HostEntry
    router: str
    service: str
    priority: int | None = None
    """Traefik's default, the length of the rule, unless something else is needed."""


class Plan(NamedTuple):
    """The routes to serve, in the order of their entries' names, and the conflicts left out."""

    routes: tuple[Route, ...]
    problems: tuple[Problem, ...]


def plan_routes(entries: Iterable[HostEntry]) -> Plan:
    """Leave out conflicting entries and name the routers and services of the others.

    The first in the order of the entries' names wins a conflict and keeps a name, so that the
    order in which the entries come makes no difference.
    """
    served, problems = _without_conflicts(sorted(entries))
    routers = _allot_names(served, _router_name, stands_for=lambda entry: entry.name)
    services = _allot_names(served, _service_name, stands_for=backend_of)
    priorities = _priorities(served)
    routes = (
        Route(entry, routers[entry.name], services[entry.name], priorities.get(entry.name))
        for entry in served
    )
    return Plan(tuple(routes), tuple(problems))


def protocol_of(entry: HostEntry) -> Protocol:
    """Return the kind of router: ``http`` and ``https`` backends are HTTP, all others TCP."""
    return "http" if entry.scheme in ("http", "https") else "tcp"


def rule_of(entry: HostEntry) -> str:
    """Return the router's rule."""
    matcher = "Host" if protocol_of(entry) == "http" else "HostSNI"
    return f"{matcher}(`{entry.domain}`)"


def backend_of(entry: HostEntry) -> str:
    """Return where the traffic goes: a URL for HTTP, ``address:port`` for TCP."""
    host = f"[{entry.address}]" if ":" in entry.address else entry.address
    authority = f"{host}:{entry.port}"
    return f"{entry.scheme}://{authority}" if protocol_of(entry) == "http" else authority


def passes_through(entry: HostEntry) -> bool:
    """Tell whether the backend, not Traefik, ends the client's TLS."""
    return entry.scheme == "tls"


def _without_conflicts(entries: list[HostEntry]) -> tuple[list[HostEntry], list[Problem]]:
    """Split sorted entries into those to serve and the conflicts with one of them."""
    first: dict[tuple[str, str, Protocol], HostEntry] = {}
    served: list[HostEntry] = []
    problems: list[Problem] = []
    for entry in entries:
        protocol = protocol_of(entry)
        same = first.get((entry.entrypoint, entry.domain, protocol))
        other = first.get((entry.entrypoint, entry.domain, "tcp" if protocol == "http" else "http"))
        if same and (backend_of(same), passes_through(same)) != (
            backend_of(entry),
            passes_through(entry),
        ):
            problems.append(_conflict(entry, same, "leads to another backend"))
        elif other and passes_through(entry if protocol == "tcp" else other):
            problems.append(_conflict(entry, other, "wants the same TLS connections"))
        else:
            first.setdefault((entry.entrypoint, entry.domain, protocol), entry)
            served.append(entry)
    return served, problems


def _conflict(entry: HostEntry, served: HostEntry, why: str) -> Problem:
    return Problem(
        code="conflict",
        entry=entry.name,
        message=f"{shown(served.name)} already serves {entry.domain} on entrypoint"
        f" {entry.entrypoint}, and {shown(entry.name)} {why}",
        hint="remove one of the two, or give one another entrypoint or domain",
        span=(0, len(entry.name)),
        address=entry.address,
    )


def _router_name(entry: HostEntry) -> str:
    name = f"router-{_slug(entry)}"
    return name if protocol_of(entry) == "http" else f"{name}-{entry.scheme}"


def _service_name(entry: HostEntry) -> str:
    return f"service-{_slug(entry)}-{entry.scheme}-{entry.port}"


def _slug(entry: HostEntry) -> str:
    return entry.domain.replace("*", "wildcard").replace(".", "-")


def _allot_names(
    entries: list[HostEntry],
    name_of: Callable[[HostEntry], str],
    stands_for: Callable[[HostEntry], str],
) -> dict[str, str]:
    """Give each entry, by its name, the name of its router or service.

    A name belongs to the first that wants it and to those that stand for the same; the others
    take longer names, and only those that nobody wanted. HTTP and TCP names are told apart, as
    Traefik does.
    """
    owners: dict[tuple[Protocol, str], str] = {}
    names: dict[str, str] = {}
    for entry in entries:
        owners.setdefault((protocol_of(entry), name_of(entry)), stands_for(entry))
    for entry in entries:
        protocol, meaning = protocol_of(entry), stands_for(entry)
        names[entry.name] = next(
            name
            for name in _candidates(entry, name_of(entry))
            if owners.setdefault((protocol, name), meaning) == meaning
        )
    return names


def _candidates(entry: HostEntry, name: str) -> Iterator[str]:
    """Offer the name itself, then longer ones; 64 hex digits belong to no other entry."""
    yield name
    yield f"{name}-{entry.entrypoint}"
    yield f"{name}-{entry.entrypoint}-{entry.scheme}-{entry.port}"
    digest = hashlib.sha256(entry.name.encode("utf-8", "surrogatepass")).hexdigest()
    for digits in range(8, len(digest) + 1):
        yield f"{name}-{digest[:digits]}"


def _priorities(entries: list[HostEntry]) -> dict[str, int]:
    """Raise a one-letter name above the wildcard beside it, by entry name.

    Traefik prefers the longer rule. That puts every name above its wildcard but those with one
    letter for the wildcard's ``*``: equal length, and Traefik picks either, anew at each start.
    """
    wildcards = {
        (protocol_of(entry), entry.entrypoint, entry.domain[1:])
        for entry in entries
        if entry.domain.startswith("*.")
    }
    return {
        entry.name: len(rule_of(entry)) + 1
        for entry in entries
        if not entry.domain.startswith("*.")
        and (protocol_of(entry), entry.entrypoint, entry.domain[1:]) in wildcards
    }
