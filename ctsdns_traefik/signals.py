"""Signals and deadlines as exceptions, raised where it is safe and nowhere else.

A blocking read goes on after a signal unless its handler raises (PEP 475). So SIGTERM and SIGINT
raise :class:`.Stop` and SIGHUP raises :class:`Reconnect`, though only inside
:meth:`Interrupts.armed` and outside :meth:`Interrupts.held`; what comes elsewhere waits. Some
calls let no handler run for many seconds, looking up a name or flushing to a dead disk among
them: a watchdog thread ends the process if it has not heeded a stop in time.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any

from ctsdns_traefik.errors import Stop

PATIENCE = 0.6
"""Seconds after which the watchdog ends a process that was told to stop."""

REPORTING = 0.25
"""Seconds that it waits meanwhile for reports of that end; what is reported to may hang, too."""

_A_MOMENT = 0.02
_AGAIN = 0.5
_NUDGE = signal.SIGURG
"""Ignored by everybody else: it only makes the main thread look."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Reconnect(BaseException):
    """SIGHUP has come."""


class Interrupts:
    """The signals that steer ``watch``; they raise nothing until :meth:`armed`."""

    def __init__(self, last_act: Callable[[], None] = lambda: None) -> None:
        """Handle the signals from now on, until the process ends; for the main thread only.

        ``last_act`` is called, in another thread, before the watchdog ends the process.
        """
        self._last_act = last_act
        self._report: Callable[[Stop], None] = lambda _: None
        self._armed = False
        self._raised = False
        self._stop: int | None = None
        self._reconnect = False
        self._wakeup, written_by_signals = socket.socketpair()
        written_by_signals.setblocking(False)
        signal.set_wakeup_fd(written_by_signals.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._watchdog, name="watchdog", daemon=True).start()
        for signum in (*Stop.EXIT_CODES, signal.SIGHUP, _NUDGE):
            signal.signal(signum, self._handle)
        sys.unraisablehook = self._take_back

    def report_forced_end(self, report: Callable[[Stop], None]) -> None:
        """Have a forced end reported, in a thread of its own, before the process ends."""
        self._report = report

    def stops(self) -> bool:
        """Tell whether a stop has come: what is held for long looks here, and hurries."""
        return self._stop is not None

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let signals raise inside this context, those that came before it at once."""
        try:
            self._raised, self._armed = False, True
            self._raise_what_came()
            yield
        except Reconnect:
            self._reconnect = False
            raise
        finally:
            self._armed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait until this context ends; outside :meth:`armed` they wait anyway.

        In any thread but the main one, where none raises, it does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
            self._raise_what_came()

    def sleep(self, seconds: float) -> None:
        """Sleep where the content can be left at any time, inside :meth:`held` too.

        A stop that comes meanwhile raises; SIGHUP waits.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stop is not None:
                raise Stop(self._stop)
            time.sleep(min(left, _A_MOMENT))

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:
            self._reconnect = True
        elif signum in Stop.EXIT_CODES:
            self._stop = signum
        self._raise_what_came()

    def _raise_what_came(self) -> None:
        """Raise, but once: what handles the exception is then safe from the next signal."""
        if not self._armed or self._raised:
            return
        if self._stop is not None:
            self._raised = True
            raise Stop(self._stop)
        if self._reconnect:
            self._raised = True
            raise Reconnect

    def _take_back(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise again, in a moment, what was raised in a callback and so reached nobody."""
        if isinstance(unraisable.exc_value, Stop | Reconnect):
            self._raised = False
            threading.Timer(_A_MOMENT, _nudge).start()
        else:
            sys.__unraisablehook__(unraisable)

    def _watchdog(self) -> None:
        """Wait for a stop, then for the process to end; Python writes each signal's number here.

        The nudges are for a signal that came just before a blocking call began.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while number := self._wakeup.recv(1):
            if number[0] == _NUDGE:
                continue
            time.sleep(_A_MOMENT)
            _nudge()
            if number[0] in Stop.EXIT_CODES:
                time.sleep(PATIENCE)
                self._force_end(Stop(number[0]))

    def _force_end(self, stop: Stop) -> None:
        with suppress(Exception):
            self._last_act()
        reporting = threading.Thread(target=self._report, args=(stop,), daemon=True)
        reporting.start()
        reporting.join(REPORTING)
        os._exit(stop.exit_code)


def _nudge() -> None:
    """Interrupt the main thread's system call, so that it looks at what has come."""
    signal.pthread_kill(threading.main_thread().ident or 0, _NUDGE)


@contextmanager
def postponed() -> Iterator[list[int]]:
    """Let the signals that would end the process wait for what this context has to clean up.

    It yields the numbers of those that have come: the content looks at them now and then, and
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
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class Expired(BaseException):
    """A deadline has passed; :func:`deadline` turns it into the error that it was given."""


def deadline(seconds: float, error: Exception) -> AbstractContextManager[None]:
    """Raise an error if this context takes longer than ``seconds``.

    It bounds everything inside, however slowly it trickles. One deadline may stand inside another,
    and the sooner counts. In any thread but the main one, where no signal handler can be set, it
    bounds nothing.
    """
    main = threading.current_thread() is threading.main_thread()
    return _deadline(seconds, error) if main else nullcontext()


@contextmanager
def _deadline(seconds: float, error: Exception) -> Iterator[None]:
    left, again = signal.getitimer(signal.ITIMER_REAL)
    if 0 < left <= seconds:
        yield
        return
    expired, active = Expired(), True

    def expire(_signum: int, frame: FrameType | None) -> None:
        """Raise where it is caught: in the content or here, not on the way between the two."""
        between = frame is not None and frame.f_globals.get("__name__") == "contextlib"
        if active and not between:
            raise expired

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, expire)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
            yield
        finally:
            active = False  # a time that is up only now is no longer too late
    except Expired as came:
        if came is not expired:
            raise
        raise error from None
    finally:
        active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            rest = left - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(rest, _A_MOMENT), again)
