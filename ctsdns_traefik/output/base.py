"""The interface of an output, and the results of a write."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol


class Outcome(Enum):
    """What a write did to the old content."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    WRITTEN_IN_PLACE = "written in place"
    LEFT = "left"
    """Another watch has written something else, and keeps writing."""


class OutputWarning(NamedTuple):
    """Something besides the write itself that is to be logged; ``kind`` selects the message."""

    kind: str
    detail: str = ""


class WriteResult(NamedTuple):
    """The outcome of a write, and what is to be logged about it."""

    outcome: Outcome
    owner_lost: bool = False
    """The old file had another owner, whom this process is not permitted to give the new one."""
    notices: tuple[OutputWarning, ...] = ()


class Output(Protocol):
    """Holds one document as text; ``str()`` of it names it in the log, without secrets."""

    needed: bool
    """Whether Traefik needs it at its own start, so that watch has to create it or end."""

    def claim(self) -> AbstractContextManager[None]:
        """Exclude other writers while the context lasts, if there may be only one.

        Raise :class:`.OutputError` if there is another.
        """

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Remove what killed processes left; return what is to be logged.

        Raise :class:`.OutputError` if writing is impossible.
        """

    def accept(self, content: bytes, foreign: str) -> None:
        """Accept the content found at the start as replaceable.

        ``foreign`` describes what in it this tool did not write, or is empty. Raise
        :class:`.OutputError` if that must not be replaced.
        """

    def read(self) -> bytes | None:
        """Return the content, ``None`` if there is none; raise :class:`.OutputError`."""

    def moved(self) -> bool:
        """Return whether another watch has written since the last read or write here."""

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would return after a write of this content."""

    def write(self, content: bytes, *, ordered: bool = False) -> WriteResult:
        """Replace the content atomically, unless it is the same already.

        ``ordered`` marks a write that the operator asked for, as opposed to a snapshot. Raise
        :class:`.OutputError` with the reason; the old content then stays.
        """
