"""The access files of the examples, changed as their readers are asked to."""

from __future__ import annotations

from pathlib import Path

OPENED = "  www.example.com: {access: public}\n"
"""The line with which an example opens a name: the last of its file."""


def opening(example: Path, *names: str) -> str:
    """Return an example's access file with other names in place of the one that it opens."""
    head, line, rest = example.read_text().partition(OPENED)
    assert (line, rest) == (OPENED, "")
    return head + "".join(OPENED.replace("www.example.com", name) for name in names)
