"""No output but what ``--listen`` serves: the document is kept in memory, and ends with watch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ctsdns_traefik.output.base import Outcome, OutputWarning, WriteResult

if TYPE_CHECKING:
    from ctsdns_traefik.output.hooks import Check


class MemoryOutput:
    """An :class:`.Output` without a file or a store."""

    needed = False

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._content: bytes | None = None

    def __str__(self) -> str:
        return "the served document"

    def claim(self) -> AbstractContextManager[None]:
        """Exclude no process: none but this one can reach it."""
        return nullcontext()

    def inspect(self, size: int = 0) -> str:  # noqa: ARG002  (the interface's)
        """Find nothing: memory can be written."""
        return ""

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Find nothing to remove."""
        return ()

    def accept(self, content: bytes, foreign: str) -> None:
        """Accept anything; nothing foreign can be there."""

    def read(self) -> bytes | None:
        """Return the content, ``None`` before the first write."""
        return self._content

    def moved(self) -> bool:
        """Return that no other process writes."""
        return False

    def may_write(self) -> bool:
        """Return that no other process writes."""
        return True

    def as_held(self, content: bytes) -> bytes:
        """Return the content as it is."""
        return content

    def write(self, content: bytes) -> WriteResult:
        """Replace the content, once the check command, if any, has accepted it."""
        if content == self._content:
            return WriteResult(Outcome.UNCHANGED)
        if self._check:
            self._check.content(content, self)
        outcome = Outcome.CREATED if self._content is None else Outcome.REPLACED
        self._content = content
        return WriteResult(outcome)
