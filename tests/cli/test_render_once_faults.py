"""``ctsdns-traefik render-once`` with files and pipes that hold no snapshot."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.commands import COMMAND, run
from support.endpoints import event

PREFIX = "ctsdns-traefik: error: "


@pytest.mark.parametrize("depth", [1_000, 200_000])
def test_nesting_is_limited(tmp_path: Path, depth: int) -> None:
    """A file that is nested too deep is one line, and leaves the output alone."""
    output = tmp_path / "dynamic.yml"
    done = run("render-once", "-", "-o", output, stdin=b'{"acl": ' + b"[" * depth)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"{PREFIX}standard input: it is not")
    assert not output.exists()


def test_hostile_file_name_stays_on_one_line(tmp_path: Path) -> None:
    """Line ends and escapes in a file's name are shown as such, not obeyed."""
    done = run("render-once", "a\n\x1b[31mINFO: b", cwd=tmp_path)
    shown = "a\\n\\x1b[31mINFO: b"
    assert done.stderr == f"{PREFIX}cannot read {shown}: no such file or directory\n"


def test_fifo_that_nothing_writes_to_is_timed_out(tmp_path: Path) -> None:
    """Opening a named pipe waits for its writer, though not for longer than the timeout."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = run("render-once", fifo, "--timeout", "0.5")
    line = f"{PREFIX}{fifo}: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def drip(pipe: int, start: bytes) -> None:
    """Write something into a pipe, then a byte now and then until nothing reads."""
    with suppress(OSError):
        os.write(pipe, start)
        while True:
            os.write(pipe, b"x")
            time.sleep(0.05)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="that-looks-like-a-stream"),
        pytest.param(b'{"hosts": {"', id="that-looks-like-json"),
        pytest.param(event("connected", {}), id="after-an-event"),
    ],
)
def test_standard_input_that_never_ends_is_timed_out(start: bytes) -> None:
    """A pipe that trickles on without a snapshot ends with 3 and one line."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=drip, args=(writer, start))
    thread.start()
    try:
        done = subprocess.run(
            [*COMMAND, "render-once", "-", "--timeout", "0.5"],
            stdin=reader,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(reader)
        thread.join()
        os.close(writer)
    line = f"{PREFIX}standard input: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)
