"""How routes and problems are shown: text for people, lines and JSON for programs."""

from __future__ import annotations


def as_json(value: object) -> str:
    """Return a value as indented JSON with a final newline."""
    import json  # text does without

    return json.dumps(value, indent=2) + "\n"
