"""Signals and deadlines as exceptions, raised where it is safe and nowhere else.

A blocking read goes on after a signal unless its handler raises (PEP 475). So SIGTERM and SIGINT
raise :class:`Stop` and SIGHUP raises :class:`Reconnect`, though only inside
:meth:`Interrupts.armed` and outside :meth:`Interrupts.held`; what comes elsewhere waits. Some
calls let no handler run for many seconds, looking up a name or flushing to a dead disk among
them: a watchdog thread ends the process if it has not heeded a stop in time.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ctsdns_traefik.errors import ExitCode, SourceError

PATIENCE = 0.7
"""Seconds after which the watchdog ends a process that was told to stop."""

_EXIT_CODES = {signal.SIGTERM: ExitCode.OK, signal.SIGINT: ExitCode.INTERRUPTED}


class Stop(BaseException):
    """SIGTERM or SIGINT has come; no ``except Exception`` on the way may swallow it."""

    def __init__(self, signum: int) -> None:
        """Take the signal's number."""
        super().__init__(signum)
        self.signal = signal.Signals(signum)
        self.exit_code = _EXIT_CODES[self.signal]


class Reconnect(BaseException):
    """SIGHUP has come."""


class Interrupts:
    """The signals that steer ``watch``; they raise nothing until :meth:`armed`."""

    def __init__(self) -> None:
        """Handle the signals from now on, until the process ends; for the main thread only."""
        self._armed = False
        self._stop: int | None = None
        self._reconnect = False
        self._wakeup, written_by_signals = socket.socketpair()
        written_by_signals.setblocking(False)
        signal.set_wakeup_fd(written_by_signals.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._watchdog, name="watchdog", daemon=True).start()
        for signum in (*_EXIT_CODES, signal.SIGHUP):
            signal.signal(signum, self._handle)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let signals raise inside this context, those that came before it at once."""
        try:
            self._armed = True
            self._raise_what_came()
            yield
        finally:
            self._armed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait, inside :meth:`armed`, until this context ends."""
        self._armed = False
        try:
            yield
        finally:
            self._armed = True
            self._raise_what_came()

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:
            self._reconnect = True
        else:
            self._stop = signum
        self._raise_what_came()

    def _raise_what_came(self) -> None:
        """Raise once; the handler of the exception is then safe from the next signal."""
        if not self._armed:
            return
        if self._stop is not None:
            self._armed = False
            raise Stop(self._stop)
        if self._reconnect:
            self._armed = self._reconnect = False
            raise Reconnect

    def _watchdog(self) -> None:
        """Wait for a stop, then for the process to end; Python writes each signal's number here."""
        while number := self._wakeup.recv(1):
            if number[0] in _EXIT_CODES:
                time.sleep(PATIENCE)
                os._exit(_EXIT_CODES[signal.Signals(number[0])])


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
