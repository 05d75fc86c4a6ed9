"""The members of a JSON object, walked one by one: where each stands, without keeping it.

A snapshot is megabytes of machines around a policy of kilobytes. As Python values the machines
would take several times the memory of their text, only to be dropped; here a list is passed over
element by element. What is accepted and what is refused is the same as for ``json.loads``, but
that a number may have any count of digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

_SPACES = " \t\n\r"
_SPACE = re.compile(f"[{_SPACES}]*")

read_value = JSONDecoder(parse_int=float).raw_decode
"""Read the value at an offset, and return also where it has ended; all numbers are floats."""

Enter = Callable[[str, int, int], int | None]
"""What may read a member's value itself, given the name and where the name and the value start.

It returns where the value has ended, or ``None`` if it has not read it.
"""


class Member(NamedTuple):
    """A name of an object, and where in the text it and its value stand."""

    name: str
    at: int
    """Where the name's opening quote is."""
    name_end: int
    """Behind the name's closing quote."""
    start: int
    """Where the value starts."""
    end: int
    """Where the value has ended."""


def members_of(text: str, enter: Enter | None = None) -> Iterator[Member]:
    """Walk the object that a text holds; ``enter`` is asked for the end of each value first.

    Raise :class:`json.JSONDecodeError` for what is no JSON, :class:`TypeError` for another value.
    """
    start = after_space(text, 0)
    if not text.startswith("{", start):
        raise TypeError("the text holds no object")
    end = yield from members_at(text, start, enter)
    if (rest := after_space(text, end)) < len(text):
        raise JSONDecodeError("Extra data", text, rest)


def members_at(text: str, start: int, enter: Enter | None = None) -> Generator[Member, None, int]:
    """Walk the object whose ``{`` is at ``start``, and return where it has ended.

    A name that comes twice comes twice. Raise :class:`json.JSONDecodeError` for what is no JSON.
    """
    at = after_space(text, start + 1)
    if text.startswith("}", at):
        return at + 1
    while True:
        if not text.startswith('"', at):
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        name, after = scanstring(text, at + 1, True)
        colon = after_space(text, after)
        if not text.startswith(":", colon):
            raise JSONDecodeError("Expecting ':' delimiter", text, colon)
        value = after_space(text, colon + 1)
        entered = enter(name, at, value) if enter else None
        end = _end_of_value(text, value) if entered is None else entered
        yield Member(name, at, after, value, end)
        at, more = _after_comma(text, end, "}")
        if not more:
            return at


def _end_of_value(text: str, start: int) -> int:
    if text.startswith("[", start):
        return _end_of_list(text, start)
    return read_value(text, start)[1]


def _end_of_list(text: str, start: int) -> int:
    at = after_space(text, start + 1)
    if text.startswith("]", at):
        return at + 1
    more = True
    while more:
        at, more = _after_comma(text, read_value(text, at)[1], "]")
    return at


def _after_comma(text: str, end: int, bracket: str) -> tuple[int, bool]:
    """Pass a comma or the bracket that closes; tell whether it was a comma."""
    at = after_space(text, end)
    if text.startswith(",", at):
        return after_space(text, at + 1), True
    if text.startswith(bracket, at):
        return at + 1, False
    raise JSONDecodeError("Expecting ',' delimiter", text, at)


def name_of(text: str, at: int) -> str:
    """Read the name whose opening quote is at an offset of a text with a character a byte.

    Bytes that are no UTF-8, and halves of surrogate pairs, come out as U+FFFD, as in Go.
    """
    _, end = scanstring(text, at + 1, True)
    raw = text[at:end].encode("iso-8859-1").decode("utf-8", "surrogateescape")
    name: str = scanstring(raw, 1, True)[0]
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in name)


def named(member: Member, text: str) -> Member:
    """Return a member of a text with a character a byte, its name read by :func:`name_of`."""
    return member if member.name.isascii() else member._replace(name=name_of(text, member.at))


def after_space(text: str, at: int) -> int:
    """Return where the white space that starts at an offset has ended."""
    if text[at : at + 1] not in _SPACES:  # as between almost all values
        return at
    space = _SPACE.match(text, at)
    return space.end() if space else at
