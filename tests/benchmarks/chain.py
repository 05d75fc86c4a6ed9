"""The whole chain with a real Traefik: an event on the socket, the file, the route."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.data import Sample, make_sample
from benchmarks.followers import Follower, ends_with, start_watch, wait
from support.backends import http_backend
from support.traefik import Answer, Traefik

_LIVE = Answer(200, "live")


class UnthrottledTraefik(Traefik):
    """Traefik that takes each change of its file at once."""

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = super()._write_static(path)
        throttled = "providersThrottleDuration: 250ms"
        text = path.read_text()
        assert throttled in text
        path.write_text(text.replace(throttled, "providersThrottleDuration: 0s"))
        return ports


class Times(NamedTuple):
    """Seconds; ``None`` for what was not done within the limit."""

    to_file: float | None
    """From the event's first byte to the file, with Traefik looking elsewhere."""
    traefik: float | None
    """From the same file, put in Traefik's place for it by renaming, to its last route live."""
    to_route: float | None = None
    """From the first byte of another version's event to its last route live."""


class Chain:
    """A backend, Traefik, a watch on Traefik's file and one on another; a context manager."""

    def __init__(self, folder: Path, number: int, limit: float) -> None:
        self._folder, self._number, self._limit = folder, number, limit
        self._stack = ExitStack()
        self._version = 0

    def __enter__(self) -> Self:
        apart, joined = self._folder / "apart", self._folder / "joined"
        for folder in (apart, joined):
            folder.mkdir(parents=True)
        dynamic = joined / "dynamic.yml"
        dynamic.write_text("{}\n")
        with ExitStack() as stack:
            self._port = stack.enter_context(http_backend(_LIVE.body))
            self._apart = stack.enter_context(Follower(start_watch, apart / "dynamic.yml"))
            self._joined = stack.enter_context(Follower(start_watch, dynamic))
            self._traefik = stack.enter_context(UnthrottledTraefik(self._folder, dynamic))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pair(self) -> Times:
        """Measure ours and Traefik's own time for one new version."""
        sample = self._next()
        to_file = self._apart.take(sample, self._limit)
        new = self._folder / "new"
        new.write_bytes(self._apart.file.read_bytes())
        began = time.perf_counter()
        new.rename(self._joined.file)
        return Times(to_file, self._until_live(sample, began))

    def whole(self) -> Times:
        """Measure the same, and the whole way for another version."""
        times = self.pair()
        if times.traefik is None:
            return times  # it is still busy
        sample = self._next()
        self._joined.take(sample, self._limit)
        assert ends_with(self._joined.file, sample)
        return times._replace(to_route=self._until_live(sample, self._joined.source.began))

    def _next(self) -> Sample:
        self._version += 1
        return make_sample(self._number, self._version, self._port)

    def _until_live(self, sample: Sample, began: float) -> float | None:
        """Poll the last route until it answers."""
        return wait(
            lambda: self._traefik.get("web", sample.live) == _LIVE, self._limit, lambda: began
        )
