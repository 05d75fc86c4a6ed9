"""Split an entry, as people write it on a command line, into its name and its address.

It may be ``NAME``, ``NAME=ADDRESS`` or ``NAME ADDRESS``, or a line copied from a policy, with
quotes, colon, comma and comment: ``"NAME": "ADDRESS",  // what it is for``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.entries.address import looks_like_address

COMMENT = "//"
"""The start of a comment, in a policy and after an entry."""

_STRING = r'"(?:[^"\\]|\\.)*"|\'[^\']*\''
_ENTRY = re.compile(
    rf"""
    [ \t]*+
    (?P<name> {_STRING} | [^\s"'=:,]++ )
    (?: (?P<sign> [ \t]*+[=:][ \t]*+ | [ \t]++ )
        (?P<address> {_STRING} | (?!//) [^\s"',]++ )? )?
    [ \t]*+,?[ \t]*+
    (?: //.* | /\*.* )?
    """,
    re.VERBOSE,
)
"""Possessive (``++``), so that the time is linear in the length."""

_QUOTES = ('"', "'")
_TRANSPORT = re.compile(r"\._(?:tcp|udp)\.")


class WrittenEntry(NamedTuple):
    """An entry as written: its name, and its address if it has one."""

    name: str
    address: str | None = None


def read_notation(text: str) -> WrittenEntry:
    """Read one entry in any of the forms above.

    Any other text is split at its first equals sign, or is a name as a whole, so that the grammar
    reports where it is wrong.
    """
    found = _ENTRY.fullmatch(text)
    if found is None or looks_like_address(text) or not _is_pair(found):
        name, equals, address = text.partition("=")
        return WrittenEntry(name, address if equals else None)
    address = found["address"]
    if address is None:
        return WrittenEntry(_unquoted(found["name"]), "" if "=" in (found["sign"] or "") else None)
    return WrittenEntry(_unquoted(found["name"]), _unquoted(address))


def read_arguments(arguments: Iterable[str]) -> Iterator[WrittenEntry]:
    """Read entries that a shell has split: an address belongs to the name before it.

    So does anything after a name that ends in a colon, as in a line of a policy whose quotes the
    shell has removed. An argument that starts with ``//`` starts a comment.
    """
    before: WrittenEntry | None = None
    expected = False
    for argument in arguments:
        if argument.startswith(COMMENT):
            break
        address = argument.removesuffix(",")
        if before and before.address is None and (expected or looks_like_address(address)):
            yield before._replace(address=address)
            before, expected = None, False
            continue
        if before:
            yield before
        before, expected = read_notation(argument), argument.endswith(":")
    if before:
        yield before


def _is_pair(found: re.Match[str]) -> bool:
    """Return whether a match is a name and an address, not a malformed name with a separator."""
    name, sign, address = found["name"], found["sign"] or "", found["address"] or ""
    if name.startswith(_QUOTES) or address.startswith(_QUOTES):
        return True
    if "=" in sign or not address or looks_like_address(address):
        return True
    return sign != ":" and bool(":" in sign or _TRANSPORT.search(name))


def _unquoted(text: str) -> str:
    if not text.startswith(_QUOTES):
        return text
    import json  # parse-host starts faster without it, and most entries have no quotes

    try:
        return str(json.loads(text, strict=False)) if text.startswith('"') else text[1:-1]
    except ValueError:
        return text[1:-1]
