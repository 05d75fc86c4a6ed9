"""Whose turn it is to write, where several watches keep one store and none leads.

Snapshots carry no clock: which of two is the older, nobody can tell. But every watch can tell news
of its own. So, of a watch that finds what another has written, and wants something else:

- It writes if its own snapshots have just turned to something that it has not had before.
- It does not if its snapshot is the one it had all along, or one that it has had and left: a poll
  that overlapped another brings such. It waits for :data:`PATIENCE` snapshots that say the same.
- It then writes, since the other may have died over an old snapshot; but the same thing over the
  same thing only once. Two watches that disagree for good so come to rest, and are told of.

What nobody else has written since this watch last wrote is its own to change and to put right. A
store that lost all is anybody's to fill.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

PATIENCE = 3
"""Snapshots in a row that say the same before it counts against what another watch wrote."""

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
        """That write was not its own."""
        self._tried = ""
        """The stamp of a write whose answer has not come."""
        self._others = False
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
            self._others = bool(self._stamp) or self._others
            self._stamp, self._foreign, self._news, self._waited = mark.stamp, True, False, 0

    def wrote(self, mark: Mark) -> None:
        """Take note of an own write."""
        self._stamp, self._foreign, self._news, self._waited = mark.stamp, False, False, 0

    def take(self, wanted: str, standing: Mark | None) -> Turn:
        """Decide about one snapshot, whose document has the digest ``wanted``."""
        self.looked(standing)
        self._make_own(wanted)
        if standing is None or standing.digest == wanted:
            self._news, self._waited = False, 0
            return Turn.WRITE
        returning = wanted in self._left
        if not self._others or self._news or not (self._foreign or returning):
            return self._overwrite(standing)
        self._waited += 1
        if self._waited < PATIENCE:
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
