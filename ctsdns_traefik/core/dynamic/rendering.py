"""Render a hosts map: routes, document, text and diagnostics, in one step for all commands."""

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
    """The result of rendering one hosts map."""

    entries: tuple[HostEntry, ...]
    """All that the grammar accepts, including those that a conflict leaves out."""
    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Entries that get no route: invalid, in conflict, or impossible to protect; by name."""
    document: Document
    text: str
    warnings: tuple[Diagnostic, ...] = ()
    """Entries and aliases that are probably mistakes but keep their routes; by name."""


def render(
    hosts: Mapping[str, object], form: Format = "json", access: Access | None = None
) -> Rendering:
    """Render a hosts map; the same hosts in any order give the same bytes."""
    entries, invalid = read_hosts(hosts)
    routes, conflicts = plan_routes(entries)
    rendering = _render(entries, routes, (*invalid, *conflicts), form, access)
    return rendering._replace(warnings=find_near_misses(hosts, entries))


def render_routes(
    routes: Sequence[Route], form: Format = "json", access: Access | None = None
) -> Rendering:
    """Render routes that were planned before, with another access file."""
    entries = tuple(route.entry for route in routes)
    return _render(entries, tuple(routes), (), form, access)


def _render(
    entries: tuple[HostEntry, ...],
    routes: tuple[Route, ...],
    diagnostics: tuple[Diagnostic, ...],
    form: Format,
    access: Access | None,
) -> Rendering:
    applied = apply_access(routes, access) if access else Applied(routes)
    found = (*diagnostics, *applied.diagnostics)
    in_order = tuple(sorted(found, key=lambda diagnostic: diagnostic.entry))
    document = build_document(applied.routes, applied.references)
    return Rendering(entries, applied.routes, in_order, document, to_text(document, form))
