"""Who is told how watch is doing, and when: threads beside the loop, so that it waits for nobody.

They tell only while the loop keeps its word. Before whatever takes time it says when it will be
back at the latest; when it does not come, it hangs, and the files and the service manager are told
nothing more. That is how others know.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ctsdns_traefik.core.status import BEAT, Status
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.logs import as_event
from ctsdns_traefik.output import remove_leftovers, replace_file

log = logging.getLogger(__name__)

MARGIN = 30.0
"""Seconds that the loop may be late; the machine may be busy."""

PAUSE = 0.1
"""Seconds between two tellings at least, however much happens."""

LAST_WORD = 0.5
"""Seconds that the end of watch waits for the last telling."""

Outlet = Callable[[Status, float], None]
"""Tells a status to somebody, and the time that it is."""


class Lease:
    """The loop's word on when it will be back at the latest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that nobody sets; the word is given for a moment."""
        self._clock = clock
        self.renew(0.0)

    def renew(self, seconds: float) -> None:
        """Give the word anew, for so many seconds from now and :data:`MARGIN`."""
        self._end = self._clock() + seconds + MARGIN

    @property
    def holds(self) -> bool:
        """Tell whether the time is not up."""
        return self._clock() <= self._end


class Heartbeat:
    """A thread that does something regularly, and when it is woken, while a lease holds."""

    def __init__(self, name: str, action: Callable[[], None], seconds: float, lease: Lease) -> None:
        """Take what to do, and after how many seconds again."""
        self._action, self._seconds, self._lease = action, seconds, lease
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have it done soon."""
        self._woken.set()

    def end(self, within: float) -> None:
        """Have it done a last time, whatever the lease, and wait so many seconds for that."""
        self._ending.set()
        self._woken.set()
        self._thread.join(within)

    def _run(self) -> None:
        """Block all signals: those that end the main thread's waiting must reach that."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pause = min(PAUSE, self._seconds / 2)
        while not self._ending.is_set():
            if self._lease.holds:
                self._action()
            self._ending.wait(pause)
            self._woken.wait(self._seconds - pause)
            self._woken.clear()
        self._action()


class StatusReporter:
    """Tells outlets each status, and the service manager that watch lives."""

    def __init__(
        self,
        outlets: Sequence[Outlet] = (),
        manager: ServiceManager | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take whom to tell, and the clock that tells them the time; start no thread yet."""
        self.lease = Lease()
        self._clock = clock
        self._status = Status()
        self._outlets = [*outlets, manager.show] if manager else list(outlets)
        self._telling: Heartbeat | None = None
        self._living: Heartbeat | None = None
        if self._outlets:
            self._telling = Heartbeat("status", self._publish, BEAT, self.lease)
        if manager and manager.watchdog:
            # A thread of its own: a disk that hangs under the status file is none of its business.
            self._living = Heartbeat("alive", manager.alive, manager.watchdog / 2, self.lease)

    def start(self) -> None:
        """Begin to tell; without anybody to tell, no thread is started."""
        for beat in (self._telling, self._living):
            if beat:
                beat.start()

    def show(self, status: Status) -> None:
        """Have a status told soon; the last of several is enough."""
        self._status = status
        if self._telling:
            self._telling.wake()

    def end(self) -> None:
        """Tell the last status, and wait a moment for that."""
        if self._telling:
            self._telling.end(LAST_WORD)

    def _publish(self) -> None:
        status, now = self._status, self._clock()
        for outlet in self._outlets:
            outlet(status, now)


class StatusFileWriter:
    """A file that always holds the present status as text."""

    def __init__(self, path: Path, to_text: Callable[[Status, float], str]) -> None:
        """Take where it is to be and what it says; remove what killed writers left there."""
        self._path, self._to_text = path, to_text
        self._told = ""
        remove_leftovers(path)

    def __call__(self, status: Status, now: float) -> None:
        """Replace the file; say once why it cannot be, until it can be again."""
        try:
            replace_file(self._path, self._to_text(status, now).encode())
            why = ""
        except OutputError as error:
            why = str(error)
        except Exception as defect:  # noqa: BLE001  (nothing here may disturb the loop)
            why = f"internal error, please report it: {defect!r}"
        if why and not self._told:
            extra = as_event("report-error", path=self._path, error=why)
            log.error("%s; watch goes on without it", why, extra=extra)
        self._told = why
