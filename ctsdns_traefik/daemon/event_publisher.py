"""The event publisher: passes each event to the log, the status reporter and the service manager.

It is the only place that keeps the status of watch, and that knows what was logged before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from ctsdns_traefik.core.status import Status
from ctsdns_traefik.daemon import events
from ctsdns_traefik.daemon.events import Event, Stopped, WatchFailed
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.daemon.status_reporter import StatusReporter
from ctsdns_traefik.errors import Stop
from ctsdns_traefik.logs import log_event

Publish = Callable[[Event], None]


class EventPublisher:
    """Publishes events, from any thread; a context manager that publishes how watch ends."""

    def __init__(
        self,
        status: Status | None = None,
        reporter: StatusReporter | None = None,
        manager: ServiceManager | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._status = status or Status()
        self._reporter = reporter or StatusReporter()
        self._manager = manager or ServiceManager()
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[str, tuple[Event, ...]] = {}
        """The lines of the last event of each topic."""
        self._ended = False
        self.expect()
        self._reporter.show(self._status)

    def __enter__(self) -> Self:
        self._reporter.start()
        return self

    def __exit__(self, _kind: object, end: BaseException | None, _trace: object) -> None:
        if isinstance(end, Stop):
            self.stopped(end)
        elif end is not None:
            self._end(WatchFailed(str(end) or repr(end)))

    @property
    def status(self) -> Status:
        """What is known now."""
        return self._status

    def publish(self, event: Event) -> None:
        """Log an event, change the status by it, and notify the service manager."""
        self.expect_next_report(event)
        with self._lock:
            lines = self._new_lines(event)
            self._change_status(event)
        self._manager.notify(event)
        # Not under the lock: a log that nothing reads must not keep others from publishing.
        for line in lines:
            log_event(line)

    def stopped(self, stop: Stop) -> None:
        """Publish once that a signal ends watch.

        It is called in a thread of its own if the loop hangs and the process is about to be ended.
        """
        self._end(Stopped(stop.signal.name))

    def expect(self, seconds: float | None = None) -> None:
        """Take the loop for hanging unless it reports again within so many seconds.

        They are :data:`.LONGEST_STEP` unless given. Other threads than the main one change nothing.
        """
        if threading.current_thread() is threading.main_thread():
            self._reporter.lease.renew(events.LONGEST_STEP if seconds is None else seconds)

    def expect_next_report(self, event: Event) -> None:
        """Take the loop for hanging unless it reports again as soon as the event announces."""
        seconds = event.next_report()
        if seconds is not None:
            self.expect(seconds)

    def _new_lines(self, event: Event) -> tuple[Event, ...]:
        lines = event.lines()
        if not event.topic:
            return lines
        before, self._logged[event.topic] = self._logged.get(event.topic, ()), lines
        known = frozenset(before)
        return tuple(line for line in lines if line.always or line not in known)

    def _change_status(self, event: Event) -> None:
        status = self._status.after(event, self._clock())
        if status is not self._status:
            self._status = status
            self._reporter.show(status)

    def _end(self, event: Event) -> None:
        with self._lock:
            ended, self._ended = self._ended, True
        if not ended:
            self.publish(event)
            self._reporter.end()
