"""The standby timer: a thread that takes over when the watch that writes has stopped.

The loop waits for the next snapshot, which may be half a minute away, or for a connection. A watch
that stands by does not leave a free writer lease until then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from ctsdns_traefik.cancellation import start_thread
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import WriteFailed
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import Stop, internal_error

PAUSE = 5.0
"""Seconds between two attempts; each is one short command to the store."""

LAST_STEP = 0.5
"""Seconds that the end of watch waits for a write that has begun."""


class StandbyTimer:
    """Has a reconciler take over while its last snapshot is recent; ends with its context.

    A watch whose last trusted snapshot is older than ``lease_seconds`` would lose the lease if it
    had it, so it does not take it.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        publisher: EventPublisher,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reconciler, self._publisher = reconciler, publisher
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = start_thread("standby", self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread:
            self._thread.join(LAST_STEP)

    def _run(self) -> None:
        while not self._ending.wait(min(PAUSE, self._lease_seconds / 4)):
            try:
                self.step()
            except Stop:
                return
            except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
                self._publisher.publish(WriteFailed(internal_error(defect)))

    def step(self) -> None:
        """Try to take over once, if the last snapshot is recent."""
        last = self._publisher.status.last_snapshot
        if last is not None and self._clock() - last <= self._lease_seconds:
            self._reconciler.take_over()
