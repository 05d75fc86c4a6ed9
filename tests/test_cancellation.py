"""Cancellation: what waits ends, whatever it waits for; and time limits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from local import until
from support.certificates import Authority

from ctsdns_traefik.cancellation import (
    MOST_CONNECTING,
    Cancellation,
    Cancelled,
    run_within,
    start_thread,
)


class LateError(Exception):
    """What a limit is to raise."""


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """Listen, take connections and say nothing on them; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


def cancel_soon(work: Cancellation) -> None:
    """Cancel from another thread, after a moment."""
    threading.Timer(0.1, work.cancel).start()


def test_pause_ends_early() -> None:
    """A pause returns whether it was cancelled, and one after that does not begin."""
    work = Cancellation()
    assert (work.pause(0.01), work.cancelled) == (False, False)
    cancel_soon(work)
    assert (work.pause(60), work.pause(60), work.cancelled) == (True, True, True)
    with pytest.raises(Cancelled):
        work.check()


def test_reading_ends(silent: tuple[str, int]) -> None:
    """A read that waits for data gets the end of the stream."""
    work = Cancellation()
    with work.connect(lambda: socket.create_connection(silent)) as connection:
        cancel_soon(work)
        assert connection.recv(1) == b""
        work._close()


def test_tls_handshake_ends(silent: tuple[str, int], authority: Authority) -> None:
    """So does a handshake that nothing answers, though TLS replaces the socket object."""
    work = Cancellation()
    connection = work.connect(lambda: socket.create_connection(silent))
    cancel_soon(work)
    with pytest.raises(OSError, match=r"EOF|closed|reset"):
        authority.client_context().wrap_socket(connection, server_hostname="127.0.0.1")
    connection.close()
    work._close()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Give an event that is set at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_connecting_ends(silent: tuple[str, int], released: threading.Event) -> None:
    """Making a connection is left behind, wherever it hangs; what comes of it is closed."""
    work, made = Cancellation(), []

    def connect() -> socket.socket:
        released.wait(60)
        made.append(socket.create_connection(silent))
        return made[0]

    cancel_soon(work)
    with pytest.raises(Cancelled):
        work.connect(connect)
    released.set()
    until(lambda: made and made[0].fileno() < 0, "the late connection stays open")


def test_late_connection_is_shut_down(silent: tuple[str, int]) -> None:
    """After the cancellation none is made."""
    work = Cancellation()
    work.cancel()
    with pytest.raises(Cancelled):
        work.connect(lambda: socket.create_connection(silent))


def test_error_of_connecting_is_raised() -> None:
    """What the connecting itself raises comes out unchanged."""

    def fail() -> socket.socket:
        raise socket.gaierror(1, "no such name")

    with pytest.raises(socket.gaierror, match="no such name"):
        Cancellation().connect(fail)


def test_hanging_connections_are_few(released: threading.Event, silent: tuple[str, int]) -> None:
    """Not more than so many threads are left with attempts that hang."""

    def connect() -> socket.socket:
        released.wait(60)
        raise OSError

    def attempt(seconds: float) -> str:
        try:
            with Cancellation().child() as work, work.limit(seconds, LateError("late")):
                work.connect(connect)
        except (OSError, LateError) as why:
            return str(why)
        return "connected"

    assert [attempt(0.02) for _ in range(MOST_CONNECTING)] == ["late"] * MOST_CONNECTING
    assert "earlier attempts to connect still hang" in attempt(60)
    released.set()
    until(lambda: not threads("connect"), "an attempt still hangs")
    with Cancellation().child() as work, work.connect(lambda: socket.create_connection(silent)):
        pass


def threads(name: str) -> list[threading.Thread]:
    """Return the threads of a name."""
    return [each for each in threading.enumerate() if each.name == name]


def test_part_is_cancelled_with_the_whole_or_alone() -> None:
    """A part ends with what it is a part of, even one that begins later; not the other way."""
    whole = Cancellation()
    with whole.child() as first, whole.child() as second:
        first.cancel()
        assert (first.cancelled, second.cancelled, whole.cancelled) == (True, False, False)
        whole.cancel()
        assert second.cancelled
    with whole.child() as third:
        assert third.cancelled


def test_end_of_a_part_closes_the_duplicates() -> None:
    """After it the server sees the end of a connection that was closed here."""
    listener_side: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start_thread("accept", lambda: listener_side.append(listener.accept()[0]))
        with Cancellation().child() as work:
            address = listener.getsockname()
            work.connect(lambda: socket.create_connection(address)).close()
        until(lambda: listener_side, "no connection")
        with listener_side[0] as accepted:
            accepted.settimeout(60)
            assert accepted.recv(1) == b""


def test_limit_ends_a_read(silent: tuple[str, int]) -> None:
    """A read that takes longer than the limit ends with the error that was asked for."""
    with (
        Cancellation().child() as work,
        work.connect(lambda: socket.create_connection(silent)) as connection,
        pytest.raises(LateError),
        work.limit(0.1, LateError()),
    ):
        connection.recv(1)


def test_limit_counts_however_it_trickles() -> None:
    """A byte now and then, none of which takes long, puts nothing off."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Cancellation().child() as work,
        work.connect(lambda: socket.create_connection(listener.getsockname())) as connection,
        listener.accept()[0] as accepted,
        pytest.raises(LateError),
        work.limit(0.3, LateError()),
    ):
        read_what_trickles(accepted, connection)


def read_what_trickles(sender: socket.socket, receiver: socket.socket) -> None:
    """Send a byte now and then, and receive it, until the connection ends."""
    while True:
        time.sleep(0.01)
        sender.send(b"x")
        if not receiver.recv(1):
            raise EOFError


def test_limits_that_are_met_leave_nothing() -> None:
    """Thousands of them, one after another, end nothing, and their thread ends with the work."""
    with Cancellation().child() as work:
        for _ in range(5000):
            with work.limit(0.5, LateError()):
                pass
        with pytest.raises(KeyError), work.limit(60, LateError()):
            raise KeyError
        time.sleep(0.6)
        with work.limit(60, LateError()):
            pass
        assert threads("time limit")
    until(lambda: not threads("time limit"), "the thread stays")


def test_shorter_limit_after_a_longer_is_kept(silent: tuple[str, int]) -> None:
    """The timer, which may wait for a later time, is woken in time."""
    with (
        Cancellation().child() as work,
        work.connect(lambda: socket.create_connection(silent)) as connection,
    ):
        with work.limit(60, LateError()):
            until(lambda: work._timer_wakes < 1e300, "the timer does not wait")
        with pytest.raises(LateError), work.limit(0.1, LateError()):
            connection.recv(1)


@pytest.mark.parametrize(
    ("outer", "inner", "raised"),
    [
        pytest.param(0.2, 60, "outer", id="outer-sooner"),
        pytest.param(60, 0.2, "inner", id="inner-sooner"),
    ],
)
def test_sooner_of_two_limits_counts(
    silent: tuple[str, int], outer: float, inner: float, raised: str
) -> None:
    """A limit inside another neither puts it off nor is put off by it."""
    with (
        Cancellation().child() as work,
        work.connect(lambda: socket.create_connection(silent)) as connection,
        pytest.raises(LateError, match=raised),
        work.limit(outer, LateError("outer")),
        work.limit(inner, LateError("inner")),
    ):
        connection.recv(1)


def sleep_in_pieces(released: threading.Event) -> None:
    """Sleep a moment at a time."""
    while not released.wait(0.01):
        pass


def compute(released: threading.Event) -> None:
    """Keep the processor busy."""
    while not released.is_set():
        pass


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(threading.Event.wait, id="one-long-call"),
        pytest.param(sleep_in_pieces, id="many-short-calls"),
        pytest.param(compute, id="computing"),
    ],
)
def test_work_is_bounded(
    work: Callable[[threading.Event], object], released: threading.Event
) -> None:
    """However it spends its time, work that never ends is not waited for longer."""
    with pytest.raises(LateError):
        run_within(0.2, lambda: work(released), LateError())


def test_work_that_is_done_in_time() -> None:
    """Its result and its error come out as they are, a time-out of its own among them."""
    assert run_within(10, lambda: 5, LateError()) == 5

    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        run_within(10, fail, LateError())
