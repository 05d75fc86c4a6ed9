"""Whether another writer and this one replace each other's content in turn."""

from __future__ import annotations

from collections import deque

REMEMBERED = 16
"""Contents of others that are remembered once they have been replaced."""

CALM = 10
"""Checks in a row that find this writer's own content, until the other is taken to be gone."""


class Rivalry:
    """Remembers what others wrote and this writer replaced; the same again is no accident.

    One edit by hand is put right and forgotten. A second program that keeps the same file writes
    the same content again after it was replaced, for as long as both run.
    """

    def __init__(self) -> None:
        """Begin with nothing replaced."""
        self._replaced: deque[str] = deque(maxlen=REMEMBERED)
        self._calm = 0
        self.is_on = False
        """Whether content has come back after it was replaced, and not long ago."""

    def replaced(self, digest: str) -> None:
        """Take note that content of another writer is being replaced."""
        self.is_on = self.is_on or digest in self._replaced
        self._replaced.append(digest)
        self._calm = 0

    def undisturbed(self) -> None:
        """Take note that what was written stood when it was looked at."""
        self._calm += 1
        if self._calm >= CALM:
            self._replaced.clear()
            self.is_on = False
