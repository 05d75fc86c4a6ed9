"""Memory of a real watch, as Linux tells it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import make_sample
from benchmarks.scale import Scale
from benchmarks.source import Source
from support.commands import Watch
from support.endpoints import chunk, event

NO_PROC = "" if sys.platform == "linux" else "only Linux has /proc"
"""Why there is nothing to measure here, if so."""


def growth_with_snapshots(scale: Scale, folder: Path) -> float:
    """Divide the memory after many snapshots, each changing every route, by that after a few."""
    samples = [make_sample(scale.snapshot_hosts, version, last=2).chunk for version in (1, 2)]
    few, many = scale.snapshots
    with _Scene.open(folder) as scene:
        early = scene.memory_after(samples, few)
        return scene.memory_after(samples, many - few) / early


def at_rest(folder: Path) -> int:
    """Return what is resident of a watch with the routes of 100 hosts."""
    with _Scene.open(folder) as scene:
        return scene.memory_after([make_sample(100).chunk], 1)


def of_libraries() -> int:
    """Return what is resident of a process with nothing but the libraries that watch needs."""
    code = "import click, requests, sseclient; print(flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        resident = _resident(process.pid)
        process.communicate(b"\n")
    return resident


def _resident(process: int) -> int:
    """Return the bytes of a process that are in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"^VmRSS:\s+([0-9]+) kB$", status, re.MULTILINE)
    if not found:
        raise RuntimeError("/proc has no VmRSS")
    return int(found[1]) * 1024


class _Scene(NamedTuple):
    """A connected watch and its source."""

    watch: Watch
    source: Source

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[_Scene]:
        """Run a watch on a file in a folder that is made."""
        folder.mkdir()
        apart = ["env"]  # a process that shares no memory with a fork server
        with Source() as source, Watch(source.url, folder / "dynamic.yml", launcher=apart) as watch:
            watch.until_logged("connected to")
            yield cls(watch, source)

    def memory_after(self, chunks: list[bytes], number: int) -> int:
        """Return what is resident after some more snapshots, of some by turns."""
        self.until_taken([chunks[count % len(chunks)] for count in range(number)])
        return _resident(self.watch.process.pid)

    def until_taken(self, chunks: list[bytes]) -> None:
        """Send chunks, and wait until all have been dealt with."""
        before = self.watch.log.count("sent so far")
        for framed in chunks:
            self.source.send(framed)
        self.source.send(chunk(event("error", {"message": "sent so far"})))
        self.watch.until(lambda: self.watch.log.count("sent so far") > before, "not taken", 600)
        assert "waiting for the next" not in self.watch.log, "the guard held what was measured"
