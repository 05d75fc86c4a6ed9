"""The store as a target: the same document, key by key, and what several watches owe each other."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from ctsdns_traefik import __version__
from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.dynamic import (
    Difference,
    Pairs,
    difference,
    digest,
    find_guarded,
    from_pairs,
    from_text,
    to_pairs,
    to_plain_text,
)
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output import Check, Outcome, OutputWarning, WriteResult
from ctsdns_traefik.output.redis.arbitration import Mark, Turn, Turns, mark_after
from ctsdns_traefik.output.redis.connection import Connection, Moved, connected
from ctsdns_traefik.output.redis.url import Address

_TRIES = 3
"""Times that a write is tried while others write at the same moment."""

_NAMED_AT_MOST = 3

_MANY_KEYS = 1_000

_SETTLED = 1.0
"""Seconds after which a reader that began to list before is taken to be done."""

_SETTLED_AT_MOST = 3.0

_KEYS_A_SECOND = 10_000
"""What is added for large stores: readers ask for ten keys at a time."""

_LEFT = {
    Turn.WAIT: WriteResult(Outcome.LEFT),
    Turn.DISAGREE: WriteResult(
        Outcome.LEFT, notices=(OutputWarning("disagreement", ", and this one now leaves it"),)
    ),
}


class _Unchecked(Exception):
    """Something is to be written that the check command has not seen."""


class RedisOutput:
    """The keys below one root that Traefik's Redis provider reads; a :class:`.Output`.

    Beside the root stand a hash, which says what was written last and rings when that changes,
    and a set of the paths that are this tool's. Nothing else is ever written or removed.
    """

    needed = False

    def __init__(
        self,
        address: Address,
        check: Check | None = None,
        sleep: Callable[[float], None] = time.sleep,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Take where the store is, what has to agree to a new document, and how to wait."""
        self._address = address
        self._check = check
        self._sleep = sleep
        self._cancellation = cancellation
        self._turns = Turns()
        self._content, self._sign = b"", ""
        self._wanted: Pairs = {}
        self._owned: set[str] = set()
        """What this watch knows to be this tool's, should the store forget."""

    def __str__(self) -> str:
        return str(self._address)

    def claim(self) -> AbstractContextManager[None]:
        """Keep nobody off: several watches may publish to one store."""
        return nullcontext()

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Do nothing: a transaction leaves nothing behind."""
        return ()

    def accept(self, content: bytes, foreign: str) -> None:
        """Do nothing: what :meth:`read` returns is this tool's."""

    def moved(self) -> bool:
        """Tell whether another watch has written since this one last looked or wrote."""
        with connected(self._address, self._cancellation) as store:
            return self._turns.moved(store.read_mark())

    def read(self) -> bytes | None:
        """Return what stands, as text; ``None`` if nothing does; raise :class:`OutputError`."""
        with connected(self._address, self._cancellation) as store:
            mark = store.read_mark()
            owned = store.read_owned()
            values = store.read_values(sorted(owned))
        self._turns.looked(mark)
        self._owned |= owned
        pairs = {path: value for path, value in values.items() if value is not None}
        return _text(pairs) if pairs else None

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would, if this had been written: the order of fields is lost."""
        return _text(to_pairs(from_text(content.decode())))

    def write(self, content: bytes, *, ordered: bool = False) -> WriteResult:
        """Make the store hold a document, given as JSON, unless it is another watch's turn.

        Only what differs is touched. Raise :class:`OutputError` with the reason; what stood then
        stands, or, if the connection broke at the very end, all of the new does. What stands stays
        after :class:`.CheckRefused`, too.
        """
        if content != self._content:
            self._content, self._wanted = content, to_pairs(from_text(content.decode()))
            self._sign = digest(self._wanted)
        try:
            return self._publish(ordered=ordered, agreed=self._check is None)
        except _Unchecked:
            self._have_checked()
            return self._publish(ordered=ordered, agreed=True)

    def _publish(self, *, ordered: bool, agreed: bool) -> WriteResult:
        with connected(self._address, self._cancellation) as store:
            for _ in range(_TRIES):
                try:
                    written = self._write(store, ordered=ordered, agreed=agreed)
                except Moved:
                    continue
                more = _deafness(store, self._wanted)
                return written._replace(notices=(*written.notices, *more))
        raise OutputError(f"cannot publish to {self}: others write all the time")

    def _have_checked(self) -> None:
        """Ask the check command, while no connection waits for it; it gets the document's text."""
        if self._check:
            self._check.content(self._content, self)

    def _write(self, store: Connection, *, ordered: bool, agreed: bool) -> WriteResult:
        wanted, sign = self._wanted, self._sign
        standing = store.read_mark()
        made_up = self._turns.was_tried(standing)
        turn = self._turns.take(sign, standing, ordered=ordered)
        if turn is not Turn.WRITE:
            return _LEFT[turn]
        same = standing is not None and standing.digest == sign
        agreed_on = same and store.count_owned() == len(wanted)
        told = set(wanted) if agreed_on else store.read_owned()
        owned = told | self._owned | (set() if agreed_on else store.read_early())
        values = store.read_values(wanted)
        change = difference(values, owned, wanted)
        index = Difference(dict.fromkeys(wanted.keys() - told, ""), tuple(told - wanted.keys()))
        if same and not (change or index):
            return WriteResult(Outcome.REPLACED if made_up else Outcome.UNCHANGED)
        if not agreed:
            raise _Unchecked
        if find_guarded(change.changed, wanted):
            self._add_early(store, standing, change, values)
        mark = mark_after(standing, sign, secrets.token_hex(8))
        self._turns.tries(mark)
        store.replace(change, index, mark, f"ctsdns-traefik {__version__}")
        self._turns.wrote(mark)
        self._owned = set(wanted)
        outcome = Outcome.REPLACED if standing else Outcome.CREATED
        return WriteResult(outcome, notices=_taken_over(values, owned, wanted))

    def _add_early(
        self,
        store: Connection,
        standing: Mark | None,
        change: Difference,
        values: dict[str, str | None],
    ) -> None:
        """Let new keys be seen by every reader before a rule makes them count.

        Traefik lists names in many commands, then reads all values in one. So what is in force at
        one time it sees as it is, but of keys that are new it may miss some: a middleware.
        """
        changed = change.changed.items()
        early = {
            path: each for path, each in changed if not (values[path] or path.endswith("/rule"))
        }
        if early:
            store.add(early)
        self._sleep(min(_SETTLED + len(values) / _KEYS_A_SECOND, _SETTLED_AT_MOST))
        if store.read_mark() != standing:
            raise Moved


def _text(pairs: Pairs) -> bytes:
    return to_plain_text(from_pairs(pairs)).encode()


def _taken_over(
    values: dict[str, str | None], owned: set[str], wanted: Pairs
) -> tuple[OutputWarning, ...]:
    """Tell of keys that stood there, with other values, and were nobody's."""
    taken = [
        path
        for path, value in values.items()
        if value is not None and path not in owned and value != wanted[path]
    ]
    more = f" and {len(taken) - _NAMED_AT_MOST} more" if len(taken) > _NAMED_AT_MOST else ""
    return (OutputWarning("taken-over", ", ".join(taken[:_NAMED_AT_MOST]) + more),) if taken else ()


def _deafness(store: Connection, wanted: Pairs) -> tuple[OutputWarning, ...]:
    """Tell what is amiss with how Traefik hears of changes."""
    flags = store.read_notifications()
    if flags is None:
        return ()
    heard = set(flags)
    if "K" not in heard or not heard & set("hA"):
        return (OutputWarning("notifications-off"),)
    if heard & set("A$g") and len(wanted) > _MANY_KEYS:
        return (OutputWarning("notifications-excessive", str(len(wanted))),)
    return ()
