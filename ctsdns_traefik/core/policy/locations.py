"""Places in a file, in lines and columns.

Lines and columns count from 1, and columns count bytes, as compilers do: a tab is one column, a
letter outside ASCII two or more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple


class SourceLocation(NamedTuple):
    """A line and a column."""

    line: int
    column: int


class Source(NamedTuple):
    """A file that holds a policy, or another text with one."""

    path: str
    """As the user named it; ``""`` for what is no file, and then no places are shown."""
    content: bytes
    at: int = 0
    """Where in it the policy or the snapshot starts, and"""
    end: int | None = None
    """ends; they are all of it but in a captured stream."""


class Lines:
    """The lines of a file, to find places among them."""

    def __init__(self, content: bytes) -> None:
        """Take the file's content."""
        self._content = content
        self._starts = [0, *(found.end() for found in re.finditer(rb"\n", content))]

    def place(self, offset: int) -> SourceLocation:
        """Return the place of a byte."""
        line = bisect_right(self._starts, offset)
        return SourceLocation(line, offset - self._starts[line - 1] + 1)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where a line starts and ends, its LF not counted."""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self._content)
        return self._starts[number - 1], end


def place_of(text: str, offset: int) -> SourceLocation:
    """Return the place of one character of a text that has a character a byte."""
    return SourceLocation(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def in_bytes(place: SourceLocation, text: str) -> SourceLocation:
    """Return the place of which the column, as parsers have it, counts characters of a text."""
    line = text.split("\n")[place.line - 1]
    return SourceLocation(place.line, len(line[: place.column - 1].encode()) + 1)
