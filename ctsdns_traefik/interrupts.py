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
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ctsdns_traefik.errors import SourceError, Stop

PATIENCE = 0.7
"""Seconds after which the watchdog ends a process that was told to stop."""

_A_MOMENT = 0.01


class Reconnect(BaseException):
    """SIGHUP has come."""


class Interrupts:
    """The signals that steer ``watch``; they raise nothing until :meth:`armed`."""

    def __init__(self) -> None:
        """Handle the signals from now on, until the process ends; for the main thread only."""
        self._armed = False
        self._raised = False
        self._stop: int | None = None
        self._reconnect = False
        self._wakeup, written_by_signals = socket.socketpair()
        written_by_signals.setblocking(False)
        signal.set_wakeup_fd(written_by_signals.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._watchdog, name="watchdog", daemon=True).start()
        for signum in (*Stop.EXIT_CODES, signal.SIGHUP, signal.SIGALRM):
            signal.signal(signum, self._handle)
        sys.unraisablehook = self._take_back

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
        """Let signals wait until this context ends; outside :meth:`armed` they wait anyway."""
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
            self._raise_what_came()

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
            signal.setitimer(signal.ITIMER_REAL, _A_MOMENT)
        else:
            sys.__unraisablehook__(unraisable)

    def _watchdog(self) -> None:
        """Wait for a stop, then for the process to end; Python writes each signal's number here."""
        while number := self._wakeup.recv(1):
            if number[0] in Stop.EXIT_CODES:
                time.sleep(PATIENCE)
                os._exit(Stop.EXIT_CODES[signal.Signals(number[0])])


class _Expired(BaseException):
    """A deadline has passed."""


@contextmanager
def deadline(seconds: float, message: str) -> Iterator[None]:
    """Raise :class:`SourceError` with a message if this context takes longer than ``seconds``.

    It bounds everything inside, however slowly it trickles; for the main thread only.
    """

    def expire(_signum: int, _frame: FrameType | None) -> None:
        raise _Expired

    former = signal.signal(signal.SIGALRM, expire)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    except _Expired:
        raise SourceError(message) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
