"""Memory of a real watch, as Linux tells it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import Sample, make_sample
from benchmarks.scale import Scale
from benchmarks.source import Source
from support.commands import Watch
from support.endpoints import chunk, event

NO_PROC = "" if sys.platform == "linux" else "only Linux has /proc"
"""Why there is nothing to measure here, if so."""


class Peak(NamedTuple):
    """Bytes of memory around one snapshot."""

    idle: int
    """Connected, before any snapshot."""
    highest: int
    after: int
    event: int
    """Of the event itself."""

    @property
    def ratio(self) -> float:
        """What the snapshot took at most, in its own sizes."""
        return (self.highest - self.idle) / self.event


def growth_with_snapshots(scale: Scale, folder: Path) -> float:
    """Divide the memory after many snapshots, each changing every route, by that after a few."""
    samples = [make_sample(scale.snapshot_hosts, version).chunk for version in (1, 2)]
    few, many = scale.snapshots
    with _Scene.open(folder) as scene:
        early = scene.memory_after(samples, few)
        return scene.memory_after(samples, many - few) / early


def peak_of_snapshot(sample: Sample, folder: Path) -> Peak:
    """Send one snapshot to a fresh watch."""
    with _Scene.open(folder) as scene:
        idle = scene.memory("VmRSS")
        Path(f"/proc/{scene.watch.process.pid}/clear_refs").write_text("5")
        scene.until_taken([sample.chunk])
        return Peak(idle, scene.memory("VmHWM"), scene.memory("VmRSS"), len(sample.event))


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

    def memory(self, field: str) -> int:
        """Return one of the process's figures in bytes."""
        status = Path(f"/proc/{self.watch.process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+([0-9]+) kB$", status, re.MULTILINE)
        if not found:
            raise RuntimeError(f"/proc tells no {field}")
        return int(found[1]) * 1024

    def memory_after(self, chunks: list[bytes], number: int) -> int:
        """Return what is resident after some more snapshots, of some by turns."""
        self.until_taken([chunks[count % len(chunks)] for count in range(number)])
        return self.memory("VmRSS")

    def until_taken(self, chunks: list[bytes]) -> None:
        """Send chunks, and wait until all have been dealt with."""
        before = self.watch.log.count("sent so far")
        for framed in chunks:
            self.source.send(framed)
        self.source.send(chunk(event("error", {"message": "sent so far"})))
        self.watch.until(lambda: self.watch.log.count("sent so far") > before, "not taken", 600)
