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
    LEFT = "left"
    """Another watch has written something else, and it is not this one's turn."""


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


class Output(Protocol):
    """Holds one document as text; its own text names it in the log, secrets out of sight."""

    needed: bool
    """Traefik does not start to follow it unless it is there; so watch sees to it, or ends."""

    def claim(self) -> AbstractContextManager[None]:
        """Keep others off for as long as the context lasts, where only one may write.

        Raise :class:`.OutputError` if another is there.
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
        """Tell whether another watch has written there since it was read or written here."""

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would, if this had been written."""

    def write(self, content: bytes, *, ordered: bool = False) -> WriteResult:
        """Replace what stands there, all or nothing, if it is not this already.

        ``ordered`` says that the operator wants it so, and not only a snapshot.

        Raise :class:`.OutputError` with the reason; what stood there then stands.
        """
