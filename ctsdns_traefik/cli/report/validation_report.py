"""What validate found: a tree for terminals, lines for pipes, JSON, annotations for GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from ctsdns_traefik.cli.report.diagnostic_text import diagnostic_as_json, diagnostic_as_text
from ctsdns_traefik.cli.validation import Validation
from ctsdns_traefik.core.dynamic import Route
from ctsdns_traefik.core.entries import describe_route
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import printable, shown

_NOT_CHECKED = "; entrypoints were not checked (no --static-config or --entrypoint)"


def validation_as_json(validation: Validation) -> dict[str, Any]:
    """Return JSON values, as schemas/validate.schema.json describes them."""
    return {
        "routes": [_route_as_json(route) for route in validation.routes],
        "problems": [_diagnostic_as_json(diagnostic) for diagnostic in validation.diagnostics],
        "summary": {
            "routes": len(validation.routes),
            "errors": validation.count(Severity.ERROR),
            "warnings": validation.count(Severity.WARNING),
            "entrypointsChecked": validation.entrypoints_checked,
        },
        "traefik": validation.traefik or None,
    }


def validation_as_lines(validation: Validation) -> str:
    """Return a line for each route and problem, and one that sums up."""
    lines = [f"{route.entry.entrypoint}: {_route_in_words(route)}" for route in _sorted(validation)]
    lines += [_diagnostic_as_line(diagnostic) for diagnostic in validation.diagnostics]
    return "\n".join([*lines, _summary(validation)]) + "\n"


def validation_as_annotations(validation: Validation) -> str:
    """Return a workflow command of GitHub Actions for each problem, and a line that sums up.

    The form is that of "Workflow commands for GitHub Actions"; what would end a value is escaped.
    """
    return "\n".join([*map(_annotation, validation.diagnostics), _summary(validation)]) + "\n"


def print_validation(validation: Validation, terminal: TextIO) -> None:
    """Show a tree by entrypoint, then each problem with its carets."""
    from rich.console import Console  # only a terminal needs it
    from rich.text import Text  # markup would swallow the brackets of IPv6
    from rich.tree import Tree

    branches: dict[str, Tree] = {}
    tree = Tree(Text("routes by entrypoint"))
    for route in _sorted(validation):
        entrypoint = route.entry.entrypoint
        if entrypoint not in branches:
            branches[entrypoint] = tree.add(Text(entrypoint, style="bold"))
        branches[entrypoint].add(Text(_route_in_words(route), overflow="fold"))
    console = Console(file=terminal, highlight=False)
    console.print(tree)
    for diagnostic in validation.diagnostics:
        where = _where(diagnostic)
        text = diagnostic_as_text(diagnostic)
        console.print(Text(f"\n{where}\n{text}" if where else f"\n{text}"), end="", soft_wrap=True)
    console.print(Text(f"\n{_summary(validation)}"), soft_wrap=True)


def _route_as_json(route: Route) -> dict[str, Any]:
    access = {
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


def _diagnostic_as_line(diagnostic: Diagnostic) -> str:
    line = f"{diagnostic.severity} {diagnostic}"
    return printable(f"{_where(diagnostic)}: {line}" if diagnostic.path else line)


def _where(diagnostic: Diagnostic) -> str:
    """Return ``PATH:LINE:COLUMN``, as far as it is known."""
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
    given = ",".join(f"{key}={_escaped(str(value))}" for key, value in properties.items() if value)
    message = printable(f"{shown(diagnostic.source)}: {diagnostic.message}; {diagnostic.hint}")
    return f"::{diagnostic.severity} {given}::{message.replace('%', '%25')}"


def _escaped(value: str) -> str:
    """Escape the value of a property."""
    for char, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        value = value.replace(char, escape)
    return value


def _sorted(validation: Validation) -> Iterator[Route]:
    yield from sorted(validation.routes, key=lambda route: (route.entry.entrypoint, route.entry))


def _route_in_words(route: Route) -> str:
    tls = ""
    if route.protocol == "tcp":
        tls = " (TLS passthrough)" if route.passthrough else " (TLS ends at Traefik)"
    behind = [*route.middlewares, *([route.tls.options] if route.tls and route.tls.options else [])]
    access = f" behind {', '.join(behind)}" if behind else ""
    return f"{route.rule} -> {route.backend}{tls}{access}"


def _summary(validation: Validation) -> str:
    counts = ", ".join(
        f"{number} {thing}{'' if number == 1 else 's'}"
        for number, thing in (
            (len(validation.routes), "route"),
            (validation.count(Severity.ERROR), "error"),
            (validation.count(Severity.WARNING), "warning"),
        )
    )
    proved = f"; proved by Traefik {validation.traefik}" if validation.traefik else ""
    return f"{counts}{proved}{'' if validation.entrypoints_checked else _NOT_CHECKED}"
