"""Where the entries of a policy are in its file, in lines and columns.

A hosts map has no lines, so ``validate`` reads the file a second time to find them; no other
command pays for that. Columns count bytes, as compilers do: a tab is one column, a letter outside
ASCII two or more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.policy import hujson
from ctsdns_traefik.core.policy.json_scanner import Member, members_at, with_decoded_name
from ctsdns_traefik.core.policy.reader import fold
from ctsdns_traefik.core.problems import SourceLocation


class SourceText(NamedTuple):
    """A file or another text with a policy in it."""

    path: str
    """As the user named it; ``""`` for a text in no file, for which no locations are shown."""
    content: bytes
    start: int = 0
    """Where in the content the policy or the snapshot starts."""
    end: int | None = None
    """Where it ends; a captured stream has more around it."""


class Lines:
    """The lines of a file, for finding the location of a byte."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._starts = [0, *(found.end() for found in re.finditer(rb"\n", content))]

    def location(self, offset: int) -> SourceLocation:
        """Return the location of a byte."""
        line = bisect_right(self._starts, offset)
        return SourceLocation(line, offset - self._starts[line - 1] + 1)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where a line starts and ends, its LF not counted."""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self._content)
        return self._starts[number - 1], end


class Repeat(NamedTuple):
    """A member with another of its name further down."""

    member: Member
    last: Member
    """The last member of that name."""
    merged: bool
    """Whether both count, merged in their order; otherwise only the last one does."""


class Entries(NamedTuple):
    """The members of a hosts map, located by offsets in the file's content."""

    by_name: dict[str, Member]
    """The member that counts for each name."""
    repeats: tuple[Repeat, ...]
    """Repeated entries, sections of the policy and members of a snapshot."""


def in_bytes(location: SourceLocation, text: str) -> SourceLocation:
    """Convert a location whose column counts characters, as parsers report it."""
    line = text.split("\n")[location.line - 1]
    return SourceLocation(location.line, len(line[: location.column - 1].encode()) + 1)


def locate_entries(source: SourceText) -> Entries:
    """Find the entries in a file from which a hosts map has been read."""
    text, policy = hujson.root_members(source.content[source.start : source.end])
    repeats: list[Repeat] = []
    if any(member.name == "acl" for member in policy):
        repeats += _repeats(policy, text, str, merging=False)
        acl = [member for member in policy if member.name == "acl"][-1]
        policy = _members(acl, text)
    repeats += _repeats(policy, text, fold, merging=True)
    entries = _entries([member for member in policy if fold(member.name) == "hosts"], text)
    repeats += _repeats(entries, text, str, merging=False)
    moved = [
        Repeat(_moved(member, source.start), _moved(last, source.start), merged)
        for member, last, merged in repeats
    ]
    return Entries({member.name: _moved(member, source.start) for member in entries}, tuple(moved))


def _entries(sections: list[Member], text: str) -> list[Member]:
    """Return the entries of all sections that count; ``null`` drops those before it."""
    entries: list[Member] = []
    for section in sections:
        if _is_object(section, text):
            entries += _members(section, text)
        else:
            entries.clear()
    return entries


def _members(member: Member, text: str) -> list[Member]:
    return [with_decoded_name(each, text) for each in members_at(text, member.start)]


def _repeats(
    members: list[Member], text: str, key: Callable[[str], str], *, merging: bool
) -> Iterator[Repeat]:
    """Pair each member with the last of its name; only objects are merged."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(key(member.name), []).append(member)
    for group in groups.values():
        for index, member in enumerate(group[:-1]):
            merged = merging and all(_is_object(each, text) for each in group[index:])
            yield Repeat(member, group[-1], merged)


def _is_object(member: Member, text: str) -> bool:
    return text.startswith("{", member.start)


def _moved(member: Member, distance: int) -> Member:
    name, *offsets = member
    return Member(name, *(offset + distance for offset in offsets))
