"""The ways from bytes to text that are measured inside this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import Sample
from benchmarks.measure import cpu_seconds

from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.output.file import FileOutput
from ctsdns_traefik.source.stream import read_events


def text_of(pieces: list[bytes]) -> str:
    """Turn the pieces of one event into the document's text."""
    text = ""
    for event in read_events(pieces):
        text = render(hosts_of_snapshot(event.data)).text
    return text


def keep(reconciler: Reconciler, pieces: list[bytes]) -> None:
    """Hand the snapshot of one event to a reconciler."""
    for event in read_events(pieces):
        reconciler.reconcile(hosts_of_snapshot(event.data))


def parse_and_dump(data: bytes, document: dict[str, Any]) -> str:
    """Do the least that anybody has to do, with the library's own functions."""
    json.loads(data)
    return json.dumps(document, indent=2)


def document_of(sample: Sample) -> dict[str, Any]:
    """Return the document of a sample in plain dictionaries."""
    document: dict[str, Any] = json.loads(render(sample.hosts).text)
    return document


def time_of_text(sample: Sample) -> Callable[[], float]:
    """Return what measures :func:`text_of`."""
    pieces = sample.pieces
    return lambda: cpu_seconds(text_of, pieces)


def time_of_floor(sample: Sample) -> Callable[[], float]:
    """Return what measures :func:`parse_and_dump`; the document is there only meanwhile."""
    return lambda: cpu_seconds(parse_and_dump, sample.data, document_of(sample))


def time_of_parsing(sample: Sample) -> Callable[[], float]:
    """Return what measures ``json.loads``."""
    return lambda: cpu_seconds(json.loads, sample.data)


def time_of_keeping(sample: Sample, path: Path) -> Callable[[], float]:
    """Return what measures a reconciler that had the snapshot before; it must not write again."""
    pieces = sample.pieces

    def measured() -> float:
        reconciler = Reconciler(FileOutput(path))
        reconciler.inspect()
        keep(reconciler, pieces)
        before = path.stat()
        took = cpu_seconds(keep, reconciler, pieces)
        after = path.stat()
        if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
            raise RuntimeError("an unchanged snapshot was written again")
        return took

    return measured
