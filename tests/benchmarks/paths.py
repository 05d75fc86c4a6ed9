"""The ways from bytes to text that are measured inside this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.data import Sample, policy_of
from benchmarks.measure import cpu_seconds

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy import HostsMap, SourceText, hosts_of_saved_policy
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import SnapshotTrusted
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.output.file import FileOutput
from ctsdns_traefik.source.base import Policy, Received
from ctsdns_traefik.source.poll import Answer, PollSource
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


class _Bodies(PollSource):
    """A source whose answers are there already."""

    def __init__(self) -> None:
        super().__init__(30.0)
        self.bodies: list[bytes] = []
        self.answered = 0.0
        """The CPU time when the last one was there."""

    def __str__(self) -> str:
        return "bodies"

    def fetch(self, *_: object) -> Answer:
        """Return the next body."""
        answer = Answer(self.bodies.pop())
        self.answered = time.process_time()
        return answer

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read it as the policies of Tailscale's API are read."""
        return hosts_of_saved_policy(body), SourceText("", body)


class Poller:
    """All that watch does with the body of a polled policy; a context manager."""

    def __init__(self, path: Path) -> None:
        self._source, self._publisher = _Bodies(), EventPublisher()
        self._reconciler = Reconciler(FileOutput(path), publisher=self._publisher)
        self._reconciler.prepare()
        self._stack = ExitStack()
        self._run: Iterator[Received] | None = None
        self._kept: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def offer(self, *bodies: bytes) -> None:
        """Have the next polls answered with copies of these."""
        self._source.bodies = [bytes(bytearray(body)) for body in reversed(bodies)]
        self._kept = list(self._source.bodies)  # to free them belongs to reading answers

    def poll(self) -> float:
        """Poll once, with what follows from it; return the CPU seconds since the body was there."""
        self._source.refresh()
        if self._run is None:
            following = self._source.follow(Cancellation(), lambda _: None)
            self._run = self._stack.enter_context(following)
        received = next(self._run)
        assert isinstance(received, Policy)
        self._publisher.publish(SnapshotTrusted())
        self._reconciler.reconcile(received.hosts)
        return time.process_time() - self._source.answered


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


def time_of_parsing(data: bytes) -> Callable[[], float]:
    """Return what measures ``json.loads``."""
    return lambda: cpu_seconds(json.loads, data)


def time_of_keeping(sample: Sample, path: Path) -> Callable[[], float]:
    """Return what measures a reconciler that had the snapshot before; it must not write again."""
    reconciler = Reconciler(FileOutput(path))
    reconciler.inspect()
    keep(reconciler, sample.pieces)
    pieces = sample.pieces
    return lambda: _without_writing(path, lambda: cpu_seconds(keep, reconciler, pieces))


def time_of_polling(sample: Sample, poller: Poller, path: Path, polls: int) -> Callable[[], float]:
    """Return what measures polls of a policy that was there before, the mean of some in a row."""
    body = policy_of(sample)
    poller.offer(body)
    poller.poll()

    def measured() -> float:
        poller.offer(*[body] * polls)
        return _without_writing(path, lambda: sum(poller.poll() for _ in range(polls)) / polls)

    return measured


def _without_writing(path: Path, measure: Callable[[], float]) -> float:
    before = path.stat()
    took = measure()
    after = path.stat()
    if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
        raise RuntimeError("what is unchanged was written again")
    return took
