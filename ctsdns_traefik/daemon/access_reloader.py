"""The access reloader: a thread that reads the access file again and puts it in force at once.

The loop waits for the endpoint, for a name to resolve, or for its next attempt, and can wait for
long. A change of who may reach what does not wait for any of that: this thread has the keeper
write the routes that stand. What cannot be put in force is tried again until it is.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Self

from ctsdns_traefik.core.access import Access
from ctsdns_traefik.daemon.access_file import FollowedAccess
from ctsdns_traefik.daemon.events import Journal
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import OutputError, Stop

PAUSE = 0.2
"""Seconds between two readings."""

RETRY = 5.0
"""Seconds until another attempt to put in force what could not be."""

LAST_STEP = 0.5
"""Seconds that the end of watch waits for a write that has begun."""


class AccessReloader:
    """Follows an access file for a keeper; a context manager that ends with watch."""

    def __init__(
        self,
        file: FollowedAccess,
        keeper: Reconciler,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what to follow, what puts it in force, and what reports it."""
        self._file, self._keeper, self._journal = file, keeper, journal
        self._clock = clock
        self._access = file.access
        self._broken = False
        self._due = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access", daemon=True)

    def __enter__(self) -> Self:
        self._due = self._clock() + RETRY
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(LAST_STEP)

    def _run(self) -> None:
        """Block all signals: those that end the main thread's waiting must reach that."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ending.wait(PAUSE):
            try:
                self.step()
            except Stop:
                return
            except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
                self._journal.access_waits(f"internal error, please report it: {defect!r}")

    def step(self) -> None:
        """Read the file, and put in force what is not."""
        news = self._file.look()
        if news and news.access is None:
            self._broken = True
            self._journal.access_broken(self._file.path, news.error)
        elif news and news.access:
            self._take(news.access)
        if self._clock() >= self._due and not self._keeper.has_enforced(self._access):
            self._due = self._clock() + RETRY
            self._enforce()

    def _take(self, access: Access) -> None:
        if access != self._access:
            self._access, self._due = access, 0.0
            self._journal.access_changed(self._file.path)
        elif self._broken:
            self._journal.access_mended(self._file.path)
        self._broken = False

    def _enforce(self) -> None:
        try:
            self._keeper.change_access(self._access)
        except OutputError as why:
            self._journal.access_waits(why)
