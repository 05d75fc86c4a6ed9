"""Polls: ask for the whole policy in an interval, and parse it only if it is another."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SnapshotError, SourceText, UnlikelyHosts, is_empty
from ctsdns_traefik.core.sse import SHORTEST, poll_backoff
from ctsdns_traefik.errors import Reason, SourceError
from ctsdns_traefik.source.base import Expect, Policy, Received, Untrusted, Wording
from ctsdns_traefik.source.secrets import SentSecrets

LARGEST_POLICY = 64 * 1024 * 1024
"""Bytes of an answer at most, decompressed."""

LONGEST_POLL = 30.0
"""Seconds in which a whole answer has to come, unless the read timeout is shorter."""

CONFIRMATION = 2.0
"""Seconds until a policy is asked for again that is to be confirmed."""

BURST = 0.5
"""Seconds between two polls that others have asked for."""

GRACE = 5.0
"""Seconds beyond those of a wait until the process is taken for hanging."""

POLLING = Wording(
    "reading the policy from", "cannot read the policy from", "cannot read the policy from"
)

AT_ONCE, LATER = "reading it at once", "the source is read after the pause that it needs"
"""What :meth:`PollSource.refresh` leads to."""

_OVERLOADED = (Reason.RATE_LIMITED, Reason.SERVER_ERROR)
_REFUSED = (Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.BAD_CREDENTIALS)


class Answer(NamedTuple):
    """A policy's text as it came."""

    body: bytes
    etag: str = ""
    """The ETag as it stands in the header, ``""`` for none."""


class NotModified(NamedTuple):
    """The policy is still the one that has the ETag that was sent."""

    etag: str = ""


class PollSource(ABC):
    """What sources that are polled have in common; a run is polls that succeed.

    A subclass has :meth:`fetch` and :meth:`read`.
    """

    def __init__(self, interval: float, sent: SentSecrets | None = None) -> None:
        self._sent = sent or SentSecrets()
        self._interval = max(interval, SHORTEST)
        self._lock = threading.Lock()
        self._pausing: Cancellation | None = None
        self._refresh = self._needs_pause = self._is_held = False
        self._refreshed = -BURST
        """When a poll began last that was asked for."""
        self._soon = self._confirming = False
        self._failures = 0
        self._answer: Answer | None = None
        self._last: Policy | Untrusted | None = None
        """What the last answer means."""

    @property
    def wording(self) -> Wording:
        """How the log describes its runs."""
        return POLLING

    @property
    def interval(self) -> float | None:
        """Seconds between two polls."""
        return self._interval

    @abstractmethod
    def fetch(self, etag: str, cancellation: Cancellation, expect: Expect) -> Answer | NotModified:
        """Ask for the policy, unless it has this ETag; raise :class:`.SourceError`."""

    @abstractmethod
    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read the hosts out of an answer; raise :class:`.SnapshotError`."""

    @contextmanager
    def follow(self, cancellation: Cancellation, expect: Expect) -> Iterator[Iterator[Received]]:
        """Poll once, and go on when what that yields has been taken."""
        yield self.polls(self._poll(cancellation, expect), cancellation, expect)

    def pause(self, cancellation: Cancellation, seconds: float) -> None:
        """Wait until something asks for a poll; for all of it if the source needs that."""
        if not self._needs_pause:
            self._wait(cancellation, seconds)
            return
        self._is_held = True
        try:
            cancellation.pause(seconds)
        finally:
            self._is_held = False

    def refresh(self) -> str:
        """Poll at once, or directly after the poll that is under way, but not in bursts."""
        with self._lock:
            known, self._refresh = self._refresh, True
            if self._pausing:
                self._pausing.cancel()
        if known:
            return ""
        return LATER if self._is_held else AT_ONCE

    def confirm(self) -> None:
        """Poll after :data:`CONFIRMATION`, unless this poll was one of that kind."""
        self._soon = not self._confirming

    def polls(
        self, first: Received, cancellation: Cancellation, expect: Expect
    ) -> Iterator[Received]:
        """Yield what the first poll brought, then go on polling."""
        self._soon = self._confirming = False
        yield first
        del first  # megabytes that are not needed once another has come
        while True:
            self._pause(cancellation, expect)
            yield self._poll(cancellation, expect)

    def _pause(self, cancellation: Cancellation, expect: Expect) -> None:
        self._confirming, self._soon = self._soon, False
        seconds = min(self._interval, CONFIRMATION) if self._confirming else self._interval
        expect(seconds + GRACE)
        self._wait(cancellation, seconds)
        cancellation.check()

    def _wait(self, cancellation: Cancellation, seconds: float) -> None:
        """Wait until something asks for a poll, but for :data:`BURST` since the last of that."""
        with cancellation.child() as pause:
            with self._lock:
                self._pausing = pause
                if self._refresh:
                    pause.cancel()
            if pause.pause(seconds):
                cancellation.pause(max(0.0, self._refreshed + BURST - time.monotonic()))
            with self._lock:
                self._pausing = None

    def _poll(self, cancellation: Cancellation, expect: Expect) -> Received:
        with self.counting():
            return self.received(self.fetch(self.etag, cancellation, expect))

    @property
    def etag(self) -> str:
        """The ETag of the last answer, ``""`` for none."""
        return self._answer.etag if self._answer else ""

    @property
    def body(self) -> bytes:
        """The body of the last answer."""
        return self._answer.body if self._answer else b""

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count a poll that fails, and ask for a pause after it; one that does not ends the row."""
        with self._lock:
            if self._refresh:
                self._refreshed = time.monotonic()
            self._refresh = self._needs_pause = False
        try:
            yield
        except SourceError as why:
            self._failures += 1
            self._needs_pause = why.retry_after > 0 or why.reason in _OVERLOADED
            why.retry_after = max(why.retry_after, self.backoff(why.reason))
            why.args = (self.blank(str(why)),)
            raise
        self._failures = 0

    def received(self, answer: Answer | NotModified) -> Received:
        """Return what an answer means; one that is as before means the same, and is not parsed."""
        known, last = self._answer, self._last
        if isinstance(answer, NotModified):
            if known is None or last is None or _differ(answer.etag, known.etag):
                self._answer = None  # so that the next poll asks for all of it
                raise SourceError("it answers 304 (not modified) about a policy not asked for")
            return last
        if last is None or known is None or answer.body != known.body:
            last = self._read(answer.body)
        self._answer, self._last = answer, last
        return last

    def _read(self, body: bytes) -> Policy | Untrusted:
        try:
            hosts, text = self.read(body)
            unlikely = not hosts and is_empty(text.content)
            return Policy(UnlikelyHosts() if unlikely else hosts, text)
        except SnapshotError as why:
            return Untrusted(self.blank(str(why)))

    def blank(self, text: str) -> str:
        """Return a text from an answer without the secrets that were sent."""
        return self._sent.blank(text)

    def backoff(self, reason: Reason) -> float:
        """Return for how many seconds the source is left alone after a failure."""
        if reason in _OVERLOADED:
            return poll_backoff(self._interval, self._failures)
        return poll_backoff(self._interval, 1) if reason in _REFUSED else 0.0


def _differ(one: str, other: str) -> bool:
    """Return whether two ETags are there and differ, compared weakly (RFC 9110, 8.8.3.2)."""
    return bool(one) and one.removeprefix("W/") != other.removeprefix("W/")
