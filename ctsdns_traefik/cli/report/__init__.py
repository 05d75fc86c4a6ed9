"""Reports of routes and diagnostics: text for people, lines and JSON for programs.

A module for each command that reports; what they share is here. What is reported comes from core.
"""

from __future__ import annotations

from typing import Any

from ctsdns_traefik.core.problems import Diagnostic, excerpt_of_entry
from ctsdns_traefik.core.text import printable
from ctsdns_traefik.terminal import Paint


def as_json(value: object) -> str:
    """Return a value as indented JSON with a final newline."""
    import json  # text needs none

    return json.dumps(value, indent=2) + "\n"


def diagnostic_as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON values; the span counts characters of ``NAME=ADDRESS``."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "entry": diagnostic.entry,
        "address": diagnostic.address,
        "span": list(diagnostic.span),
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def diagnostic_as_text(diagnostic: Diagnostic, paint: Paint) -> str:
    """Return a diagnostic as an excerpt with carets under what is wrong, a message and a hint.

    The excerpt is the entry itself unless the diagnostic has one of a file.
    """
    excerpt = diagnostic.excerpt or excerpt_of_entry(diagnostic)
    before, wrong, after = (printable(part) for part in excerpt)
    carets = " " * _columns(before) + "^" * max(1, _columns(wrong))
    return (
        f"{before}{wrong}{after}\n{carets}\n"
        f"{paint(diagnostic.severity)} {diagnostic.code}: {printable(diagnostic.message)}\n"
        f"hint: {printable(diagnostic.hint)}\n"
    )


def _columns(text: str) -> int:
    """Return the width of a text in columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only other scripts need it

    return cell_len(text)
