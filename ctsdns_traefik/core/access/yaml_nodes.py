"""Read values of a YAML file strictly, with their locations; unknown keys are errors.

Unlike in Traefik's own files (see core/static_config) the case of a key matters, and text is not
converted to a number or a boolean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from ctsdns_traefik.core.problems import FILE_START, LocatedError, SourceLocation
from ctsdns_traefik.core.static_config.places import location_of
from ctsdns_traefik.core.static_config.reader import read_yaml
from ctsdns_traefik.core.text import did_you_mean, quoted, shown

EMPTY = "is empty: give it a value, or remove it"
_FORBIDDEN = ("{{", "`", "{}")
"""No text may contain what starts a template or a rule in Traefik's file, or an empty map."""


class Members(dict[str, "Node"]):
    """The nodes of a map, by key."""

    complete = True
    """Whether all keys are known; otherwise one that is missing may be misspelt."""


class Node(NamedTuple):
    """One value, its dotted path, and the location of its key."""

    value: Any
    faults: list[LocatedError]
    """What is wrong in the file and hides no other fault; all nodes have the same list."""
    path: str = ""
    location: SourceLocation = FILE_START

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a fault in place of raising it, where the rest can be judged without this part."""
        try:
            yield
        except LocatedError as fault:
            self.faults.append(fault)

    def fail(self, what: str) -> NoReturn:
        """Raise :class:`LocatedError` for this value."""
        raise LocatedError(f"{shown(self.path) or 'it'} {what}", self.location)

    def members(self, known: Iterable[str] | None = None, required: Iterable[str] = ()) -> Members:
        """Return the nodes of a map; if ``known`` is given, other keys are errors."""
        if not isinstance(self.value, Mapping):
            self.fail("is not a map of settings")
        found, before = Members(), len(self.faults)
        for key, value in self.value.items():
            path = f"{self.path}.{key}" if self.path else str(key)
            node = self._replace(
                value=value, path=path, location=location_of(self.value, key) or self.location
            )
            with self.noting():
                if not isinstance(key, str):
                    node.fail("is not text: write it between quotes")
                if known is not None and key not in known:
                    node.fail(f"is not known{did_you_mean(key, known)}")
                found[key] = node
        missing = [key for key in required if key not in found]
        found.complete = len(self.faults) == before
        if not found.complete and (missing or not found):
            raise self.faults.pop()
        for key in missing:
            self.fail(f"has no {key}: add it")
        return found

    def text(self) -> str:
        """Return a text that is not empty and has no special meaning in Traefik's file."""
        if not isinstance(self.value, str) or not self.value:
            self.fail("is not text: write it between quotes" if self.value else EMPTY)
        for forbidden in _FORBIDDEN:
            if forbidden in self.value:
                self.fail(f"has {forbidden}, which Traefik's file cannot have: write it without")
        if not self.value.isprintable():
            self.fail(f"has characters that cannot be seen: {quoted(self.value)}")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        """Return a list of at least one text."""
        if not isinstance(self.value, list) or not self.value:
            self.fail("is not a list: write [...]" if self.value else EMPTY)
        return tuple(self._replace(value=each).text() for each in self.value)

    def flag(self) -> bool:
        """Return ``true`` or ``false``."""
        if not isinstance(self.value, bool):
            self.fail("is neither true nor false")
        return self.value

    def number(self, least: int, most: int) -> int:
        """Return a whole number within two limits."""
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not (whole and least <= self.value <= most):
            self.fail(f"is not a whole number from {least} to {most}")
        return int(self.value)

    def one_of(self, known: Iterable[str], what: str) -> str:
        """Return a text that is one of those known."""
        text, known = self.text(), tuple(known)
        if text not in known:
            self.fail(f"names {quoted(text)}, which is not {what}{did_you_mean(text, known)}")
        return text


def read_nodes(text: str) -> Node:
    """Read a YAML file's text; raise :class:`LocatedError` if it is invalid or empty."""
    root = Node(read_yaml(text), [])
    if root.value is None:
        root.fail("is empty")
    return root
