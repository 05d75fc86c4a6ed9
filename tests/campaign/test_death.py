"""Watch killed or stopped at any moment: the file is whole, and the next watch goes on."""

from __future__ import annotations

import logging
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from local import PATIENCE
from support.campaigns import FULL, rounds
from support.commands import Watch
from support.endpoints import STREAM, ScriptedEndpoint, snapshot
from support.entries import names_in, streaming
from support.progress import counted

from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.output.lock import lock_path

log = logging.getLogger(__name__)

HOSTS = [
    {f"_web_http_80._tcp.a{n}.example.com": "100.64.0.1" for n in range(2000)},
    {f"_web_http_8080._tcp.b{n}.example.com": "100.64.10.20" for n in range(3000)},
]
"""Two policies that have nothing in common, their files of different sizes."""

EVENTS = [snapshot(each) for each in HOSTS]
VERSIONS = [render(each).text.encode() for each in HOSTS]
NO_ROUTES = b"{}\n"

A_BREATH = 0.0005
"""Seconds between two reads, so that watch gets its turn on a small machine."""


def alternating(connection: socket.socket) -> None:
    """Send the two policies by turns, as fast as they are taken, until they are not taken."""
    connection.sendall(STREAM)
    for number in range(100_000):
        connection.sendall(EVENTS[number % 2])


class Reader:
    """Reads a file all the time; a context manager that ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.reads = 0
        self.spoiled: list[str] = []
        """What it saw that was neither of the two versions, nor the beginning before them."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _read(self) -> None:
        expected = [*VERSIONS, NO_ROUTES]
        while not self._done.wait(A_BREATH) and len(self.spoiled) < 10:
            try:
                seen = self._path.read_bytes()
            except OSError as why:
                self.spoiled.append(str(why))
                continue
            self.reads += 1
            if seen in VERSIONS:
                expected = VERSIONS
            elif seen not in expected:
                self.spoiled.append(f"{len(seen)} bytes, {seen[:40]!r} to {seen[-40:]!r}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make the file with no routes, in a folder of its own."""
    path = tmp_path / "traefik" / "dynamic.yml"
    path.parent.mkdir()
    path.write_bytes(NO_ROUTES)
    return path


@contextmanager
def watching(url: str, path: Path, **options: Any) -> Iterator[Watch]:
    """Run watch, unguarded, with its log beside the folder."""
    watch = Watch(url, path, "--no-removal-guard", **options)
    watch._log = path.parent.with_name("log")
    with watch:
        yield watch


def beside(path: Path) -> set[str]:
    """Return the names of all other files in the folder."""
    return {each.name for each in path.parent.iterdir()} - {path.name}


def left_by_a_kill(path: Path) -> set[str]:
    """Return what a killed watch has left, but for the lock, which the next one takes over."""
    return beside(path) - {lock_path(path).name}


def until_writing(watch: Watch) -> None:
    """Wait, without the least pause, until a file is being written."""
    deadline = time.monotonic() + PATIENCE
    while not left_by_a_kill(watch.output):
        assert time.monotonic() < deadline, f"nothing is being written; the log:\n{watch.log}"


def is_temporary(name: str) -> bool:
    """Return whether a name is one that a killed watch may leave."""
    return name.startswith(".dynamic.yml.") and name.endswith(".tmp")


@pytest.mark.timeout(1800 if FULL else 600)
def test_killed_at_any_moment(path: Path) -> None:
    """Whenever watch is killed the file is a whole version, and the next one tidies and goes on.

    Every other kill comes as soon as a new version is being written, or a moment later.
    """
    seed = random.randrange(2**32)
    moment = random.Random(seed)
    amid_a_write = 0
    with ScriptedEndpoint(alternating) as server, Reader(path) as reader:
        for number in counted(range(rounds(40, 500))):
            left, round_ = left_by_a_kill(path), f"round {number}, seed {seed}"
            with watching(server.url, path) as watch:
                watch.until_logged("connected to")
                assert left.isdisjoint(beside(path)), round_
                watch.until_logged("replaced")
                time.sleep(moment.uniform(0, 0.15))
                if number % 2:
                    until_writing(watch)
                    time.sleep(moment.uniform(0, 0.002))
                assert watch.stop(signal.SIGKILL) == -signal.SIGKILL
            assert path.read_bytes() in VERSIONS, round_
            left = left_by_a_kill(path)
            assert all(is_temporary(name) for name in left), round_
            assert len(left) <= 1, round_
            amid_a_write += len(left)
        assert (reader.spoiled, reader.reads > number) == ([], True), f"seed {seed}"
        with watching(server.url, path) as watch:
            watch.until_logged("replaced")
            assert watch.stop() == 0
    assert beside(path) == set()
    log.info("%d kills, %d amid a write, %d reads", number + 1, amid_a_write, reader.reads)
    assert amid_a_write or not FULL, f"no kill hit a write, seed {seed}"


SIGNALS = {"SIGTERM": 0, "SIGINT": 130}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "code"), SIGNALS.items(), ids=SIGNALS)
def test_stopped_at_any_moment(path: Path, name: str, code: int) -> None:
    """A stop amid one change after another leaves a whole version and nothing beside it."""
    seed = random.randrange(2**32)
    moment = random.Random(seed)
    with ScriptedEndpoint(alternating) as server, Reader(path) as reader:
        for number in counted(range(rounds(4, 50))):
            with watching(server.url, path) as watch:
                watch.until_logged("replaced")
                time.sleep(moment.uniform(0, 0.15))
                assert watch.stop(signal.Signals[name]) == code
                round_ = f"round {number}, seed {seed}; the log:\n{watch.log}"
                assert watch.lines[-1] == f"INFO {name}: stopped", round_
                assert [line for line in watch.lines if not line.startswith("INFO ")] == [], round_
            assert path.read_bytes() in VERSIONS, round_
            assert beside(path) == set(), round_
        assert reader.spoiled == [], f"seed {seed}"


@pytest.mark.timeout(600)
def test_hangups_at_any_moment(path: Path) -> None:
    """Amid one change after another each SIGHUP leads to a new connection, and to nothing else."""
    seed = random.randrange(2**32)
    moment = random.Random(seed)
    with (
        ScriptedEndpoint(alternating) as server,
        Reader(path) as reader,
        watching(server.url, path) as watch,
    ):
        watch.until_logged("replaced")
        for times in counted(range(1, rounds(20, 200) + 1)):
            time.sleep(moment.uniform(0, 0.15))
            watch.process.send_signal(signal.SIGHUP)
            watch.until_logged("connected to", times + 1)
        assert watch.stop() == 0
        reported = [line for line in watch.lines if not line.startswith("INFO replaced")]
        again = ["INFO SIGHUP: connecting again", f"INFO connected to {server.url}"] * times
        assert reported == [f"INFO connected to {server.url}", *again, "INFO SIGTERM: stopped"], (
            seed
        )
        assert reader.spoiled == [], f"seed {seed}"
    assert (path.read_bytes() in VERSIONS, beside(path)) == (True, set()), f"seed {seed}"


SIGNALLED_AMID_A_WRITE = """
import os, signal, stat, sys
from ctsdns_traefik import signals
from ctsdns_traefik.cli import main
signals.PATIENCE = 5.0
flush, number = os.fsync, signal.{}
def send_and_flush(descriptor):
    it = os.fstat(descriptor)
    if stat.S_ISREG(it.st_mode) and it.st_size:  # the trial at the start is of an empty file
        os.kill(os.getpid(), number)
    flush(descriptor)
os.fsync = send_and_flush
sys.exit(main(sys.argv[1:]))
"""


def test_interrupt_amid_a_write_lets_it_finish(path: Path) -> None:
    """SIGINT that comes while the file is being replaced waits until it is."""
    program = [sys.executable, "-c", SIGNALLED_AMID_A_WRITE.format("SIGINT")]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        watching(server.url, path, program=program) as watch,
    ):
        assert watch.process.wait(timeout=PATIENCE) == 130
        assert watch.lines[-1] == "INFO SIGINT: stopped"
        assert "Traceback" not in watch.log
    assert (names_in(path), beside(path)) == ("a", set())


def test_hangup_amid_a_write_lets_it_finish(path: Path) -> None:
    """SIGHUP that comes while the file is being replaced waits too, then connects again."""
    program = [sys.executable, "-c", SIGNALLED_AMID_A_WRITE.format("SIGHUP")]
    with (
        ScriptedEndpoint(streaming("a"), streaming("ab"), streaming("ab")) as server,
        watching(server.url, path, program=program) as watch,
    ):
        watch.until_logged("connected to", 3)
        assert watch.stop() == 0
        reported = [line.partition(":")[0] for line in watch.lines]
        assert reported.count("INFO SIGHUP") == 2, watch.log
        assert [line for line in watch.lines if not line.startswith("INFO ")] == []
    assert (names_in(path), beside(path)) == ("ab", set())


STUCK_AMID_A_WRITE = """
import os, sys, time
from ctsdns_traefik.cli import main
def get_stuck(descriptor):
    if os.fstat(descriptor).st_size:  # the trial at the start is of an empty file
        time.sleep(600)
os.fsync = get_stuck
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("name", "code"), SIGNALS.items(), ids=SIGNALS)
def test_stop_while_the_disk_does_not_answer(path: Path, name: str, code: int) -> None:
    """A write that never ends cannot keep watch from ending, and the next watch tidies up."""
    program = [sys.executable, "-c", STUCK_AMID_A_WRITE]
    with ScriptedEndpoint(streaming("a")) as server:
        with watching(server.url, path, program=program) as watch:
            watch.until_logged("connected to")  # what was beside the file before was only a trial
            until_writing(watch)
            assert watch.stop(signal.Signals[name]) == code
        (left,) = left_by_a_kill(path)
        assert (is_temporary(left), path.read_bytes()) == (True, NO_ROUTES)
        with watching(server.url, path) as watch:
            watch.until_logged("added router-a")
            assert watch.stop() == 0
    assert (names_in(path), beside(path)) == ("a", set())
