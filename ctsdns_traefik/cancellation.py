"""Blocking work that another thread can end: pauses, connections, name look-ups, time limits.

Python has no way to interrupt a blocking system call from outside, and an exception raised by a
signal handler can strike anywhere, amid a write or in a lock. So nothing is interrupted here. A
pause waits on a condition; a connection is registered as soon as it exists, TLS included, and is
shut down, which ends every wait for it with an error; a name look-up runs in a thread that can be
left behind.
"""

from __future__ import annotations

import errno
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

MOST_CONNECTING = 16
"""Attempts to connect that may go on at a time, those included that nothing waits for any more."""

_connecting = threading.BoundedSemaphore(MOST_CONNECTING)


class Cancelled(ConnectionAbortedError):
    """The work was cancelled; an ``OSError``, so that libraries treat it as a lost connection."""


class Cancellation:
    """What can end a piece of work: a flag, its connections, and a time limit.

    The thread at work calls all methods but :meth:`cancel`, which any other thread may call. A
    signal handler may not: it could interrupt a thread that holds the lock.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._cancelled = self._expired = self._closed = False
        self._connections: list[socket.socket] = []
        self._children: set[Cancellation] = set()
        self._due = math.inf
        self._timer_wakes = math.inf
        self._timer: threading.Thread | None = None

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called, here or for what this is a part of."""
        return self._cancelled

    def cancel(self) -> None:
        """End what the work waits for, now and later, and all parts of it."""
        with self._changed:
            self._cancelled = True
            self._shut_down()
            for child in self._children:
                child.cancel()

    def check(self) -> None:
        """Raise :class:`Cancelled` if the work was cancelled."""
        if self._cancelled:
            raise Cancelled(errno.ECONNABORTED, "cancelled")

    def pause(self, seconds: float) -> bool:
        """Wait; return early, and true, if the work is cancelled."""
        with self._changed:
            return self._changed.wait_for(lambda: self._cancelled, seconds)

    @contextmanager
    def child(self) -> Iterator[Cancellation]:
        """Begin a part of the work, which can also be cancelled alone; forget its connections."""
        child = Cancellation()
        with self._changed:
            self._children.add(child)
            if self._cancelled:
                child.cancel()
        try:
            yield child
        finally:
            with self._changed:
                self._children.discard(child)
            child._close()

    def connect(self, connect: Callable[[], socket.socket]) -> socket.socket:
        """Make a connection, and register it.

        That happens in another thread, since nothing can end a name look-up: at the end of the work
        the thread is left behind, and closes what it still gets.
        """
        self.check()
        if not _connecting.acquire(blocking=False):
            raise OSError(errno.EAGAIN, "earlier attempts to connect still hang")
        made = _start("connect", connect)
        made.add_done_callback(lambda _: _connecting.release())
        made.add_done_callback(lambda _: self._notify())
        with self._changed:
            self._changed.wait_for(lambda: made.done() or self._cancelled or self._expired)
        if self._cancelled or self._expired:
            made.add_done_callback(_discard)
            self.check()
            raise TimeoutError(errno.ETIMEDOUT, "connecting timed out")
        connection = made.result()
        self._register(connection)
        return connection

    @contextmanager
    def limit(self, seconds: float, late: Exception) -> Iterator[None]:
        """Shut the connections down if this context takes longer, and raise ``late``.

        It bounds a whole exchange, however slowly it trickles: a socket's timeout bounds one read.
        Of two limits, one inside the other, the sooner counts.
        """
        due = time.monotonic() + seconds
        if self._due <= due:
            yield
            return
        former = self._arm(due)
        try:
            yield
        except Exception as why:
            if self._expired and time.monotonic() >= due:
                raise late from why
            raise
        finally:
            self._due = former
        if self._expired:
            raise late

    def _register(self, connection: socket.socket) -> None:
        """Keep a duplicate: TLS takes the descriptor out of the socket object that it wraps."""
        with self._changed:
            self._connections.append(connection.dup())
            if self._cancelled or self._expired:
                self._shut_down()

    def _shut_down(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _close(self) -> None:
        """Close the duplicates, which would keep the connections open, and end the timer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _arm(self, due: float) -> float:
        """Set when time is up; return when it was before.

        Most limits are met, and a stream sets one for each read: so the timer is woken only if it
        would wake too late, not when a limit is lifted.
        """
        with self._changed:
            former, self._due = self._due, due
            if self._timer is None:
                self._timer = start_thread("time limit", self._run_timer)
            elif due < self._timer_wakes:
                self._changed.notify_all()
        return former

    def _run_timer(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._due - time.monotonic()
                if left <= 0 and not self._expired:
                    self._expired = True
                    self._shut_down()
                self._timer_wakes = math.inf if self._expired else self._due
                self._changed.wait(None if math.isinf(self._timer_wakes) else left)


def start_thread(name: str, run: Callable[[], object]) -> threading.Thread:
    """Start a daemon thread that takes no signals: the system is to give them to the main one."""

    def run_without_signals() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        run()

    thread = threading.Thread(target=run_without_signals, name=name, daemon=True)
    thread.start()
    return thread


def run_within(seconds: float, work: Callable[[], T], late: Exception) -> T:
    """Return what some work returns, or raise ``late`` if that takes longer.

    The work is done in another thread, which then is left behind; for commands that end soon.
    """
    outcome = _start("work", work)
    if not wait([outcome], seconds).done:
        raise late
    return outcome.result()


def _start(name: str, work: Callable[[], T]) -> Future[T]:
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as why:  # noqa: BLE001  (it is raised where the result is awaited)
            outcome.set_exception(why)
        else:
            outcome.set_result(result)

    start_thread(name, run)
    return outcome


def _discard(made: Future[socket.socket]) -> None:
    if made.exception() is None:
        made.result().close()
