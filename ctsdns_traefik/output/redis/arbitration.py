"""Whose turn it is to write, where several watches keep one store and none leads.

Snapshots carry no clock: which of two is the older, nobody can tell. But every watch can tell news
of its own: what its snapshots have just turned to, and have not said before.

- News are written at once, whoever wrote last.
- What has stood before is no news: the last writer left a list of what stood. So a watch that
  lags, or starts at an old snapshot, does not bring back what others have left.
- What a watch has had and left is old news: a poll that overlapped another brings such. It counts
  when :data:`AGAIN` snapshots in a row have said it.
- What a watch had all along, while another has written something else, is likely the older. It
  counts after :data:`PATIENCE` snapshots, since the other may have died over an old one; but until
  the watch turns to something else it is written only once over the same thing. Two watches that
  disagree for good so come to rest, with what was news last.

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

LISTED = 16
"""Former documents that the store lists."""


class Mark(NamedTuple):
    """What the last writer left beside the document."""

    digest: str
    """Of the pairs that it wrote."""
    stamp: str
    """Another for each write."""
    former: tuple[str, ...] = ()
    """Digests of what stood before, the last one at the end."""


class Turn(Enum):
    """What to do about what stands."""

    WRITE = "write"
    WAIT = "wait"
    """Leave it for now."""
    DISAGREE = "disagree"
    """Leave it for good: to write it again would never end."""


def mark_after(standing: Mark | None, digest: str, stamp: str) -> Mark:
    """Return what to leave beside a document that takes the place of what stands."""
    before = (*standing.former, standing.digest) if standing else ()
    return Mark(digest, stamp, tuple(each for each in before if each != digest)[-LISTED:])


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
        self._over = ""
        """What another wrote, if that write takes its place, and not for being news."""
        self._mine = ""
        """What the last snapshot says."""
        self._news = False
        """It has just turned to that, and has not had it before."""
        self._left: deque[str] = deque(maxlen=REMEMBERED)
        """What earlier snapshots said."""
        self._overwritten: set[str] = set()
        """What others wrote and this watch has replaced since it turned to what it says now."""
        self._waited = 0
        """Snapshots in a row that said so, and were not written."""

    def moved(self, mark: Mark | None) -> bool:
        """Tell whether another has written since this watch last looked or wrote."""
        return mark is not None and mark.stamp not in (self._stamp, self._tried)

    def tries(self, mark: Mark) -> None:
        """Take note that a write begins: should its answer be lost, it may yet have been done."""
        self._tried = mark.stamp

    def was_tried(self, mark: Mark | None) -> bool:
        """Tell whether a write whose answer has not come was done all the same."""
        return mark is not None and mark.stamp == self._tried

    def looked(self, mark: Mark | None) -> None:
        """Take note of what stands."""
        if mark is None:
            self._foreign = False
        elif self.was_tried(mark):
            self.wrote(mark)
        elif self.moved(mark):
            self._stamp, self._foreign, self._news, self._waited = mark.stamp, True, False, 0

    def wrote(self, mark: Mark) -> None:
        """Take note of an own write, once it is known to be done."""
        if self._over:
            self._overwritten.add(self._over)
        self._stamp, self._foreign, self._news, self._waited = mark.stamp, False, False, 0
        self._tried = ""

    def take(self, wanted: str, standing: Mark | None, *, ordered: bool = False) -> Turn:
        """Decide about one snapshot, whose document has the digest ``wanted``.

        What the operator has ordered, not a snapshot, waits for nothing.
        """
        self.looked(standing)
        self._make_own(wanted)
        self._over = ""
        if standing is None or standing.digest == wanted:
            self._news, self._waited = False, 0
            return Turn.WRITE
        old = wanted in self._left or wanted in standing.former
        needed = PATIENCE if self._foreign else AGAIN if old else 0
        self._waited += 1
        if self._waited < needed and not ordered and (old or not self._news):
            return Turn.WAIT
        if self._foreign and standing.digest in self._overwritten and not ordered:
            return Turn.DISAGREE
        self._over = standing.digest if self._foreign and not self._news else ""
        return Turn.WRITE

    def _make_own(self, wanted: str) -> None:
        if wanted == self._mine:
            return
        if self._mine:
            self._left.append(self._mine)
        self._mine, self._waited = wanted, 0
        self._news = wanted not in self._left
        self._overwritten.clear()
