"""The signals that end watch or make it connect again, received by a thread of their own.

No signal raises an exception: the thread sets flags and cancels what the main thread waits for,
and the main thread looks at the flags between its steps. So a step, a write with its report and
its hook for one, is never torn apart. What cannot be cancelled, a disk that does not answer or a
long computation, could keep the process from ending; then the thread ends it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ctsdns_traefik.cancellation import Cancellation, start_thread
from ctsdns_traefik.errors import Stop

OUTPUT_GRACE = 0.4
"""Seconds after a stop in which an output may finish a write over the network."""

PATIENCE = 0.6
"""Seconds after a stop in which the process has to end by itself."""

REPORTING = 0.25
"""Seconds that the report of a forced end may take; what it is written to may hang, too."""

_FOR_OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
"""What ``pkill -USR1 traefik`` sends to have Traefik reopen its log reaches this program, too."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """SIGTERM and SIGINT as a stop, SIGHUP as the wish for a new connection; for one process.

    SIGUSR1 and SIGUSR2 do nothing; a command that is started gets them as they are by default.

    ``last_act`` is called, in another thread, before a process is ended that does not end itself.
    """

    def __init__(self, last_act: Callable[[], None] = lambda: None) -> None:
        self._last_act = last_act
        self._report: Callable[[Stop], None] = lambda _: None
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self._hung_up = False
        self._attempt: Cancellation | None = None
        self.stopping = Cancellation()
        """Cancelled by a stop, at once."""
        self.output = Cancellation()
        """Cancelled by a stop, after :data:`OUTPUT_GRACE`."""
        self._received, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        # Python's C-level handler writes each signal's number here, even if the main thread blocks.
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        start_thread("signals", self._receive)
        for number in (*Stop.EXIT_CODES, signal.SIGHUP, *_FOR_OTHERS):
            signal.signal(number, lambda _number, _frame: None)

    def report_forced_end(self, report: Callable[[Stop], None]) -> None:
        """Have a forced end reported, in a thread of its own, before the process ends."""
        self._report = report

    def stops(self) -> bool:
        """Return whether a stop has come."""
        return self._stop is not None

    def check(self) -> None:
        """Raise :class:`.Stop` if a stop has come."""
        if self._stop is not None:
            raise Stop(self._stop.signal)

    def sleep(self, seconds: float) -> None:
        """Sleep; raise :class:`.Stop` as soon as a stop comes."""
        self.stopping.pause(seconds)
        self.check()

    @contextmanager
    def attempt(self) -> Iterator[Cancellation]:
        """Begin work that SIGHUP cancels, too, even one that came before it."""
        with self.stopping.child() as attempt:
            with self._lock:
                self._attempt = attempt
                if self._hung_up:
                    attempt.cancel()
            try:
                yield attempt
            finally:
                with self._lock:
                    self._attempt = None

    def take_hangup(self) -> bool:
        """Return whether SIGHUP has come since the last call."""
        with self._lock:
            came, self._hung_up = self._hung_up, False
        return came

    def _receive(self) -> None:
        while True:
            number = os.read(self._received, 1)[0]
            if number == signal.SIGHUP:
                self._hang_up()
            elif number in Stop.EXIT_CODES:
                self._end(Stop(number))

    def _hang_up(self) -> None:
        with self._lock:
            self._hung_up = True
            if self._attempt:
                self._attempt.cancel()

    def _end(self, stop: Stop) -> NoReturn:
        """Have the process end itself, and end it if it does not; the first stop counts."""
        self._stop = stop
        self.stopping.cancel()
        time.sleep(OUTPUT_GRACE)
        self.output.cancel()
        time.sleep(PATIENCE - OUTPUT_GRACE)
        with suppress(Exception):
            self._last_act()
        start_thread("last report", lambda: self._report(stop)).join(REPORTING)
        os._exit(stop.exit_code)


@contextmanager
def postponed() -> Iterator[Callable[[], bool]]:
    """Let the signals that would end the process wait for what this context has to clean up.

    It yields a function that returns whether one has come: the content calls it now and then, and
    hurries to its end. They act when the context has ended, as they would have without it, and the
    ignored stay ignored. Outside the main thread, where no handler can be set, nothing waits.
    """
    came: list[int] = []
    handlers: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):
                    handlers[number] = handler
                    signal.signal(number, lambda number, _frame: came.append(number))
        yield lambda: bool(came)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
