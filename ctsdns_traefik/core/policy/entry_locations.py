"""Where the entries of a policy stand in its file, and what is there more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.policy import hujson
from ctsdns_traefik.core.policy.json_scanner import Member, members_at, named
from ctsdns_traefik.core.policy.locations import Source
from ctsdns_traefik.core.policy.reader import fold


class Repeat(NamedTuple):
    """A member with another of its name further down."""

    member: Member
    last: Member
    """The last member that has the name."""
    merged: bool
    """Whether both count, merged in their order; otherwise only the last one does."""


class Entries(NamedTuple):
    """The members of a hosts map, their places by offsets in the file's content."""

    by_name: dict[str, Member]
    """The one that counts of each name."""
    repeats: tuple[Repeat, ...]
    """Of entries, of the policy's sections and, of a snapshot, of its own members."""


def locate_entries(source: Source) -> Entries:
    """Find the entries in a file from which a hosts map has been read."""
    text, policy = hujson.root_members(source.content[source.at : source.end])
    repeats: list[Repeat] = []
    if any(member.name == "acl" for member in policy):
        repeats += _repeats(policy, text, str, merging=False)
        acl = [member for member in policy if member.name == "acl"][-1]
        policy = _members(acl, text)
    repeats += _repeats(policy, text, fold, merging=True)
    entries = _entries([member for member in policy if fold(member.name) == "hosts"], text)
    repeats += _repeats(entries, text, str, merging=False)
    moved = [
        Repeat(_moved(member, source.at), _moved(last, source.at), merged)
        for member, last, merged in repeats
    ]
    return Entries({member.name: _moved(member, source.at) for member in entries}, tuple(moved))


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
    return [named(each, text) for each in members_at(text, member.start)]


def _repeats(
    level: list[Member], text: str, key: Callable[[str], str], *, merging: bool
) -> Iterator[Repeat]:
    """Pair each member with the last of its name; objects alone are merged."""
    groups: dict[str, list[Member]] = {}
    for member in level:
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
