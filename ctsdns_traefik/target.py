"""Where the document goes: what a file, or anything in its place, has to be able to do."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol


class Outcome(Enum):
    """What became of what stood there."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    WRITTEN_IN_PLACE = "written in place"


class Written(NamedTuple):
    """What a write did."""

    outcome: Outcome
    owner_lost: bool = False
    """The old file was somebody else's, and this process may not give the new one to them."""


class Target(Protocol):
    """Holds one document as text; its own text names it in the log, secrets out of sight."""

    def prepare(self) -> None:
        """Clear away what killed processes left; raise :class:`.OutputError` if no write can be."""

    def read(self) -> bytes | None:
        """Return what stands there, ``None`` if nothing; raise :class:`.OutputError`."""

    def write(self, content: bytes) -> Written:
        """Replace what stands there, all or nothing, if it is not this already.

        Raise :class:`.OutputError` with the reason; what stood there then stands.
        """
