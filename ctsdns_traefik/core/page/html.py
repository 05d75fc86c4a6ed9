"""The page: routes by entrypoint, refused entries with carets, and facts, as one HTML document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from ctsdns_traefik.core.page.picture import draw
from ctsdns_traefik.core.page.rows import Row, by_entrypoint
from ctsdns_traefik.core.page.style import STYLE
from ctsdns_traefik.core.problems import Diagnostic, excerpt_of_entry
from ctsdns_traefik.core.text import printable

MOST_ROWS = 1000
MOST_PROBLEMS = 100
"""Rows and diagnostics that are listed; the rest is counted."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""For a page in a file; a server sends a stricter one, which allows only this style."""


class Fact(NamedTuple):
    """Something that is known, and what it is called."""

    label: str
    value: str


class View(NamedTuple):
    """What a page shows."""

    title: str
    rows: Sequence[Row]
    """The routes, of :func:`.rows_of`."""
    facts: tuple[Fact, ...] = ()
    state: str = ""
    """How it is, in one line."""
    well: bool = True
    diagnostics: tuple[Diagnostic, ...] = ()
    objections: Mapping[str, str] = {}
    """What Traefik reports of routers, by their names."""
    script: str = ""
    """The path of the script that refreshes the page; ``""`` for a page in a file."""


def page_to_html(view: View) -> str:
    """Return a view as an HTML document."""
    rows = view.rows
    title = escape(printable(view.title))
    script = f'<script src="{escape(view.script)}" defer></script>' if view.script else ""
    policy = (
        "" if view.script else f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"{policy}<title>{title}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style>{script}</head><body>\n"
        '<a class="skip" href="#routes">Skip to the routes</a>\n'
        f"<header><h1>{title}</h1></header>\n<main>\n"
        f"{_state(view)}{_facts(view.facts)}{_problems(view.diagnostics)}"
        f"{_picture(rows)}{_routes(rows, view.objections)}</main>\n"
        "<footer>Times are UTC. A dashed line is a route with restricted access.</footer>\n"
        "</body></html>\n"
    )


def _state(view: View) -> str:
    if not view.state:
        return ""
    kind = "state" if view.well else "state bad"
    return f'<p class="{kind}" role="status">{escape(printable(view.state))}</p>\n'


def _facts(facts: Iterable[Fact]) -> str:
    items = "".join(
        f"<div><dt>{escape(each.label)}</dt><dd>{escape(printable(each.value))}</dd></div>"
        for each in facts
    )
    return f'<dl class="facts">{items}</dl>\n' if items else ""


def _problems(diagnostics: tuple[Diagnostic, ...]) -> str:
    if not diagnostics:
        return ""
    listed = "".join(map(_problem, diagnostics[:MOST_PROBLEMS]))
    return (
        f"<section><h2>Problems <small>{len(diagnostics)}</small></h2>\n"
        f"{listed}{_rest(len(diagnostics), MOST_PROBLEMS)}</section>\n"
    )


def _problem(diagnostic: Diagnostic) -> str:
    """Return a diagnostic with its line, what is wrong in it marked, and carets below that."""
    excerpt = diagnostic.excerpt or excerpt_of_entry(diagnostic)
    before, wrong, after = (printable(part) for part in excerpt)
    carets = " " * len(before) + "^" * max(1, len(wrong))
    place = ":".join(map(str, (printable(diagnostic.path), *(diagnostic.location or ()))))
    where = f"<p><code>{escape(place)}</code></p>" if diagnostic.path else ""
    message = escape(printable(diagnostic.message))
    return (
        f'<div class="problem {diagnostic.severity}">{where}'
        f'<pre tabindex="0">{escape(before)}<mark>{escape(wrong)}</mark>{escape(after)}\n'
        f'<span aria-hidden="true">{carets}</span></pre>'
        f"<p><strong>{escape(diagnostic.code)}</strong>: {message}</p>"
        f"<p>{escape(printable(diagnostic.hint))}</p></div>\n"
    )


def _picture(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return (
        "<section><h2>Picture</h2>\n"
        '<div class="scroll" tabindex="0" role="group" aria-label="Picture of the routes">'
        f"{draw(rows)}</div></section>\n"
    )


def _routes(rows: Sequence[Row], objections: Mapping[str, str]) -> str:
    tables = "".join(_tables(rows[:MOST_ROWS], objections))
    return (
        f'<section><h2 id="routes" tabindex="-1">Routes <small>{len(rows)}</small></h2>\n'
        f"{tables or '<p>There are no routes.</p>'}{_rest(len(rows), MOST_ROWS)}</section>\n"
    )


def _tables(rows: Sequence[Row], objections: Mapping[str, str]) -> Iterator[str]:
    for entrypoint, found in by_entrypoint(rows).items():
        name = escape(printable(entrypoint))
        lines = "".join(_line(row, objections) for row in found)
        yield (
            f"<h3>{name} <small>{len(found)}</small></h3>\n"
            f'<table role="table" aria-label="Routes on entrypoint {name}"><thead role="rowgroup">'
            f'<tr role="row">{_HEADS}</tr></thead><tbody role="rowgroup">\n'
            f"{lines}</tbody></table>\n"
        )


_HEADS = "".join(
    f'<th role="columnheader" scope="col">{title}</th>'
    for title in ("Name", "Rule", "Backend", "Access")
)
"""Roles are named since tables that are laid out otherwise, as on small screens, lose theirs."""


def _line(row: Row, objections: Mapping[str, str]) -> str:
    objection = objections.get(row.router, "")
    shown = f'<span class="objection">Traefik: {escape(objection)}</span>' if objection else ""
    tls = f"<small>{escape(row.tls)}</small>" if row.tls else ""
    kind = "" if row.protocol == "http" else f"<small>{row.protocol.upper()}</small>"
    rule = f"<code>{escape(printable(row.rule))}</code>" if row.rule else "every datagram"
    return (
        f'<tr role="row"><th role="rowheader" scope="row">{escape(printable(row.name))}{shown}</th>'
        f'<td role="cell">{rule}{kind}</td>'
        f'<td role="cell"><code>{escape(printable(row.backend))}</code>{tls}</td>'
        f'<td role="cell">{escape(printable(row.access))}</td></tr>\n'
    )


def _rest(number: int, most: int) -> str:
    return f"<p>and {number - most} more</p>" if number > most else ""
