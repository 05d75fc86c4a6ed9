"""How routes and problems are shown: text for people, lines and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from ctsdns_traefik.core.clients import ClientCommands
from ctsdns_traefik.core.explain import Explanation, describe_route
from ctsdns_traefik.core.printable import printable
from ctsdns_traefik.core.problems import Problem, Severity
from ctsdns_traefik.core.render import Rendering
from ctsdns_traefik.core.routes import Route

EXCERPT = 100
"""Characters of an entry that are shown before, in and after what is wrong with it."""


def as_json(value: object) -> str:
    """Return a value as indented JSON with a final newline."""
    return json.dumps(value, indent=2) + "\n"


def explanation_as_json(explained: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON values; ``kind`` is ``route``, ``problem`` or ``alias``."""
    if explained.problem:
        return {"kind": "problem", **problem_as_json(explained.problem)}
    if explained.route is None:
        return {"kind": "alias", "entry": explained.entry}
    clients = {"clients": explained.clients._asdict()} if explained.clients else {}
    return {"kind": "route", **explained.route, **clients}


def explanation_as_text(explained: Explanation) -> str:
    """Explain an entry to people, with a final newline."""
    if explained.problem:
        return problem_as_text(explained.problem)
    name, route = printable(explained.entry), explained.route
    if route is None:
        return f"{name}\n  an ordinary host alias: it starts with no underscore, and is ignored\n"
    rows = (
        ("entrypoint", route["entrypoint"]),
        ("scheme", route["scheme"]),
        ("port", route["port"]),
        ("router", f"{route['router']} ({route['type'].upper()})"),
        ("rule", route["rule"]),
        ("service", route["service"]),
        ("backend", route["backend"]),
        ("TLS", _tls_in_words(route["passthrough"])),
    )
    lines = [name, *(f"  {label:<11} {value}" for label, value in rows)]
    if explained.clients:
        lines += _clients_in_words(explained.clients)
    return "\n".join(lines) + "\n"


def problem_as_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON values; the span counts characters of ``NAME=ADDRESS``."""
    return {
        "code": problem.code,
        "severity": problem.severity.value,
        "entry": problem.entry,
        "address": problem.address,
        "span": list(problem.span),
        "message": problem.message,
        "hint": problem.hint,
    }


def problem_as_text(problem: Problem) -> str:
    """Show an entry with a caret under each character that is wrong, and how to mend it."""
    source, (start, end) = problem.source, problem.span
    end = min(end, start + EXCERPT)
    left, right = max(0, start - EXCERPT), end + EXCERPT
    before = "..." * (left > 0) + printable(source[left:start])
    wrong = printable(source[start:end])
    after = printable(source[end:right]) + "..." * (right < len(source))
    carets = " " * _columns(before) + "^" * max(1, _columns(wrong))
    return (
        f"{before}{wrong}{after}\n{carets}\n"
        f"{problem.severity} {problem.code}: {printable(problem.message)}\n"
        f"hint: {problem.hint}\n"
    )


def findings_as_json(rendering: Rendering) -> dict[str, Any]:
    """Return what validate found as JSON values."""
    routes, problems = rendering.routes, rendering.problems
    return {
        "routes": [describe_route(route) for route in routes],
        "problems": [problem_as_json(problem) for problem in problems],
        "summary": {
            "routes": len(routes),
            "errors": _count(problems, Severity.ERROR),
            "warnings": _count(problems, Severity.WARNING),
        },
    }


def findings_as_lines(rendering: Rendering) -> str:
    """Return what validate found with a line for each route and problem, and one that sums up."""
    routes = sorted(rendering.routes, key=lambda route: (route.entry.entrypoint, route.entry))
    lines = [f"{route.entry.entrypoint}: {_route_in_words(route)}" for route in routes]
    lines += [printable(f"{problem.severity} {problem}") for problem in rendering.problems]
    return "\n".join([*lines, _summary(rendering)]) + "\n"


def print_findings(rendering: Rendering, terminal: TextIO) -> None:
    """Show what validate found as a tree by entrypoint, then each problem with its carets."""
    from rich.console import Console  # only a terminal needs it
    from rich.text import Text  # markup would swallow the brackets of IPv6
    from rich.tree import Tree

    branches: dict[str, Tree] = {}
    tree = Tree(Text("routes by entrypoint"))
    for route in sorted(rendering.routes, key=lambda route: (route.entry.entrypoint, route.entry)):
        entrypoint = route.entry.entrypoint
        if entrypoint not in branches:
            branches[entrypoint] = tree.add(Text(entrypoint, style="bold"))
        branches[entrypoint].add(Text(_route_in_words(route), overflow="fold"))
    console = Console(file=terminal, highlight=False)
    console.print(tree)
    for problem in rendering.problems:
        console.print(Text(f"\n{problem_as_text(problem)}"), end="", soft_wrap=True)
    console.print(Text(f"\n{_summary(rendering)}"))


def _route_in_words(route: Route) -> str:
    tls = ""
    if route.protocol == "tcp":
        tls = " (TLS passthrough)" if route.passthrough else " (TLS ends at Traefik)"
    return f"{route.rule} -> {route.backend}{tls}"


def _tls_in_words(passthrough: bool | None) -> str:
    if passthrough is None:
        return "as its entrypoint has it; no passthrough"
    if passthrough:
        return "passes through to the backend (passthrough: true)"
    return "ends at Traefik (passthrough: false)"


def _clients_in_words(clients: ClientCommands) -> Iterator[str]:
    yield "  For clients that send no SNI, open a local port with one of these, and let them"
    yield f"  connect to 127.0.0.1:{clients.port}:"
    for tool in ("socat", "stunnel", "haproxy"):
        yield f"  {tool}"
        yield from (f"      {line}" for line in getattr(clients, tool).splitlines())


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only other scripts need it

    return cell_len(text)


def _summary(rendering: Rendering) -> str:
    return ", ".join(
        f"{number} {thing}{'' if number == 1 else 's'}"
        for number, thing in (
            (len(rendering.routes), "route"),
            (_count(rendering.problems, Severity.ERROR), "error"),
            (_count(rendering.problems, Severity.WARNING), "warning"),
        )
    )


def _count(problems: Iterable[Problem], severity: Severity) -> int:
    return sum(problem.severity is severity for problem in problems)
