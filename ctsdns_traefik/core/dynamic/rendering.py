"""Render a hosts map: routes, document, text and diagnostics, in one step for all commands.

What a previous rendering has for an entry that is unchanged is used again. Only functions of one
value are spared that way: conflicts, names and priorities, which are functions of all entries, are
decided each time. So a rendering is the same with a previous one as without.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from ctsdns_traefik.core.access.apply import NOTHING_KNOWN, Applied, Known, apply_access
from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.dynamic.document import (
    NO_ROWS,
    Document,
    Format,
    Rows,
    Selection,
    build_document,
    find_fresh,
    to_text,
    write,
)
from ctsdns_traefik.core.dynamic.routes import Route, make_route, plan
from ctsdns_traefik.core.entries.grammar import HostEntry, read_hosts
from ctsdns_traefik.core.entries.near_misses import find_near_misses
from ctsdns_traefik.core.problems import Diagnostic


class Basis(NamedTuple):
    """What the next rendering can use again."""

    hosts: Mapping[str, object]
    made: Mapping[str, Route]
    """The route of each entry before any conflict or access, by the entry's name, sorted."""
    form: Format
    access: Access | None
    protected: Known
    document: Document
    rows: Rows


class Rendering(NamedTuple):
    """The result of rendering one hosts map."""

    entries: tuple[HostEntry, ...]
    """All that the grammar accepts, including those that a conflict leaves out."""
    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Entries that get no route: invalid, in conflict, or impossible to protect; by name."""
    document: Document
    text: str
    fresh: Selection
    """How the document differs from the previous one; all of it if there is none to compare."""
    warnings: tuple[Diagnostic, ...] = ()
    """Entries and aliases that are probably mistakes but keep their routes; by name."""
    basis: Basis | None = None


def render(
    hosts: Mapping[str, object],
    form: Format = "json",
    access: Access | None = None,
    previous: Basis | None = None,
    without_tls: Container[str] = (),
) -> Rendering:
    """Render a hosts map; the same hosts in any order give the same bytes.

    ``without_tls`` has the entrypoints that are known to have no TLS. ``previous`` is the basis of
    any other rendering, which saves most of the time.
    """
    known = _find_known(hosts, previous) if previous else {}
    others = {name: value for name, value in hosts.items() if name not in known}
    read, invalid = read_hosts(others)
    made = known | {entry.name: make_route(entry) for entry in read}
    made = {name: made[name] for name in sorted(made)}
    balanced = access.balanced if access else None
    planned, conflicts = plan(list(made.values()), balanced, without_tls)
    protected = previous.protected if previous and previous.access == access else NOTHING_KNOWN
    applied = apply_access(planned, access, protected) if access else Applied(planned)
    document = build_document(applied.routes, applied.references)
    alike = previous if previous and (previous.form, previous.access) == (form, access) else None
    fresh = find_fresh(document, alike.document) if alike else document
    text, rows = write(document, form, fresh, alike.rows if alike else NO_ROWS)
    entries = tuple(route.entry for route in made.values())
    return Rendering(
        entries,
        applied.routes,
        _by_entry(*invalid, *conflicts, *applied.diagnostics),
        document,
        text,
        fresh,
        find_near_misses(others, entries),
        Basis(hosts, made, form, access, applied.known, document, rows),
    )


def _find_known(hosts: Mapping[str, object], previous: Basis) -> dict[str, Route]:
    """Return the routes of the entries that have the same address as before."""
    before = previous.hosts
    return {name: route for name, route in previous.made.items() if hosts.get(name) == before[name]}


def render_routes(
    routes: Sequence[Route], form: Format = "json", access: Access | None = None
) -> Rendering:
    """Render routes that were planned before, with another access file."""
    applied = apply_access(routes, access) if access else Applied(tuple(routes))
    document = build_document(applied.routes, applied.references)
    entries = tuple(route.entry for route in routes)
    text = to_text(document, form)
    diagnostics = _by_entry(*applied.diagnostics)
    return Rendering(entries, applied.routes, diagnostics, document, text, fresh=document)


def _by_entry(*diagnostics: Diagnostic) -> tuple[Diagnostic, ...]:
    return tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.entry))
