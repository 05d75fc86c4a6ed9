"""What is wrong with an entry or a setting, as a value: what, where and how to mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ctsdns_traefik.core.text import shown


class Severity(StrEnum):
    """How much a problem matters."""

    ERROR = "error"
    """The entry gets no route, or none that Traefik would serve as it is meant."""
    WARNING = "warning"
    """The entry gets its route, but something about it deserves a look."""


class Diagnostic(NamedTuple):
    """One thing that is wrong with one entry of the hosts map, or with one setting of Traefik."""

    code: str
    """Stable and machine-readable, ``bad-port`` for one; docs/problems.md explains them all."""
    entry: str
    """The entry's name, as it stands in the policy; ``""`` if it is a setting that is wrong."""
    message: str
    """What is wrong, in one line."""
    hint: str
    """How to mend it, in one line."""
    span: tuple[int, int]
    """Where: the half-open range of characters in :attr:`source`."""
    address: str | None = None
    """The entry's address as it stands in the policy; ``None`` if only a name was given."""
    severity: Severity = Severity.ERROR
    setting: str = ""
    """The dotted path in Traefik's static configuration, for a problem that is no entry's."""

    @property
    def source(self) -> str:
        """The setting, or the entry as one text: ``NAME`` or ``NAME=ADDRESS``.

        A span in it is one in the name.
        """
        if self.setting:
            return self.setting
        return self.entry if self.address is None else f"{self.entry}={self.address}"

    def __str__(self) -> str:
        """Say all but the severity in one line, safe to print or log."""
        return f"{self.code}: {shown(self.source)}: {self.message}; {self.hint}"


class DiagnosticError(Exception):
    """Why one part of an entry is refused; raised and caught inside the grammar alone."""

    def __init__(self, code: str, span: tuple[int, int], message: str, hint: str) -> None:
        """Take what a :class:`Diagnostic` takes; the span counts from the start of the entry."""
        super().__init__(message)
        self.code, self.span, self.message, self.hint = code, span, message, hint

    def diagnostic_for(self, entry: str, address: str | None) -> Diagnostic:
        """Return the problem that this refusal is for one entry."""
        return Diagnostic(self.code, entry, self.message, self.hint, self.span, address)
