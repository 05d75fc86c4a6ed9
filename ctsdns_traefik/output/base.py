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


class OutputWarning(NamedTuple):
    """Something besides the write itself that is to be logged; ``kind`` selects the message."""

    kind: str
    detail: str = ""


class WriteResult(NamedTuple):
    """The outcome of a write, and what is to be logged about it."""

    outcome: Outcome
    owner_lost: bool = False
    """The old file had another owner, whom this process is not permitted to give the new one."""
    warnings: tuple[OutputWarning, ...] = ()
    leased: bool = False
    """The output is shared, and this process now holds its writer lease."""


class Output(Protocol):
    """Holds one document as text; ``str()`` of it names it in the log, without secrets."""

    needed: bool
    """Whether Traefik needs it at its own start, so that watch has to create it or end.

    A store may come later, and an empty one is not filled with "no routes" before a snapshot.
    """

    def claim(self) -> AbstractContextManager[None]:
        """Exclude other writers for as long as the context lasts.

        A file is locked at once: raise :class:`.OutputError` if another process has it. A shared
        output takes its writer lease with each write, and frees it when the context ends.
        """

    def inspect(self, size: int = 0) -> str:
        """Find out whether ``size`` bytes can be written; return what is to be known.

        The content is neither read nor changed. Raise :class:`.OutputError` if it is impossible.
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
        """Return whether another process has written since this one last read or wrote."""

    def may_write(self) -> bool:
        """Return whether no other process holds the writer lease."""

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would return after a write of this content.

        A store does not keep the order of fields, so that its text differs from what was written.
        """

    def write(self, content: bytes) -> WriteResult:
        """Replace the content atomically, unless it is the same already.

        Raise :class:`.OutputError` with the reason; the old content then stays. It is
        :class:`.Standby` if another process holds the writer lease.
        """
