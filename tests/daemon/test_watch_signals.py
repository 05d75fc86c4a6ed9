"""Signals to ``ctsdns-traefik watch``, in whatever state they find it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from local import free_ports
from support.commands import Watch
from support.endpoints import (
    Feed,
    Script,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    snapshot,
    unanswering,
)
from support.entries import hosts, names_in, streaming

WITHIN = 3.0
"""Seconds for what is promised within one; the machine may be busy."""

SIGNALS = [
    pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]


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


State = Callable[[Path, ExitStack], Watch]

STATES: list[State] = [
    watch_connecting,
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
    """It ends soon, with the exit code that says why, and the file stays as it was."""
    watch = state(path, stack)
    before = path.read_bytes()
    assert watch.stop(number, within=WITHIN) == code
    assert watch.lines[-1] == f"INFO {number.name}: stopped"
    assert "Traceback" not in watch.log
    assert path.read_bytes() == before


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
        assert watch.stop(within=WITHIN) == 0


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
        assert watch.stop(within=WITHIN) == 0
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
        assert watch.stop(within=WITHIN) == 0
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
        assert watch.stop(within=WITHIN) == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_stop_while_the_file_is_prepared(path: Path, number: signal.Signals, code: int) -> None:
    """A stop before the first connection takes effect as well, with its own exit code."""
    program = [sys.executable, "-c", SIGNALLED_WHILE_PREPARING.format(number.name)]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, program=program) as watch,
    ):
        assert watch.process.wait(timeout=15) == code
        assert "Traceback" not in watch.log
        assert server.requests == []


SIGNALLED_AMID_A_WRITE = """
import os, signal, sys
from ctsdns_traefik.cli import main
flush = os.fsync
def flush_and_send(descriptor):
    if os.path.exists(sys.argv[-1]):
        os.kill(os.getpid(), signal.SIGTERM)
    flush(descriptor)
os.fsync = flush_and_send
sys.exit(main(sys.argv[1:-1]))
"""


def test_stop_amid_a_write_lets_it_finish(path: Path) -> None:
    """SIGTERM that comes while the file is being replaced waits until it is."""
    path.write_text("{}\n")
    command = [sys.executable, "-c", SIGNALLED_AMID_A_WRITE, "watch", "-o", str(path)]
    with ScriptedEndpoint(streaming("a")) as server:
        done = subprocess.run(
            [*command, "--endpoint", server.url, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert "SIGTERM: stopped" in done.stderr
    assert names_in(path) == "a"
    assert list(path.parent.iterdir()) == [path]
