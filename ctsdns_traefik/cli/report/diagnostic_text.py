"""One problem, as text with carets and as JSON."""

from __future__ import annotations

from typing import Any

from ctsdns_traefik.core.problems import Diagnostic, excerpt_of_entry
from ctsdns_traefik.core.text import printable


def diagnostic_as_json(problem: Diagnostic) -> dict[str, Any]:
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


def diagnostic_as_text(problem: Diagnostic) -> str:
    """Show a diagnostic with a caret under each wrong character, and how to fix it."""
    excerpt = problem.excerpt or excerpt_of_entry(problem)
    before, wrong, behind = (printable(part) for part in excerpt)
    carets = " " * _columns(before) + "^" * max(1, _columns(wrong))
    return (
        f"{before}{wrong}{behind}\n{carets}\n"
        f"{problem.severity} {problem.code}: {printable(problem.message)}\n"
        f"hint: {printable(problem.hint)}\n"
    )


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only other scripts need it

    return cell_len(text)
