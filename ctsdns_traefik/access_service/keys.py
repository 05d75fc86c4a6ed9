"""The team's keys: kept, and fetched anew when they are old or a token names an unknown one."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ctsdns_traefik.access_service.jwks import Key, Keys, KeysUnavailable

log = logging.getLogger(__name__)

FRESH = 3600.0
"""Seconds after which keys are fetched anew."""

LONGEST_USE = 24 * 3600.0
"""Seconds after which keys that could not be fetched again are no longer used."""

MOST_WAITING = 8
"""Threads that wait for a fetch at a time; forged tokens must not occupy all."""


@dataclass(frozen=True)
class _State:
    """The keys and the last attempt; replaced as a whole, so that reading it takes no lock."""

    keys: Keys = field(default_factory=dict)
    fetched: float = -math.inf
    tried: float = -math.inf
    failure: str = "they have not been fetched yet"
    """Why the last attempt failed; empty if it did not."""


class KeyCache:
    """The keys, for any number of threads, of which one at a time fetches.

    ``fetch`` raises :class:`.KeysUnavailable`, and has to end in a bounded time; ``pause`` is the
    least number of seconds between two attempts.
    """

    def __init__(
        self,
        fetch: Callable[[], Keys],
        clock: Callable[[], float] = time.monotonic,
        *,
        pause: float,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._pause = pause
        self._state = _State()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def find(self, identifier: str) -> Key | None:
        """Return the key with an identifier, or None if the team does not have it.

        Raise :class:`.KeysUnavailable` if that is unknown, because the keys cannot be fetched.
        """
        known = identifier in self._usable()
        if not known or self._is_stale():
            self._refresh(wait=not known)
        state = self._state
        key = self._usable().get(identifier)
        if key is None and state.failure:
            raise KeysUnavailable(state.failure)
        return key

    def are_usable(self) -> bool:
        """Return whether tokens can be verified; fetch the keys if they are old or missing."""
        if self._is_stale():
            with suppress(KeysUnavailable):
                self._refresh(wait=not self._usable())
        return bool(self._usable())

    def _usable(self) -> Keys:
        state = self._state
        return state.keys if self._clock() - state.fetched < LONGEST_USE else {}

    def _is_stale(self) -> bool:
        return self._clock() - self._state.fetched >= FRESH

    def _is_due(self) -> bool:
        """Return whether the last attempt is long enough ago: forged tokens must not cause more."""
        return self._clock() - self._state.tried >= self._pause

    def _refresh(self, *, wait: bool) -> None:
        """Fetch the keys, unless that was just done; if another thread is at it, wait or do not.

        A thread that has waited finds that it was just done. Raise :class:`.KeysUnavailable` if
        too many wait already.
        """
        if not self._is_due():
            return
        if not self._places.acquire(blocking=False):
            if wait:
                raise KeysUnavailable("they are being fetched, and too many requests wait")
            return
        try:
            if self._lock.acquire(blocking=wait):
                self._fetch_if_due()
        finally:
            self._places.release()

    def _fetch_if_due(self) -> None:
        """Fetch the keys under the lock, and release it."""
        try:
            if self._is_due():
                self._state = self._fetched()
        finally:
            self._lock.release()

    def _fetched(self) -> _State:
        before = self._state
        try:
            keys = self._fetch()
        except KeysUnavailable as why:
            kept = "; those from before stay in use" if self._usable() else ""
            log.warning("the keys cannot be fetched: %s%s", why, kept)
            return replace(before, tried=self._clock(), failure=str(why))
        if keys.keys() != before.keys.keys() or before.failure:
            log.info("fetched the team's keys: %d", len(keys))
        now = self._clock()
        return _State(keys, fetched=now, tried=now, failure="")
