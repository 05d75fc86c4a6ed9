"""The core in a row: a hosts map in, routes, document, text and problems out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ctsdns_traefik.core.document import Document, Format, build_document, to_text
from ctsdns_traefik.core.hosts import HostEntry, read_hosts
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.core.routes import Route, plan_routes


class Rendering(NamedTuple):
    """Everything that the commands need to know about one hosts map."""

    entries: tuple[HostEntry, ...]
    """All that the grammar accepts, also those that a conflict leaves out."""
    routes: tuple[Route, ...]
    problems: tuple[Problem, ...]
    """Refused entries and conflicts, in the order of the entries' names."""
    document: Document
    text: str


def render(hosts: Mapping[str, object], form: Format = "json") -> Rendering:
    """Turn a hosts map into Traefik's document; the same hosts in any order give the same bytes."""
    entries, refused = read_hosts(hosts)
    routes, conflicts = plan_routes(entries)
    problems = sorted(refused + conflicts, key=lambda problem: problem.entry)
    document = build_document(routes)
    return Rendering(entries, routes, tuple(problems), document, to_text(document, form))
