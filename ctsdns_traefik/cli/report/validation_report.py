"""The report of validate: a tree on a terminal, else lines; JSON; annotations for GitHub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Literal

from ctsdns_traefik.cli.report import as_json, diagnostic_as_json, diagnostic_as_text
from ctsdns_traefik.cli.stdio import emit
from ctsdns_traefik.core.checks import Validation
from ctsdns_traefik.core.dynamic import Route
from ctsdns_traefik.core.entries import describe_route
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.releases import OLDEST, as_text
from ctsdns_traefik.core.text import printable, shown
from ctsdns_traefik.terminal import Paint, is_terminal, is_utf8, painter

ReportFormat = Literal["text", "json", "github", "html"]

_NOT_CHECKED = "; entrypoints were not checked (no --static-config or --entrypoint)"


def show_validation(validation: Validation, traefik: str, form: ReportFormat) -> None:
    """Print a report to standard output; ``traefik`` is the version that proved the routes."""
    if form == "json":
        emit(as_json(_as_json(validation, traefik)))
    elif form == "github":
        emit(_as_annotations(validation, traefik))
    elif form == "html":
        emit(_as_page(validation, traefik))
    elif is_terminal(sys.stdout):
        emit(_as_tree(validation, traefik, painter(sys.stdout), is_utf8(sys.stdout)))
    else:
        emit(_as_lines(validation, traefik, painter(sys.stdout)))


def _as_json(validation: Validation, traefik: str) -> dict[str, Any]:
    """Return JSON values, as schemas/validate.schema.json describes them."""
    return {
        "routes": [_route_as_json(route) for route in validation.routes],
        "problems": [_diagnostic_as_json(each) for each in validation.diagnostics],
        "summary": {
            "routes": len(validation.routes),
            "errors": validation.count(Severity.ERROR),
            "warnings": validation.count(Severity.WARNING),
            "entrypointsChecked": validation.entrypoints_checked,
            "traefikNeeded": as_text(validation.needs),
        },
        "traefik": traefik or None,
    }


def _as_lines(validation: Validation, traefik: str, paint: Paint) -> str:
    """Return a line for each route and diagnostic, and a summary."""
    lines = [f"{route.entry.entrypoint}: {_route_as_text(route)}" for route in _sorted(validation)]
    lines += [_diagnostic_as_line(each, paint) for each in validation.diagnostics]
    return "\n".join([*lines, _summary(validation, traefik)]) + "\n"


def _as_annotations(validation: Validation, traefik: str) -> str:
    """Return a "workflow command" of GitHub Actions for each diagnostic, and a summary."""
    lines = map(_annotation, validation.diagnostics)
    return "\n".join([*lines, _summary(validation, traefik)]) + "\n"


def _as_page(validation: Validation, traefik: str) -> str:
    """Return the page that a hub serves, of a policy that is not live yet."""
    from ctsdns_traefik.core.dynamic import build_document
    from ctsdns_traefik.core.page import View, page_to_html, rows_of

    view = View(
        "What Traefik would do with the policy",
        rows_of(build_document(validation.routes)),
        state=_summary(validation, traefik),
        well=not validation.count(Severity.ERROR),
        diagnostics=validation.diagnostics,
    )
    return page_to_html(view)


def _as_tree(validation: Validation, traefik: str, paint: Paint, utf8: bool) -> str:
    """Return the routes as a tree by entrypoint, then each diagnostic with its carets.

    No line is folded, however narrow the terminal: it wraps them itself, and copies them whole.
    """
    guides = {False: ("├── ", "│   "), True: ("└── ", "    ")}
    if not utf8:
        guides = {False: ("|-- ", "|   "), True: ("`-- ", "    ")}
    groups = groupby(_sorted(validation), key=lambda route: route.entry.entrypoint)
    branches = {entrypoint: list(routes) for entrypoint, routes in groups}
    lines = ["routes by entrypoint"]
    for entrypoint, routes in branches.items():
        branch, before = guides[entrypoint == [*branches][-1]]
        leaves = (f"{guides[each is routes[-1]][0]}{_route_as_text(each)}" for each in routes)
        lines += [f"{branch}{entrypoint}", *(f"{before}{leaf}" for leaf in leaves)]
    for each in validation.diagnostics:
        place = _place(each)
        lines += ["", *([place] if place else []), diagnostic_as_text(each, paint).rstrip("\n")]
    return "\n".join([*lines, "", _summary(validation, traefik)]) + "\n"


def _route_as_json(route: Route) -> dict[str, Any]:
    access = {
        "backends": list(route.backends) if route.others else [],
        "middlewares": list(route.middlewares),
        "tlsOptions": route.tls.options if route.tls else "",
    }
    return describe_route(route) | {name: value for name, value in access.items() if value}


def _diagnostic_as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    location = diagnostic.location
    return {
        **diagnostic_as_json(diagnostic),
        "entry": diagnostic.entry or None,
        "setting": diagnostic.setting or None,
        "path": diagnostic.path or None,
        "line": location.line if location else None,
        "column": location.column if location else None,
    }


def _diagnostic_as_line(diagnostic: Diagnostic, paint: Paint) -> str:
    place = f"{_place(diagnostic)}: " if diagnostic.path else ""
    return f"{place}{paint(diagnostic.severity)} {printable(str(diagnostic))}"


def _place(diagnostic: Diagnostic) -> str:
    """Return ``PATH:LINE:COLUMN``, or what of it is known."""
    parts = (printable(diagnostic.path), *(diagnostic.location or ()))
    return ":".join(map(str, parts)) if diagnostic.path else ""


def _annotation(diagnostic: Diagnostic) -> str:
    location = diagnostic.location
    properties = {
        "file": diagnostic.path,
        "line": location.line if location else "",
        "col": location.column if location else "",
        "title": diagnostic.code,
    }
    known = ",".join(f"{key}={_escaped(str(value))}" for key, value in properties.items() if value)
    message = printable(f"{shown(diagnostic.source)}: {diagnostic.message}; {diagnostic.hint}")
    return f"::{diagnostic.severity} {known}::{message.replace('%', '%25')}"


def _escaped(value: str) -> str:
    """Escape the characters that would end the value of a property."""
    for char, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        value = value.replace(char, escape)
    return value


def _sorted(validation: Validation) -> Iterator[Route]:
    yield from sorted(validation.routes, key=lambda route: (route.entry.entrypoint, route.entry))


def _route_as_text(route: Route) -> str:
    tls = ""
    if route.entry.is_raw:
        tls = " (no TLS at Traefik)"
    elif route.protocol == "tcp":
        tls = " (TLS passthrough)" if route.passthrough else " (TLS ends at Traefik)"
    behind = [*route.middlewares, *([route.tls.options] if route.tls and route.tls.options else [])]
    access = f" behind {', '.join(behind)}" if behind else ""
    rule = route.rule or f"every UDP datagram ({route.entry.domain})"
    return f"{rule} -> {', '.join(route.backends)}{tls}{access}"


def _summary(validation: Validation, traefik: str) -> str:
    counts = ", ".join(
        f"{number} {thing}{'' if number == 1 else 's'}"
        for number, thing in (
            (len(validation.routes), "route"),
            (validation.count(Severity.ERROR), "error"),
            (validation.count(Severity.WARNING), "warning"),
        )
    )
    proved = f"; proved by Traefik {traefik}" if traefik else ""
    needs = f"; needs Traefik {as_text(validation.needs)} or newer"
    proved += needs * (validation.needs > OLDEST)
    return f"{counts}{proved}{'' if validation.entrypoints_checked else _NOT_CHECKED}"
