"""Reports of routes and diagnostics: text for people, lines and JSON for programs.

A module for each command that reports; what is reported comes from core.
"""

from __future__ import annotations


def as_json(value: object) -> str:
    """Return a value as indented JSON with a final newline."""
    import json  # text needs none

    return json.dumps(value, indent=2) + "\n"
