"""Signals to ``ctsdns-traefik watch``, in whatever state they find it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from local import PATIENCE, free_ports
from support.commands import COMMAND, Watch
from support.endpoints import (
    Feed,
    Script,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    snapshot,
    trickling,
    unanswering,
)
from support.entries import hosts, names_in, streaming

from ctsdns_traefik.output.lock import lock_path

SIGNALS = [
    pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a folder of its own."""
    (tmp_path / "traefik").mkdir()
    return tmp_path / "traefik" / "dynamic.yml"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close whatever a test enters."""
    with ExitStack() as stack:
        yield stack


def watch_connecting(path: Path, stack: ExitStack) -> Watch:
    """Return watch while nothing answers its attempt to connect."""
    watch = stack.enter_context(Watch(stack.enter_context(unanswering()), path))
    watch.until_logged("created")
    return watch


def watch_requesting(path: Path, stack: ExitStack) -> Watch:
    """Return watch while the endpoint is silent about its request."""
    server = stack.enter_context(ScriptedEndpoint(saying_nothing))
    watch = stack.enter_context(Watch(server.url, path))
    watch.until(lambda: server.requests, "no request came")
    return watch


def watch_waiting(path: Path, stack: ExitStack) -> Watch:
    """Return watch while it waits for an event."""
    server = stack.enter_context(ScriptedEndpoint(streaming("a")))
    watch = stack.enter_context(Watch(server.url, path))
    watch.until_logged("added router-a")
    return watch


def watch_amid_an_event(path: Path, stack: ExitStack) -> Watch:
    """Return watch while it waits for the rest of an event."""
    feed = stack.enter_context(Feed())
    server = stack.enter_context(ScriptedEndpoint(feed))
    watch = stack.enter_context(Watch(server.url, path))
    feed.send(snapshot(hosts("a")), snapshot(hosts("ab"))[:-20])
    watch.until_logged("added router-a")
    return watch


def watch_sleeping(path: Path, stack: ExitStack) -> Watch:
    """Return watch while it sleeps before it connects again."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api/config"
    watch = stack.enter_context(Watch(url, path, "--retry-delay", "60"))
    watch.until_logged("retrying in")
    return watch


HANGING_LOOKUP = """
import ctypes, socket, sys
from ctsdns_traefik import signals
from ctsdns_traefik.cli import main
signals.PATIENCE = 5.0
def hang(*_, **__):
    print("looking up", file=sys.stderr, flush=True)
    lock, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
    libc.pthread_mutex_init(lock, None)
    while True:
        libc.pthread_mutex_lock(lock)
socket.getaddrinfo = hang
sys.exit(main(sys.argv[1:]))
"""
"""Looks up names as a resolver does that nothing answers: no signal ends it, nor does an error."""


def watch_looking_up(path: Path, stack: ExitStack) -> Watch:
    """Return watch while it looks up a name."""
    program = [sys.executable, "-c", HANGING_LOOKUP]
    url = "http://worker.example.com/api/config"
    watch = stack.enter_context(Watch(url, path, program=program))
    watch.until_logged("looking up")
    return watch


def watch_shaking_hands(path: Path, stack: ExitStack) -> Watch:
    """Return watch while nothing answers its part of the TLS handshake."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.settimeout(60)
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/api/config"
    watch = stack.enter_context(Watch(url, path))
    connection = stack.enter_context(listener.accept()[0])
    assert connection.recv(1)
    return watch


def watch_getting_a_slow_head(path: Path, stack: ExitStack) -> Watch:
    """Return watch while the head of an answer comes a byte now and then."""
    server = stack.enter_context(ScriptedEndpoint(trickling(b"HTTP/1.1 200 OK\r\nX: ")))
    watch = stack.enter_context(Watch(server.url, path))
    watch.until(lambda: server.requests, "no request came")
    return watch


State = Callable[[Path, ExitStack], Watch]

STATES: list[State] = [
    watch_looking_up,
    watch_connecting,
    watch_shaking_hands,
    watch_getting_a_slow_head,
    watch_requesting,
    watch_waiting,
    watch_amid_an_event,
    watch_sleeping,
]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__.removeprefix("watch_"))
def test_stop(
    path: Path, stack: ExitStack, state: State, number: signal.Signals, code: int
) -> None:
    """It ends with the exit code that says why, and the file stays as it was.

    It ends by itself, and in seconds: a forced end would leave the lock file.
    """
    watch = state(path, stack)
    before = path.read_bytes()
    assert watch.stop(number) == code
    assert watch.lines[-1] == f"INFO {number.name}: stopped"
    assert "Traceback" not in watch.log
    assert (lock_path(path).exists(), path.read_bytes()) == (False, before)


@pytest.mark.parametrize(
    ("first", "state"),
    [
        pytest.param(saying_nothing, None, id="requesting"),
        pytest.param(streaming("a"), "added router-a", id="waiting"),
        pytest.param(answering("503 Oops"), "retrying in", id="sleeping"),
    ],
)
def test_hangup_connects_again_at_once(path: Path, first: Script, state: str | None) -> None:
    """SIGHUP ends waiting of any kind, long before its time, and a new connection is made."""
    with (
        ScriptedEndpoint(first, streaming("ab")) as server,
        Watch(server.url, path, "--retry-delay", "60") as watch,
    ):
        watch.until(lambda: server.requests, "no request came")
        if state:
            watch.until_logged(state)
        watch.process.send_signal(signal.SIGHUP)
        watch.until_content("router-b-example-com")
        assert "INFO SIGHUP: connecting again" in watch.lines
        assert watch.stop() == 0


def test_hangup_leaves_a_look_up_behind(path: Path, stack: ExitStack) -> None:
    """SIGHUP while a name look-up hangs begins another."""
    watch = watch_looking_up(path, stack)
    watch.process.send_signal(signal.SIGHUP)
    watch.until_logged("looking up", 2)
    assert watch.stop() == 0


def test_stop_amid_a_large_snapshot(path: Path, stack: ExitStack) -> None:
    """While a snapshot is read and rendered that takes seconds, a stop takes effect as soon."""
    many = {f"_web_http_80._tcp.a{number}.example.com": "::1" for number in range(150_000)}
    feed = stack.enter_context(Feed())
    server = stack.enter_context(ScriptedEndpoint(feed))
    watch = stack.enter_context(Watch(server.url, path, program=COMMAND))
    feed.send(snapshot(hosts("a")), snapshot(many))
    watch.until_logged("added router-a")
    time.sleep(0.5)
    assert watch.stop() == 0
    assert watch.lines[-1] == "INFO SIGTERM: stopped"
    assert names_in(path) == "a"


def test_two_hangups_in_quick_succession(path: Path) -> None:
    """The second SIGHUP, whatever the first has led to by then, does no harm."""
    with (
        ScriptedEndpoint(streaming("a"), streaming("ab")) as server,
        Watch(server.url, path, "--retry-delay", "60") as watch,
    ):
        watch.until_logged("added router-a")
        for _ in range(2):
            watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("added router-b")
        assert watch.stop() == 0
        assert "Traceback" not in watch.log


def test_many_hangups(path: Path) -> None:
    """However often SIGHUP comes, watch goes on, and a stop still ends it."""
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--retry-delay", "60") as watch,
    ):
        watch.until_logged("added router-a")
        for times in range(2, 20):
            watch.process.send_signal(signal.SIGHUP)
            watch.process.send_signal(signal.SIGHUP)
            watch.until_logged("connected to", times)
        assert watch.stop() == 0
        assert names_in(path) == "a"
        assert "Traceback" not in watch.log


SIGNALLED_WHILE_PREPARING = """
import os, signal, sys
from ctsdns_traefik.output import file as file_output
from ctsdns_traefik.cli import main
prepare = file_output.remove_leftovers
def prepare_and_send(path):
    os.kill(os.getpid(), signal.{})
    prepare(path)
file_output.remove_leftovers = prepare_and_send
sys.exit(main(sys.argv[1:]))
"""


def test_hangup_while_the_file_is_prepared(path: Path) -> None:
    """SIGHUP before the first connection, too, ends nothing."""
    program = [sys.executable, "-c", SIGNALLED_WHILE_PREPARING.format("SIGHUP")]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, program=program) as watch,
    ):
        watch.until(lambda: watch.process.poll() is not None or "added" in watch.log, "nothing")
        assert watch.process.poll() is None, watch.log
        assert watch.stop() == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_stop_while_the_file_is_prepared(path: Path, number: signal.Signals, code: int) -> None:
    """A stop before the first connection takes effect as well, with its own exit code."""
    program = [sys.executable, "-c", SIGNALLED_WHILE_PREPARING.format(number.name)]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, program=program) as watch,
    ):
        assert watch.process.wait(timeout=PATIENCE) == code
        assert "Traceback" not in watch.log
        assert server.requests == []


SIGNALLED_AMID_A_WRITE = """
import os, signal, sys
from ctsdns_traefik import signals
from ctsdns_traefik.cli import main
signals.PATIENCE = 5.0
flush = os.fsync
def flush_and_send(descriptor):
    if os.fstat(descriptor).st_size:  # the trial at the start is of an empty file
        os.kill(os.getpid(), signal.SIGTERM)
    flush(descriptor)
os.fsync = flush_and_send
sys.exit(main(sys.argv[1:]))
"""


def test_stop_amid_a_write_lets_it_finish(path: Path) -> None:
    """SIGTERM that comes while the file is being replaced waits until it is."""
    path.write_text("{}\n")
    command = [sys.executable, "-c", SIGNALLED_AMID_A_WRITE, "watch", "-o", str(path)]
    with ScriptedEndpoint(streaming("a")) as server:
        done = subprocess.run(
            [*command, "--endpoint", server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert "SIGTERM: stopped" in done.stderr
    assert names_in(path) == "a"
    assert list(path.parent.iterdir()) == [path]
