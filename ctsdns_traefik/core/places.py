"""Where the entries of a policy stand in its file: lines, columns, and what is there twice.

Lines and columns count from 1, and columns count bytes, as compilers do: a tab is one column, a
letter outside ASCII two or more.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from json import JSONDecodeError
from typing import NamedTuple

from ctsdns_traefik.core import hujson
from ctsdns_traefik.core.members import Member, members_at, members_of

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """A line and a column."""

    line: int
    column: int


class Source(NamedTuple):
    """A file that holds a policy."""

    path: str
    """As the user named it."""
    content: bytes
    at: int = 0
    """Where in it the policy or the snapshot starts, and"""
    end: int | None = None
    """ends; they are all of it but in a captured stream."""


class Entries(NamedTuple):
    """The members of a hosts map, their places by offsets in the file's content."""

    by_name: dict[str, Member]
    """The one that counts of each name."""
    shadowed: tuple[tuple[Member, Member], ...]
    """Members with another of their name further down, in the map or around it; that one counts."""


def locate_entries(source: Source) -> Entries:
    """Find the entries in a file from which a hosts map has been read."""
    levels = _levels(_plain(source.content[source.at : source.end]))
    moved = [[_moved(member, source.at) for member in level] for level in levels]
    shadowed = tuple(pair for level in moved for pair in _shadowed(level))
    return Entries({member.name: member for member in moved[-1]}, shadowed)


class Lines:
    """The lines of a file, to find places among them."""

    def __init__(self, content: bytes) -> None:
        """Take the file's content."""
        self._content = content
        self._starts = [0, *(found.end() for found in re.finditer(rb"\n", content))]

    def place(self, offset: int) -> Place:
        """Return the place of a byte."""
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where a line starts and ends, its LF not counted."""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self._content)
        return self._starts[number - 1], end


def in_bytes(place: Place, text: str) -> Place:
    """Return the place of which the column, as parsers have it, counts characters of a text."""
    line = text.split("\n")[place.line - 1]
    return Place(place.line, len(line[: place.column - 1].encode()) + 1)


def _plain(data: bytes) -> str:
    """Return JSON with a character a byte, so that places among the two are the same."""
    mark = _BYTE_ORDER_MARK if data.startswith(_BYTE_ORDER_MARK) else b""
    text = (b" " * len(mark) + data[len(mark) :]).decode("iso-8859-1")
    try:
        for _ in members_of(text):
            pass
    except (JSONDecodeError, TypeError):  # it has comments, the first perhaps before all else
        return hujson.to_json(text)
    return text


def _levels(text: str) -> list[list[Member]]:
    """Return the members of the root, of a snapshot's acl, and of the hosts."""
    levels = [list(members_of(text))]
    names = {member.name for member in levels[0]}
    for name in ("acl", "hosts") if "acl" in names else ("hosts",):
        above = [member for member in levels[-1] if member.name == name]
        levels.append(list(members_at(text, above[-1].start)) if above else [])
    return [[_named(member, text) for member in level] for level in levels]


def _named(member: Member, text: str) -> Member:
    """Read the name as the UTF-8 that it is."""
    if member.name.isascii():
        return member
    raw = text[member.at : member.name_end].encode("iso-8859-1")
    return member._replace(name=json.loads(raw))


def _shadowed(level: list[Member]) -> Iterator[tuple[Member, Member]]:
    last = {member.name: member for member in level}
    for member in level:
        if member is not last[member.name]:
            yield member, last[member.name]


def _moved(member: Member, distance: int) -> Member:
    name, *offsets = member
    return Member(name, *(offset + distance for offset in offsets))
