"""The whole chain through a store: an event on the socket, Redis, a route on three Traefiks."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

from benchmarks import table
from benchmarks.chain import Chain, UnthrottledTraefik
from benchmarks.data import Sample, make_sample
from benchmarks.followers import wait
from benchmarks.scale import Scale
from benchmarks.source import Source
from support.backends import http_backend
from support.progress import LINE
from support.stores import Server, StoreTraefik, StoreWatch
from support.traefik import Answer

from ctsdns_traefik.core.dynamic.key_values import to_key_values
from ctsdns_traefik.core.dynamic.rendering import render

TRAEFIKS = 3
_LIVE = Answer(200, "live")


class UnthrottledStoreTraefik(UnthrottledTraefik, StoreTraefik):
    """Traefik that takes each change of the store at once."""


class Round(NamedTuple):
    """Seconds from the event's first byte; ``None`` for what was not done within the limit."""

    to_store: float | None
    to_all: float | None


class StoreChain:
    """A backend, Redis, three Traefiks and two watches; a context manager."""

    def __init__(self, folder: Path, number: int, limit: float) -> None:
        self._folder, self._number, self._limit = folder, number, limit
        self._stack = ExitStack()
        self._version = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        with ExitStack() as stack:
            self._port = stack.enter_context(http_backend(_LIVE.body))
            self.server = stack.enter_context(Server(self._folder))
            self._traefiks = [
                stack.enter_context(UnthrottledStoreTraefik(self._folder / f"t{each}", self.server))
                for each in range(TRAEFIKS)
            ]
            self.server.run("CONFIG", "SET", "notify-keyspace-events", "Kh")
            self._sources = [stack.enter_context(Source()) for _ in range(2)]
            for source, name in zip(self._sources, "ab", strict=True):
                watch = StoreWatch(source.url, self.server.url, self._folder / name)
                stack.enter_context(watch).until_logged("connected to")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def round(self) -> Round:
        """Send both watches a new version, and take the times."""
        self._version += 1
        sample = make_sample(self._number, self._version, self._port)
        first, second = self._sources
        first.send(sample.chunk)
        to_store = wait(partial(self._stands, sample), self._limit, lambda: first.began)
        second.send(sample.chunk)
        to_all = wait(partial(self._is_live, sample), self._limit, lambda: first.began)
        return Round(to_store, to_all)

    def _stands(self, sample: Sample) -> bool:
        path = f"traefik/tcp/services/{sample.service}/loadBalancer/servers/0/address"
        return bool(self.server.run("EXISTS", path))

    def _is_live(self, sample: Sample) -> bool:
        return all(traefik.get("web", sample.live) == _LIVE for traefik in self._traefiks)


def show_store(scale: Scale, folder: Path) -> None:
    """Measure the way through a store beside the way through a file, and print the table."""
    if not shutil.which("redis-server"):
        LINE.clear()
        print("\nNo redis-server: the store is not measured.")
        return
    rows = []
    for size in scale.sizes:
        with Chain(folder / f"file-{size}", size, scale.limit) as chain:
            beside = [chain.whole().to_route for _ in range(min(2, scale.repeat))]
        with StoreChain(folder / f"store-{size}", size, scale.limit) as chain_of_store:
            rounds = [chain_of_store.round() for _ in range(min(3, scale.repeat))]
        samples = (
            to_key_values(render(make_sample(size, version).hosts).document) for version in (1, 2)
        )
        old, new = samples
        written = sum(old.get(path) != value for path, value in new.items())
        cells = [f"{size:,} hosts", f"{len(new):,}", f"{written:,}"]
        columns = ([each.to_store for each in rounds], [each.to_all for each in rounds], beside)
        rows.append([*cells, *(_cell(column, scale) for column in columns)])
    head = ("milliseconds", "keys", "written", "event to store", "live on three", "file, on one")
    notes = "Each version changes every address; Traefiks with no throttle; Redis notifies 'Kh'."
    table.show("Store", head, rows, f"Medians, by the clock, from the event's first byte. {notes}")


def _cell(column: list[float | None], scale: Scale) -> str:
    known = [each for each in column if each is not None]
    if len(known) < len(column):
        return f"> {scale.limit * 1000:,.0f}"
    return table.milliseconds(median(known))
