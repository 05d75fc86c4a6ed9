"""The quickstart as a process, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import until
from support.paths import ROOT

EXIT_CODE = 128 + signal.SIGINT
QUICKSTART = [sys.executable, str(ROOT / "examples" / "quickstart" / "run.py")]


@contextmanager
def quickstart(
    folder: Path, *arguments: str, stdout: int | None = None, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the quickstart, with its temporary files in a folder, and its output in ``printed``."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    with (folder / "printed").open("wb") as output:
        process = subprocess.Popen(
            [*QUICKSTART, *arguments],
            env={**os.environ, "TMPDIR": str(temporary), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output if stdout is None else stdout,
            stderr=output,
            start_new_session=True,  # a job of its own, as a shell makes one for Ctrl-C
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # a killed one would leave watch and Traefik behind
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def printed(folder: Path) -> str:
    """Return what the quickstart has reported so far."""
    return (folder / "printed").read_text()


def processes(folder: Path) -> list[str]:
    """Return the command lines of processes that work with the quickstart's temporary files."""
    command = ["ps", "-A", "-ww", "-o", "args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if f"{folder}/tmp/" in line]


def left_behind(folder: Path) -> list[str]:
    """Return what is left of a quickstart that has ended: files and processes."""
    return [*(path.name for path in (folder / "tmp").iterdir()), *processes(folder)]


def press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """Do as a terminal does: send SIGINT to the quickstart and all that it has started."""
    os.killpg(process.pid, signal.SIGINT)


def until_it_handles_signals(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the quickstart's first lines have run: before, Python itself is starting."""
    status = Path(f"/proc/{process.pid}/status")

    def handles() -> bool:
        (caught,) = (line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    if status.exists():
        until(handles, "it handles no signals")
    else:
        until(lambda: printed(folder), "it shows nothing")


def interrupt(folder: Path, after: float) -> list[str]:
    """Interrupt a quickstart so many seconds after its start; return what is amiss."""
    with quickstart(folder, "--stay") as process:
        until_it_handles_signals(process, folder)
        time.sleep(after)  # the moment is the point
        press_ctrl_c(process)
        code = process.wait(timeout=60)
    faults = [] if code == EXIT_CODE else [f"exit status {code}"]
    if "Traceback" in printed(folder):
        faults.append(printed(folder))
    return [*faults, *left_behind(folder)]
