"""The access reloader: a thread that reads the access file again and puts it in force at once.

The loop waits for the endpoint, for a name to resolve, or for its next attempt, which can take
long. A change of the access file must not wait for that: this thread has the reconciler write the
present routes with the new access. What cannot be put in force is tried again until it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from ctsdns_traefik.cancellation import start_thread
from ctsdns_traefik.core.access import Access
from ctsdns_traefik.core.releases import as_text
from ctsdns_traefik.daemon.access_file import FollowedAccess
from ctsdns_traefik.daemon.event_publisher import Publish
from ctsdns_traefik.daemon.events import (
    AccessChanged,
    AccessPending,
    AccessRestored,
    AccessUnusable,
    ReleaseKnown,
)
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import OutputError, Stop, internal_error

PAUSE = 0.2
"""Seconds between two readings."""

RETRY = 5.0
"""Seconds until another attempt to put in force what could not be."""

LAST_STEP = 0.5
"""Seconds that the end of watch waits for a write that has begun."""


class AccessReloader:
    """Follows an access file for a reconciler; a context manager that ends with watch."""

    def __init__(
        self,
        file: FollowedAccess,
        reconciler: Reconciler,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._reconciler, self._publish = file, reconciler, publish
        self._clock = clock
        self._access = file.access
        self._unusable = False
        self._due = 0.0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._due = self._clock() + RETRY
        self._thread = start_thread("access", self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread:
            self._thread.join(LAST_STEP)

    def _run(self) -> None:
        while not self._ending.wait(PAUSE):
            try:
                self.step()
            except Stop:
                return
            except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
                self._publish(AccessPending(internal_error(defect)))

    def step(self) -> None:
        """Read the file, and put in force what is not in force yet."""
        change = self._file.read_change()
        if change and change.access is None:
            self._unusable = True
            self._publish(AccessUnusable(change.error, str(self._file.path)))
        elif change and change.access:
            self._accept(change.access)
        if self._clock() >= self._due and not self._reconciler.has_enforced(self._access):
            self._due = self._clock() + RETRY
            self._enforce()

    def _accept(self, access: Access) -> None:
        if access != self._access:
            same = access == self._access._replace(release=access.release)
            self._access, self._due = access, 0.0
            known = ReleaseKnown(as_text(access.release))
            self._publish(known if same else AccessChanged(str(self._file.path)))
        elif self._unusable:
            self._publish(AccessRestored(str(self._file.path)))
        self._unusable = False

    def _enforce(self) -> None:
        try:
            self._reconciler.change_access(self._access)
        except OutputError as why:
            self._publish(AccessPending(str(why)))
