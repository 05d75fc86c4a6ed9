"""Programs that follow a source into a file: ours and its peers, each a process or several."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from benchmarks.data import Sample
from benchmarks.source import Source
from local import running, until
from support.commands import Watch
from support.processes import Process

TESTS = Path(__file__).resolve().parent.parent
PROGRAM = Path(__file__).with_name("peers") / "mapping.jq"

_SHORTEST_NAP = 0.0002
_TAIL = 600

Start = Callable[["Follower", ExitStack], None]
"""Starts a follower, and returns once it is connected."""


class Follower:
    """One program with a source of its own; a context manager that ends both."""

    def __init__(self, start: Start, file: Path) -> None:
        self.file = file
        self.source = Source()
        self.processes: list[Process] = []
        self._start = start
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.source)
            self._start(self, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it now."""
        self._stack.close()

    def take(self, sample: Sample, limit: float) -> float | None:
        """Send a snapshot; return the seconds to the whole file, ``None`` if they are too many."""
        began = time.perf_counter()
        self.source.send(sample.chunk)
        return wait(lambda: ends_with(self.file, sample), limit, lambda: self.source.began, began)

    def require_life(self) -> None:
        """Raise :class:`RuntimeError` if a process has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} has ended")


def wait(
    condition: Callable[[], bool],
    limit: float,
    start: Callable[[], float],
    since: float | None = None,
    nap: float = _SHORTEST_NAP,
) -> float | None:
    """Wait until a condition holds; return the seconds since a start, ``None`` beyond the limit.

    ``nap`` is how many seconds pass between two looks at least.
    """
    since = time.perf_counter() if since is None else since
    while not condition():
        elapsed = time.perf_counter() - since
        if elapsed > limit:
            return None
        time.sleep(max(nap, elapsed / 500))
    return time.perf_counter() - start()


def ends_with(file: Path, sample: Sample) -> bool:
    """Return whether a file ends as the document of a snapshot does, in JSON or YAML."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL))
            tail = opened.read()
    except FileNotFoundError:
        return False
    _, service, rest = tail.rpartition(sample.service.encode())
    backend = re.escape(sample.last_backend.encode())
    return bool(service and re.search(backend + rb'"?[\s\]}]*[\n}]\Z', rest))


def start_watch(follower: Follower, stack: ExitStack) -> None:
    """Run our own watch."""
    apart = ["env"]  # a process that shares no memory with a fork server
    watch = stack.enter_context(Watch(follower.source.url, follower.file, launcher=apart))
    watch.until_logged("connected to")
    follower.processes.append(watch.process)


def start_python(module: str) -> Start:
    """Return what runs a peer in Python."""

    def start(follower: Follower, stack: ExitStack) -> None:
        command = [sys.executable, "-m", module, follower.source.url, str(follower.file)]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        log = follower.file.with_suffix(".log")
        follower.processes.append(stack.enter_context(running(command, log, environment)))
        until(follower.file.exists, f"{module} does not connect")

    return start


def start_shell(follower: Follower, stack: ExitStack) -> None:
    """Run curl, sed and jq in a row; jq writes something as soon as it gets the first event."""
    commands = [
        ["curl", "-sN", follower.source.url],
        ["sed", "-un", "s/^data: //p"],
        ["jq", "-c", "--unbuffered", "-f", str(PROGRAM)],
    ]
    output = stack.enter_context(follower.file.open("wb"))
    before: int = subprocess.DEVNULL
    for command in commands:
        last = command is commands[-1]
        process = subprocess.Popen(
            command, stdin=before, stdout=output if last else subprocess.PIPE
        )
        stack.callback(_end, process)
        follower.processes.append(process)
        if process.stdout:
            before = process.stdout.fileno()
            stack.callback(process.stdout.close)
    until(lambda: follower.file.stat().st_size > 0, "jq does not answer")


def missing_tools() -> list[str]:
    """Return the programs of the row that are not installed."""
    return [tool for tool in ("curl", "sed", "jq") if not shutil.which(tool)]


def _end(process: Process) -> None:
    process.kill()
    process.wait()


FIRST_ATTEMPT = start_python("benchmarks.peers.first_attempt")
SECOND_ATTEMPT = start_python("benchmarks.peers.second_attempt")
