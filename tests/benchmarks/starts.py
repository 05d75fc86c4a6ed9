"""Processes from start to end, by the clock on the wall."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import wall_seconds
from support.commands import COMMAND

ENTRY = "_websecure_http_3000._tcp.app.example.com=100.64.0.1"
LONGEST = 60.0
"""Seconds for one process."""

PARSE_HOST = [*COMMAND, "parse-host", ENTRY]
IMPORT_CLICK = [sys.executable, "-c", "import click"]


def time_of_process(command: list[str], cache: Path) -> Callable[[], float]:
    """Return what measures a command whose modules are compiled, as installing does.

    ``cache`` is a folder for that, the same for what is compared.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    _run(command, environment)
    return lambda: wall_seconds(_run, command, environment)


def render_once(file: Path) -> list[str]:
    """Return the command that renders a file."""
    return [*COMMAND, "render-once", str(file)]


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command to its end; waiting with a time-out would look only now and then."""
    process = None
    try:
        with _uninterrupted():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
            )
        too_long = threading.Timer(LONGEST, process.kill)
        too_long.daemon = True  # the program may be interrupted anywhere
        too_long.start()
        status = process.wait()
        too_long.cancel()
    finally:
        if process:
            process.kill()
            process.wait()
    if status:
        raise RuntimeError(f"{command!r} ended with {status}")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a process that is being started can be ended."""
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
