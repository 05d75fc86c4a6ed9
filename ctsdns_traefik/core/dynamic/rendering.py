"""The core in a row: a hosts map in, routes, document, text and problems out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ctsdns_traefik.core.access.apply import Applied, apply_access
from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.dynamic.document import Document, Format, build_document, to_text
from ctsdns_traefik.core.dynamic.routes import Route, plan_routes
from ctsdns_traefik.core.entries.grammar import HostEntry, read_hosts
from ctsdns_traefik.core.entries.near_misses import find_near_misses
from ctsdns_traefik.core.problems import Diagnostic


class Rendering(NamedTuple):
    """Everything that the commands need to know about one hosts map."""

    entries: tuple[HostEntry, ...]
    """All that the grammar accepts, also those that a conflict leaves out."""
    routes: tuple[Route, ...]
    problems: tuple[Diagnostic, ...]
    """Entries refused, in conflict, or without the access that they must have; by name."""
    document: Document
    text: str
    warnings: tuple[Diagnostic, ...] = ()
    """Names and schemes that probably mean something else; they cost no route. By name."""


def render(
    hosts: Mapping[str, object], form: Format = "json", access: Access | None = None
) -> Rendering:
    """Turn a hosts map into Traefik's document; the same hosts in any order give the same bytes."""
    entries, refused = read_hosts(hosts)
    routes, conflicts = plan_routes(entries)
    rendering = _render(entries, routes, (*refused, *conflicts), form, access)
    return rendering._replace(warnings=find_near_misses(hosts, entries))


def render_routes(
    routes: Sequence[Route], form: Format = "json", access: Access | None = None
) -> Rendering:
    """Turn routes that were planned before into a document, with another access."""
    entries = tuple(route.entry for route in routes)
    return _render(entries, tuple(routes), (), form, access)


def _render(
    entries: tuple[HostEntry, ...],
    routes: tuple[Route, ...],
    problems: tuple[Diagnostic, ...],
    form: Format,
    access: Access | None,
) -> Rendering:
    applied = apply_access(routes, access) if access else Applied(routes)
    found = (*problems, *applied.problems)
    in_order = tuple(sorted(found, key=lambda problem: problem.entry))
    document = build_document(applied.routes, applied.references)
    return Rendering(entries, applied.routes, in_order, document, to_text(document, form))
