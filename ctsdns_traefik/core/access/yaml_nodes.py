"""Values of a YAML file with their places, read strictly: what is not known is refused.

Unlike Traefik's own files (see :mod:`.sections`) these are read as they stand: the case of a key
matters, and a text is no number.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from ctsdns_traefik.core.policy.locations import SourceLocation
from ctsdns_traefik.core.static_config.reader import StaticError, place_of, read_yaml
from ctsdns_traefik.core.text import quoted, shown

_START = SourceLocation(1, 1)

_FORBIDDEN = ("{{", "`", "{}")
"""What no text may carry: Traefik's templates, its rules, and what marks a map as empty."""


class AccessError(Exception):
    """A file that cannot be used, and where it is wrong; line and column count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        """Take what is wrong, in one line, and where."""
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class Node(NamedTuple):
    """One value, its dotted path, and the place of its key."""

    value: Any
    path: str = ""
    place: SourceLocation = _START

    def fail(self, what: str) -> NoReturn:
        """Raise :class:`AccessError` with the path, what is wrong, and the place."""
        raise AccessError(f"{shown(self.path)} {what}" if self.path else what, *self.place)

    def members(self, known: Iterable[str] | None = None) -> dict[str, Node]:
        """Return the nodes of a map; unless ``known`` is ``None``, other keys are refused."""
        if not isinstance(self.value, Mapping):
            self.fail("is not a map")
        found = {}
        for key, value in self.value.items():
            path = f"{self.path}.{key}" if self.path else str(key)
            node = Node(value, path, place_of(self.value, key) or self.place)
            if not isinstance(key, str):
                node.fail("is not text: write it between quotes")
            if known is not None and key not in known:
                node.fail(f"is not known{did_you_mean(key, known)}")
            found[key] = node
        return found

    def text(self) -> str:
        """Return a text that is not empty and means nothing to Traefik's template language."""
        if not isinstance(self.value, str) or not self.value:
            self.fail("is not text" if self.value else "is empty")
        for forbidden in _FORBIDDEN:
            if forbidden in self.value:
                self.fail(f"holds {forbidden}, which Traefik's file cannot carry")
        if not self.value.isprintable():
            self.fail(f"holds characters that cannot be seen: {quoted(self.value)}")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        """Return a list of at least one text."""
        if not isinstance(self.value, list) or not self.value:
            self.fail("is not a list of texts" if self.value else "is empty")
        return tuple(Node(each, self.path, self.place).text() for each in self.value)

    def flag(self) -> bool:
        """Return ``true`` or ``false``."""
        if not isinstance(self.value, bool):
            self.fail("is neither true nor false")
        return self.value

    def number(self, least: int, most: int) -> int:
        """Return a whole number between two others."""
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not (whole and least <= self.value <= most):
            self.fail(f"is not a whole number from {least} to {most}")
        return int(self.value)

    def one_of(self, known: Iterable[str], what: str) -> str:
        """Return one of the texts that are known."""
        text, known = self.text(), tuple(known)
        if text not in known:
            self.fail(f"names {quoted(text)}, which is not {what}{did_you_mean(text, known)}")
        return text


def read_nodes(text: str) -> Node:
    """Read a YAML file's text; raise :class:`AccessError` if it does not parse or is empty."""
    try:
        root = Node(read_yaml(text))
    except StaticError as why:
        raise AccessError(why.message, *why.place) from why
    if root.value is None:
        root.fail("there is nothing in it")
    return root


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return the end of a message: what was meant, or what there is."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), names, n=1)
    if close:
        return f"; did you mean {shown(names[close[0]])}?"
    return f"; there is {shown(', '.join(names.values()))}" if names else "; there is none"
