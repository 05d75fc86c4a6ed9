"""The standby timer: a thread that takes over when the watch that writes has stopped.

The loop waits for the next snapshot, which may be half a minute away, or for a connection. A watch
that stands by does not leave a free writer lease until then.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Self

from ctsdns_traefik.daemon.events import Journal
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import Stop

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
        journal: Journal,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reconciler, self._journal = reconciler, journal
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(LAST_STEP)

    def _run(self) -> None:
        # Signals have to interrupt what the main thread waits for, so none may arrive here.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ending.wait(min(PAUSE, self._lease_seconds / 4)):
            try:
                self.step()
            except Stop:
                return
            except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
                self._journal.unwritable(f"internal error, please report it: {defect!r}")

    def step(self) -> None:
        """Try to take over once, if the last snapshot is recent."""
        last = self._journal.status.last_snapshot
        if last is not None and self._clock() - last <= self._lease_seconds:
            self._reconciler.take_over()
