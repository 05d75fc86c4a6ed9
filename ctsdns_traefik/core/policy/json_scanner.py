"""Walk the members of a JSON object one by one, returning their offsets and keeping no values.

A snapshot is megabytes of machines around a policy of kilobytes. As Python values the machines
would take several times the memory of their text and twice the time; here a list is checked element
by element and nothing is kept. It accepts and rejects the same texts as ``json.loads``, except that
a number may have any count of digits.
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
"""Read the value at an offset, and return it with its end.

Integers are read as floats: ``int`` takes quadratic time and rejects more than 4,300 digits.
"""

Enter = Callable[[str, int, int], int | None]
"""A callback that may read a member's value, given the name and the starts of name and value.

It returns the value's end, or ``None`` to leave the value to the scanner.
"""


class Member(NamedTuple):
    """A name in an object, with the offsets of the name and its value."""

    name: str
    name_start: int
    """The offset of the opening quote."""
    name_end: int
    """The offset after the closing quote."""
    start: int
    """The value's first offset."""
    end: int
    """The offset after the value."""


def members_of(text: str, enter: Enter | None = None) -> Iterator[Member]:
    """Walk the object that is the whole text, calling ``enter`` before each value.

    Raise :class:`json.JSONDecodeError` for invalid JSON and :class:`TypeError` for another value.
    """
    start = after_space(text, 0)
    if not text.startswith("{", start):
        raise TypeError("the text holds no object")
    end = yield from members_at(text, start, enter)
    if (rest := after_space(text, end)) < len(text):
        raise JSONDecodeError("Extra data", text, rest)


def members_at(text: str, start: int, enter: Enter | None = None) -> Generator[Member, None, int]:
    """Walk the object whose ``{`` is at ``start``, and return its end.

    Repeated names are all yielded. Raise :class:`json.JSONDecodeError` for invalid JSON.
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
        end = read_value(text, at)[1]
        if text.startswith(',{"', end):  # as programs write lists; a regular expression is slower
            at = end + 1
        else:
            at, more = _after_comma(text, end, "]")
    return at


def _after_comma(text: str, end: int, bracket: str) -> tuple[int, bool]:
    """Skip a comma or the closing bracket; return the next offset and whether it was a comma."""
    at = after_space(text, end)
    if text.startswith(",", at):
        return after_space(text, at + 1), True
    if text.startswith(bracket, at):
        return at + 1, False
    raise JSONDecodeError("Expecting ',' delimiter", text, at)


def fault_of(error: JSONDecodeError) -> str:
    """Return what is wrong with JSON in plain words."""
    return _FAULTS.get(error.msg, error.msg[:1].lower() + error.msg[1:])


_FAULTS = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ':' delimiter": "the colon between name and value is missing",
    "Expecting ',' delimiter": "a comma or the end is missing",
    "Unterminated string starting at": "the text has no closing quote",
    "Invalid control character at": "a line end or control character in a text: write an escape",
    "Extra data": "there is something after the end",
}
"""The messages of Python's JSON reader."""


def decode_name(text: str, at: int) -> str:
    """Decode the name at an offset of a text that has one character per byte.

    Invalid UTF-8 and unpaired surrogates become U+FFFD, as in Go.
    """
    _, end = scanstring(text, at + 1, True)
    raw = text[at:end].encode("iso-8859-1").decode("utf-8", "surrogateescape")
    name: str = scanstring(raw, 1, True)[0]
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in name)


def with_decoded_name(member: Member, text: str) -> Member:
    """Return a member with its name decoded as by :func:`decode_name`."""
    if member.name.isascii():
        return member
    return member._replace(name=decode_name(text, member.name_start))


def after_space(text: str, at: int) -> int:
    """Return the first offset that is not white space."""
    if text[at : at + 1] not in _SPACES:  # the usual case, and twice as fast as the pattern
        return at
    space = _SPACE.match(text, at)
    return space.end() if space else at
