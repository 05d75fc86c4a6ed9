"""Where the document goes: what a file, or anything in its place, has to be able to do."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol


class Outcome(Enum):
    """What became of what stood there."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    WRITTEN_IN_PLACE = "written in place"


class OutputWarning(NamedTuple):
    """Something beside a write that somebody should know; daemon's events have its message."""

    kind: str
    detail: str = ""


class WriteResult(NamedTuple):
    """What a write did."""

    outcome: Outcome
    owner_lost: bool = False
    """The old file was somebody else's, and this process may not give the new one to them."""
    notices: tuple[OutputWarning, ...] = ()
    leased: bool = False
    """The output is shared, and this process now holds its writer lease."""


class Output(Protocol):
    """Holds one document as text; its own text names it in the log, secrets out of sight."""

    needed: bool
    """Traefik does not start to follow it unless it is there; so watch sees to it, or ends."""

    def claim(self) -> AbstractContextManager[None]:
        """Keep other writers off for as long as the context lasts.

        A file is locked at once: raise :class:`.OutputError` if another process has it. A shared
        output takes its writer lease with each write, and frees it when the context ends.
        """

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Clear away what killed processes left; return what the user should know.

        Raise :class:`.OutputError` if no write can be.
        """

    def accept(self, content: bytes, foreign: str) -> None:
        """Take what was found at the start, and what in it this tool did not write, if anything.

        Raise :class:`.OutputError` if that is not to be replaced.
        """

    def read(self) -> bytes | None:
        """Return what stands there, ``None`` if nothing; raise :class:`.OutputError`."""

    def moved(self) -> bool:
        """Return whether another process has written since this one last read or wrote."""

    def may_write(self) -> bool:
        """Return whether no other process holds the writer lease."""

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would, if this had been written."""

    def write(self, content: bytes) -> WriteResult:
        """Replace what stands there, all or nothing, if it is not this already.

        Raise :class:`.OutputError` with the reason; what stood there then stands. It is
        :class:`.Standby` if another process holds the writer lease.
        """
