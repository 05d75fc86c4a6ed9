"""Diagnostics: what is wrong with an entry, a setting or a file, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from ctsdns_traefik.core.text import SHOWN_AT_MOST, shown

EXCERPT_LENGTH = 100
"""Characters of a line that are shown before and after what is wrong, besides the whole entry."""


class SourceLocation(NamedTuple):
    """A line and a column of a file; both count from 1."""

    line: int
    column: int


FILE_START = SourceLocation(1, 1)


class Excerpt(NamedTuple):
    """A part of a line, split into what is wrong and the text before and after it."""

    before: str
    wrong: str
    after: str


class Severity(StrEnum):
    """How much a diagnostic matters."""

    ERROR = "error"
    """The entry gets no route, or none that Traefik would serve as intended."""
    WARNING = "warning"
    """The entry gets its route, but something about it is probably a mistake."""


class Diagnostic(NamedTuple):
    """One thing that is wrong with one entry of the hosts map, or with one setting."""

    code: str
    """Stable and machine-readable, such as ``bad-port``; docs/problems.md explains them all."""
    entry: str
    """The entry's name as written in the policy; ``""`` if a setting is wrong."""
    message: str
    """What is wrong, in one line."""
    hint: str
    """How to fix it, in one line."""
    span: tuple[int, int]
    """The half-open range of characters in :attr:`source` that is wrong."""
    address: str | None = None
    """The entry's address as written in the policy; ``None`` if only a name was given."""
    severity: Severity = Severity.ERROR
    setting: str = ""
    """The dotted path of a setting in Traefik's static configuration or in the access file."""
    path: str = ""
    """The file, as the user named it; ``""`` if there is none or it was not searched."""
    location: SourceLocation | None = None
    """Where in that file the entry or the setting starts, if known; columns count bytes."""
    excerpt: Excerpt | None = None
    """The line at that location."""

    @property
    def source(self) -> str:
        """The setting, or the entry as one text: ``NAME`` or ``NAME=ADDRESS``."""
        if self.setting:
            return self.setting
        return self.entry if self.address is None else f"{self.entry}={self.address}"

    def __str__(self) -> str:
        return f"{self.code}: {shown(self.source)}: {self.message}; {self.hint}"


class DiagnosticError(Exception):
    """Reject one entry; raised and caught inside the core, which goes on with the next entry.

    Outside, a bad entry is a :class:`Diagnostic` beside the good ones. Without a span all of the
    name is wrong.
    """

    def __init__(
        self, code: str, message: str, hint: str, span: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.span = code, message, hint, span
        self.others: tuple[DiagnosticError, ...] = ()
        """What else is wrong with the same entry."""

    def diagnostics_for(self, entry: str, address: str | None) -> tuple[Diagnostic, ...]:
        """Return the diagnostics for one entry."""
        return tuple(
            Diagnostic(
                each.code, entry, each.message, each.hint, each.span or (0, len(entry)), address
            )
            for each in (self, *self.others)
        )


class Faults(list[DiagnosticError]):
    """What is wrong with the parts of one entry, so that no fault hides another."""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the fault of one part, and go on with the next."""
        try:
            yield
        except DiagnosticError as error:
            self += error, *error.others

    def joined(self) -> DiagnosticError:
        """Return the first fault with the others."""
        first, *rest = self
        first.others = tuple(rest)
        return first


class LocatedError(Exception):
    """Reject a whole file, with one line that says why, and where; the column counts characters."""

    def __init__(self, message: str, location: SourceLocation = FILE_START) -> None:
        super().__init__(message)
        self.message, self.location = message, location
        self.others: tuple[LocatedError, ...] = ()
        """What else is wrong with the file, independently of this."""


def count_entries(diagnostics: Iterable[Diagnostic]) -> int:
    """Return how many entries or settings diagnostics are about; one can have several."""
    return len({each.source for each in diagnostics})


def diagnose_setting(
    code: str, setting: str, message: str, hint: str, severity: Severity = Severity.ERROR
) -> Diagnostic:
    """Return a diagnostic for a setting, given by its dotted path."""
    return Diagnostic(code, "", message, hint, (0, 0), severity=severity, setting=setting)


def excerpt_of_entry(diagnostic: Diagnostic) -> Excerpt:
    """Return an excerpt of the entry itself, for an entry that is in no file."""
    source, (start, end) = diagnostic.source, diagnostic.span
    end = min(end, start + SHOWN_AT_MOST)
    left, right = max(0, start - SHOWN_AT_MOST), end + SHOWN_AT_MOST
    return Excerpt(
        "..." * (left > 0) + source[left:start],
        source[start:end],
        source[end:right] + "..." * (right < len(source)),
    )
