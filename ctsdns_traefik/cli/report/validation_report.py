"""What validate found: a tree for terminals, lines for pipes, JSON, annotations for GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from ctsdns_traefik.cli.report.diagnostic_text import diagnostic_as_json, diagnostic_as_text
from ctsdns_traefik.cli.validation import Validation
from ctsdns_traefik.core.checks import LocatedDiagnostic
from ctsdns_traefik.core.dynamic import Route
from ctsdns_traefik.core.entries import describe_route
from ctsdns_traefik.core.problems import Severity
from ctsdns_traefik.core.text import printable, shown

_NOT_CHECKED = "; entrypoints were not checked (no --static-config or --entrypoint)"


def validation_as_json(validation: Validation) -> dict[str, Any]:
    """Return JSON values, as schemas/validate.schema.json describes them."""
    return {
        "routes": [_route_as_json(route) for route in validation.routes],
        "problems": [_diagnostic_as_json(finding) for finding in validation.findings],
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
    lines += [_diagnostic_as_line(finding) for finding in validation.findings]
    return "\n".join([*lines, _summary(validation)]) + "\n"


def validation_as_annotations(validation: Validation) -> str:
    """Return a workflow command of GitHub Actions for each problem, and a line that sums up.

    The form is that of "Workflow commands for GitHub Actions"; what would end a value is escaped.
    """
    return "\n".join([*map(_annotation, validation.findings), _summary(validation)]) + "\n"


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
    for finding in validation.findings:
        where = _where(finding)
        text = diagnostic_as_text(finding.problem, finding.excerpt)
        console.print(Text(f"\n{where}\n{text}" if where else f"\n{text}"), end="", soft_wrap=True)
    console.print(Text(f"\n{_summary(validation)}"), soft_wrap=True)


def _route_as_json(route: Route) -> dict[str, Any]:
    access = {
        "middlewares": list(route.middlewares),
        "tlsOptions": route.tls.options if route.tls else "",
    }
    return describe_route(route) | {name: value for name, value in access.items() if value}


def _diagnostic_as_json(finding: LocatedDiagnostic) -> dict[str, Any]:
    problem, place = finding.problem, finding.place
    return {
        **diagnostic_as_json(problem),
        "entry": problem.entry or None,
        "setting": problem.setting or None,
        "path": finding.path or None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }


def _diagnostic_as_line(finding: LocatedDiagnostic) -> str:
    line = f"{finding.problem.severity} {finding.problem}"
    return printable(f"{_where(finding)}: {line}" if finding.path else line)


def _where(finding: LocatedDiagnostic) -> str:
    """Return ``PATH:LINE:COLUMN``, as far as it is known."""
    parts = (printable(finding.path), *(finding.place or ()))
    return ":".join(map(str, parts)) if finding.path else ""


def _annotation(finding: LocatedDiagnostic) -> str:
    problem, place = finding.problem, finding.place
    properties = {
        "file": finding.path,
        "line": place.line if place else "",
        "col": place.column if place else "",
        "title": problem.code,
    }
    given = ",".join(f"{key}={_escaped(str(value))}" for key, value in properties.items() if value)
    message = printable(f"{shown(problem.source)}: {problem.message}; {problem.hint}")
    return f"::{problem.severity} {given}::{message.replace('%', '%25')}"


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
