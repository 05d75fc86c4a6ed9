"""Whose turn it is to write, where several watches keep one store and none leads.

Snapshots carry no clock: which of two is the older, nobody can tell. But every watch can tell news
of its own: what its snapshots have just turned to, and have not said before.

- News are written at once, whoever wrote last.
- What a watch has had and left is old news: a poll that overlapped another brings such. It counts
  when :data:`AGAIN` snapshots in a row have said it.
- What a watch had all along, while another has written something else, is likely the older. It
  counts after :data:`PATIENCE` snapshots, since the other may have died over an old one; but it is
  written only once over the same thing. Two watches that disagree for good so come to rest.

What is as this watch wants it, it puts right; a store that lost all is anybody's to fill.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

AGAIN = 2
"""Snapshots in a row that say what was left before, until it counts."""

PATIENCE = 3
"""Snapshots in a row that say the same, until it counts against what another watch wrote."""

REMEMBERED = 64
"""Former documents that a watch remembers."""


class Mark(NamedTuple):
    """What the last writer left beside the document."""

    digest: str
    """Of the pairs that it wrote."""
    stamp: str
    """Another for each write."""


class Turn(Enum):
    """What to do about what stands."""

    WRITE = "write"
    WAIT = "wait"
    """Leave it for now."""
    DISAGREE = "disagree"
    """Leave it for good: to write it again would never end."""


class Turns:
    """What one watch remembers of its own documents and of others' writes."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._stamp = ""
        """Of the last write that this watch knows of, its own or another's."""
        self._foreign = False
        """It was not its own."""
        self._tried = ""
        """The stamp of a write whose answer has not come."""
        """Others have written since this watch began."""
        self._mine = ""
        self._news = False
        self._left: deque[str] = deque(maxlen=REMEMBERED)
        self._overwritten: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._waited = 0

    def moved(self, mark: Mark | None) -> bool:
        """Tell whether another has written since this watch last looked or wrote."""
        return mark is not None and mark.stamp not in (self._stamp, self._tried)

    def tries(self, mark: Mark) -> None:
        """Take note that a write begins: should its answer be lost, it may yet have been done."""
        self._tried = mark.stamp

    def looked(self, mark: Mark | None) -> None:
        """Take note of what stands."""
        if mark is None:
            self._foreign = False
        elif mark.stamp == self._tried:
            self.wrote(mark)
        elif self.moved(mark):
            self._stamp, self._foreign, self._news, self._waited = mark.stamp, True, False, 0

    def wrote(self, mark: Mark) -> None:
        """Take note of an own write."""
        self._stamp, self._foreign, self._news, self._waited = mark.stamp, False, False, 0
        self._tried = ""

    def take(self, wanted: str, standing: Mark | None, *, ordered: bool = False) -> Turn:
        """Decide about one snapshot, whose document has the digest ``wanted``.

        What the operator has ordered, not a snapshot, waits for nothing.
        """
        first = not self._mine
        self.looked(standing)
        self._make_own(wanted)
        if standing is None or standing.digest == wanted:
            self._news, self._waited = False, 0
            return Turn.WRITE
        needed = PATIENCE if self._foreign else AGAIN if wanted in self._left else 0
        if ordered or first or self._news or not needed:
            return self._overwrite(standing)
        self._waited += 1
        if self._waited < needed:
            return Turn.WAIT
        if self._foreign and (wanted, standing.digest) in self._overwritten:
            return Turn.DISAGREE
        return self._overwrite(standing)

    def _make_own(self, wanted: str) -> None:
        if wanted != self._mine:
            if self._mine:
                self._left.append(self._mine)
            self._mine, self._waited = wanted, 0
            self._news = wanted not in self._left

    def _overwrite(self, standing: Mark) -> Turn:
        if self._foreign:
            self._overwritten.append((self._mine, standing.digest))
        return Turn.WRITE
