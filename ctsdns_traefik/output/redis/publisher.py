"""The store as an output: the document as keys and values, written by the lease's holder."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.dynamic import (
    Difference,
    KeyValues,
    UnstorableText,
    difference,
    digest,
    find_guarded,
    from_key_values,
    from_text,
    to_key_values,
    to_plain_text,
)
from ctsdns_traefik.errors import OutputError, Standby
from ctsdns_traefik.output import Check, Outcome, OutputWarning, WriteResult
from ctsdns_traefik.output.redis.connection import Conflict, Connection, Mark, connected
from ctsdns_traefik.output.redis.lease import Lease
from ctsdns_traefik.output.redis.url import Address
from ctsdns_traefik.settings import STORE_LEASE

_ATTEMPTS = 3
"""How often a write is tried when another process writes at the same moment."""

_RELEASE_TIMEOUT = 0.3
"""Seconds for each answer when watch stops, which may take a second in all; others can wait."""

_NAMED_AT_MOST = 3

_MANY_KEYS = 1_000

_SETTLE_SECONDS = 1.0
"""How long Traefik may need to end a listing that began before some keys were written."""

_SETTLE_AT_MOST = 3.0

_KEYS_A_SECOND = 10_000
"""How the time grows with the store: Traefik lists ten keys at a time."""


class _Unchecked(Exception):
    """Something is to be written that the check command has not seen."""


class RedisOutput:
    """The keys below one root that Traefik's Redis provider reads; an :class:`.Output`.

    ``check`` has to accept a new document, ``sleep`` is how to pause amid a write,
    ``cancellation`` ends connections, and ``lease_seconds`` is how long this process keeps others
    from writing after its last write. Only keys that this tool wrote are changed or removed; beside
    the root stand a hash that Traefik is notified of, a set of the paths that are owned, and the
    writer lease.
    """

    needed = False

    def __init__(
        self,
        address: Address,
        check: Check | None = None,
        sleep: Callable[[float], None] = time.sleep,
        cancellation: Cancellation | None = None,
        lease_seconds: float = STORE_LEASE.default,
    ) -> None:
        self._address = address
        self._check = check
        self._sleep = sleep
        self._cancellation = cancellation
        self._lease = Lease.of_this_process()
        self._lease_seconds = lease_seconds
        self._may_hold_lease = False
        """Whether a write has begun since the lease was last seen to be another process's."""
        self._stamp = ""
        """Of the last write, this process's or another's, that this one has taken account of."""
        self._tried = ""
        """Of a write whose answer has not come: it may have been done."""
        self._content, self._digest = b"", ""
        self._wanted: KeyValues = {}
        self._owned: set[str] = set()
        """The paths that were owned when this process last read or wrote, in case the store loses
        its list."""

    def __str__(self) -> str:
        return str(self._address)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Free the writer lease at the end, so that another watch need not wait for it."""
        try:
            yield
        finally:
            if self._may_hold_lease:
                # A store that does not answer must not hold up a stop: the lease then expires.
                timeout = _RELEASE_TIMEOUT if self._cancellation else None
                with suppress(OutputError), self._connected(timeout) as store:
                    store.release(self._lease)

    def inspect(self, size: int = 0) -> str:  # noqa: ARG002  (the interface's)
        """Return who holds the writer lease; raise :class:`OutputError` if the store is away."""
        with self._connected() as store:
            lease = store.read_state()[1]
        return f"{lease.holder} holds the writer lease" if lease else ""

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Do nothing: a transaction leaves nothing behind."""
        return ()

    def accept(self, content: bytes, foreign: str) -> None:
        """Do nothing: :meth:`read` returns only what this tool wrote."""

    def _connected(self, timeout: float | None = None) -> AbstractContextManager[Connection]:
        return connected(self._address, self._cancellation, timeout)

    def moved(self) -> bool:
        """Return whether another process has written since this one last read or wrote."""
        with self._connected() as store:
            return self._is_foreign(store.read_state()[0])

    def may_write(self) -> bool:
        """Return whether no other process holds the writer lease."""
        with self._connected() as store:
            return self._is_free(store.read_state()[1])

    def _is_foreign(self, mark: Mark | None) -> bool:
        return mark is not None and mark.stamp not in (self._stamp, self._tried)

    def _is_free(self, lease: Lease | None) -> bool:
        return lease is None or lease.token == self._lease.token

    def read(self) -> bytes | None:
        """Return the document in the store, ``None`` if there is none."""
        with self._connected() as store:
            mark, _ = store.read_state()
            owned = store.read_owned()
            found = store.read_values(sorted(owned))
        if mark and self._is_foreign(mark):
            self._stamp = mark.stamp
        self._owned |= owned
        values = {path: value for path, value in found.items() if value is not None}
        return _text(values) if values else None

    def as_held(self, content: bytes) -> bytes:
        """Return what :meth:`read` would after a write: the order of fields is lost.

        Raise :class:`OutputError` for what a store cannot keep.
        """
        return _text(_key_values(content))

    def write(self, content: bytes) -> WriteResult:
        """Make the store hold a document, given as JSON, and take or renew the writer lease.

        Only keys that differ are touched. Raise :class:`.Standby` if another process holds the
        lease, or has written since this one last read: its document has to be read first, since a
        large removal is measured by what stands. Raise :class:`OutputError` for other failures.
        The old document then stands, or, if the connection broke during the commit, perhaps all of
        the new one.
        """
        if content != self._content:
            self._wanted = _key_values(content)
            self._content = content
            self._digest = digest(self._wanted)
        try:
            return self._publish(checked=self._check is None)
        except _Unchecked:
            # The command may take long: no connection stays open, and no key watched, meanwhile.
            if self._check:
                self._check.content(self._content, self)
            return self._publish(checked=True)

    def _publish(self, *, checked: bool) -> WriteResult:
        with self._connected() as store:
            for _ in range(_ATTEMPTS):
                try:
                    written = self._write(store, checked=checked)
                except Conflict:
                    continue
                more = _check_notifications(store, self._wanted)
                return written._replace(warnings=(*written.warnings, *more), leased=True)
        raise OutputError(f"cannot publish to {self}: other processes write all the time")

    def _write(self, store: Connection, *, checked: bool) -> WriteResult:
        wanted = self._wanted
        mark = self._require_lease(store)
        was_done = mark is not None and mark.stamp == self._tried
        same = mark is not None and mark.digest == self._digest
        # The list of owned paths is long, and as good as known if its length is right.
        complete = same and store.count_owned() == len(wanted)
        listed = set(wanted) if complete else store.read_owned()
        owned = listed | self._owned | (set() if complete else store.read_staged())
        values = store.read_values(wanted)
        change = difference(values, owned, wanted)
        index = Difference(dict.fromkeys(wanted.keys() - listed, ""), tuple(listed - wanted.keys()))
        if same and not (change or index):
            store.renew(self._lease, self._lease_seconds)
            self._take_account_of(mark)
            return WriteResult(Outcome.REPLACED if was_done else Outcome.UNCHANGED)
        if not checked:
            raise _Unchecked
        if find_guarded(change.changed, wanted):
            self._stage(store, mark, change, values)
        new = Mark(self._digest, secrets.token_hex(8))
        self._tried = new.stamp
        store.replace(change, index, new, self._lease, self._lease_seconds)
        self._take_account_of(new)
        self._owned = set(wanted)
        outcome = Outcome.REPLACED if mark else Outcome.CREATED
        return WriteResult(outcome, warnings=_find_taken_over(values, owned, wanted))

    def _require_lease(self, store: Connection) -> Mark | None:
        """Return what the last write left; raise :class:`.Standby` if this one may not follow."""
        mark, lease = store.read_state()
        agrees = mark is not None and mark.digest == self._digest
        self._may_hold_lease = self._is_free(lease)
        if lease is not None and not self._may_hold_lease:
            raise Standby(
                f"cannot publish to {self}: {lease.holder} holds the writer lease",
                lease.holder,
                agrees=agrees,
            )
        if self._is_foreign(mark) and not agrees:
            raise Standby(f"cannot publish to {self}: another watch has written since it was read")
        return mark

    def _take_account_of(self, mark: Mark | None) -> None:
        self._stamp, self._tried = mark.stamp if mark else "", ""

    def _stage(
        self,
        store: Connection,
        mark: Mark | None,
        change: Difference,
        values: dict[str, str | None],
    ) -> None:
        """Let Traefik see all new keys of protected routers before it sees their rules.

        Traefik lists names in many commands, then reads all values in one. Of keys that are written
        during its listing it may miss some, as a middleware.
        """
        new = {
            path: value
            for path, value in change.changed.items()
            if not (values[path] or path.endswith("/rule"))
        }
        if new:
            store.stage(new, self._lease, self._lease_seconds)
        self._sleep(min(_SETTLE_SECONDS + len(values) / _KEYS_A_SECOND, _SETTLE_AT_MOST))
        if self._require_lease(store) != mark:
            raise Conflict


def _key_values(content: bytes) -> KeyValues:
    try:
        return to_key_values(from_text(content.decode()))
    except UnstorableText as why:
        raise OutputError(str(why)) from why


def _text(values: KeyValues) -> bytes:
    return to_plain_text(from_key_values(values)).encode()


def _find_taken_over(
    values: dict[str, str | None], owned: set[str], wanted: KeyValues
) -> tuple[OutputWarning, ...]:
    """Name the keys that had other values and were not owned: another tool may have set them."""
    taken = [
        path
        for path, value in values.items()
        if value is not None and path not in owned and value != wanted[path]
    ]
    more = f" and {len(taken) - _NAMED_AT_MOST} more" if len(taken) > _NAMED_AT_MOST else ""
    return (OutputWarning("taken-over", ", ".join(taken[:_NAMED_AT_MOST]) + more),) if taken else ()


def _check_notifications(store: Connection, wanted: KeyValues) -> tuple[OutputWarning, ...]:
    """Warn if the store's notifications do not reach Traefik, or reach it too often."""
    setting = store.read_notifications()
    if setting is None:
        return ()
    flags = set(setting)
    if "K" not in flags or not flags & set("hA"):
        return (OutputWarning("notifications-off"),)
    if flags & set("A$g") and len(wanted) > _MANY_KEYS:
        return (OutputWarning("notifications-excessive", str(len(wanted))),)
    return ()
