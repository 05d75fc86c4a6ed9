"""The status reporter: publishes the status of watch from threads beside the loop.

A slow disk so never delays the loop. The threads publish only while the loop's lease is valid:
before anything that takes time the loop renews it for as long as that may take. When the lease
expires the loop hangs, and the status file and the service manager get no further update, by which
others notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ctsdns_traefik.cancellation import start_thread
from ctsdns_traefik.core.status import BEAT, Status
from ctsdns_traefik.daemon.events import StatusFileFailed
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.errors import OutputError, internal_error
from ctsdns_traefik.logs import log_event
from ctsdns_traefik.output import remove_leftovers, replace_file

MARGIN = 30.0
"""Seconds that the loop may be late; the machine may be busy."""

PAUSE = 0.1
"""Seconds between two updates at least, however much happens."""

LAST_UPDATE = 0.5
"""Seconds that the end of watch waits for the last update."""

Outlet = Callable[[Status, float], None]
"""Publishes a status in one place; the number is the present time."""


class Lease:
    """The time by which the loop has to report again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.renew(0.0)

    def renew(self, seconds: float) -> None:
        """Extend the lease to so many seconds from now and :data:`MARGIN`."""
        self._end = self._clock() + seconds + MARGIN

    @property
    def is_valid(self) -> bool:
        """Whether the loop is not overdue."""
        return self._clock() <= self._end


class Heartbeat:
    """A thread that repeats an action after some seconds, or when woken, while a lease is valid."""

    def __init__(self, name: str, action: Callable[[], None], seconds: float, lease: Lease) -> None:
        self._action, self._seconds, self._lease = action, seconds, lease
        self._name = name
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = start_thread(self._name, self._run)

    def wake(self) -> None:
        """Repeat the action soon."""
        self._woken.set()

    def end(self, within: float) -> None:
        """Repeat the action once more without regard to the lease; wait for ``within`` seconds."""
        self._ending.set()
        self._woken.set()
        if self._thread:
            self._thread.join(within)

    def _run(self) -> None:
        pause = min(PAUSE, self._seconds / 2)
        while not self._ending.is_set():
            if self._lease.is_valid:
                self._action()
            self._ending.wait(pause)
            self._woken.wait(self._seconds - pause)
            self._woken.clear()
        self._action()


class StatusReporter:
    """Publishes each status to outlets, and sends heartbeats to the service manager."""

    def __init__(
        self,
        outlets: Sequence[Outlet] = (),
        manager: ServiceManager | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lease = Lease()
        self._clock = clock
        self._status = Status()
        self._outlets = [*outlets, manager.send_status] if manager else list(outlets)
        self._updates: Heartbeat | None = None
        self._watchdog: Heartbeat | None = None
        if self._outlets:
            self._updates = Heartbeat("status", self._update, BEAT, self.lease)
        if manager and manager.watchdog:
            # A thread of its own: a disk that hangs under the status file must not stop it.
            seconds = manager.watchdog / 2
            self._watchdog = Heartbeat("watchdog", manager.send_heartbeat, seconds, self.lease)

    def start(self) -> None:
        """Start the threads that are needed; none without an outlet or a watchdog."""
        for heartbeat in (self._updates, self._watchdog):
            if heartbeat:
                heartbeat.start()

    def show(self, status: Status) -> None:
        """Have a status published soon; of several in a moment only the last is."""
        self._status = status
        if self._updates:
            self._updates.wake()

    def end(self) -> None:
        """Publish the last status, and wait a moment for that."""
        if self._updates:
            self._updates.end(LAST_UPDATE)

    def _update(self) -> None:
        status, now = self._status, self._clock()
        for outlet in self._outlets:
            outlet(status, now)


class StatusFileWriter:
    """A file that always holds the present status as text; an :data:`Outlet`."""

    def __init__(self, path: Path, to_text: Callable[[Status, float], str]) -> None:
        self._path, self._to_text = path, to_text
        self._error = ""
        remove_leftovers(path)

    def __call__(self, status: Status, now: float) -> None:
        """Replace the file; log once why it cannot be, until it can be again."""
        try:
            replace_file(self._path, self._to_text(status, now).encode())
            error = ""
        except OutputError as why:
            error = str(why)
        except Exception as defect:  # noqa: BLE001  (nothing here may disturb the loop)
            error = internal_error(defect)
        if error and not self._error:
            log_event(StatusFileFailed(error, str(self._path)))
        self._error = error
