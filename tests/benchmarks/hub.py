"""One watch and many readers: three ways to three Traefiks, and what followers and polls cost."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import selectors
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

from benchmarks import table
from benchmarks.data import make_sample
from benchmarks.followers import wait
from benchmarks.former import NoFormerBuild, check_out
from benchmarks.measure import Spread
from benchmarks.memory import NO_PROC
from benchmarks.scale import Scale
from benchmarks.source import Source
from benchmarks.stores import TRAEFIKS
from local import until
from support.backends import http_backend
from support.commands import Watch
from support.endpoints import chunk, snapshot
from support.http_traefik import HttpTraefik
from support.hubs import Hub
from support.progress import LINE
from support.stores import Server, StoreTraefik, StoreWatch
from support.traefik import Answer, Traefik

_LIVE = Answer(200, "live")
_NAP = 0.02
"""Seconds between two requests to a Traefik, which take the processors from what is measured."""

_APART = ["env"]
"""Starts a process that shares no memory with a fork server."""

POLLERS = 20
REST = 10.0
"""Seconds in which the processor's time is measured."""


class Way(NamedTuple):
    """A source, and the Traefiks that its policies reach in one way."""

    source: Source
    traefiks: list[Traefik]
    port: int

    def seconds(self, hosts: dict[str, str], live: str, limit: float) -> float | None:
        """Send hosts; return the seconds from the event's first byte to a route live on all."""
        self.source.send(chunk(snapshot(dict(hosts))))
        return wait(lambda: self._is_live(live), limit, lambda: self.source.began, nap=_NAP)

    def _is_live(self, live: str) -> bool:
        return all(traefik.get("web", live) == _LIVE for traefik in self.traefiks)


def _running(code: Path | None) -> dict[str, str]:
    """Return the environment in which the command is another build's."""
    return {"PYTHONPATH": str(code)} if code else {}


@contextmanager
def by_http(folder: Path, query: str = "") -> Iterator[Way]:
    """Have Traefiks poll a hub each second, or wait for its answer."""
    with ExitStack() as stack:
        port = stack.enter_context(http_backend(_LIVE.body))
        source = stack.enter_context(Source())
        hub = stack.enter_context(Hub(source.url, folder / "dynamic.yml", launcher=_APART))
        url = hub.url(f"/traefik.json{query}")
        traefiks: list[Traefik] = [
            stack.enter_context(HttpTraefik(each, url, interval="1s", throttle="250ms"))
            for each in _folders(folder)
        ]
        hub.until_logged("connected to")
        yield Way(source, traefiks, port)


@contextmanager
def by_file(folder: Path, code: Path | None = None) -> Iterator[Way]:
    """Have Traefiks read one file, of this build or of another's code."""
    with ExitStack() as stack:
        port = stack.enter_context(http_backend(_LIVE.body))
        source = stack.enter_context(Source())
        file = folder / "dynamic.yml"
        file.write_text("{}\n")
        watch = stack.enter_context(
            Watch(source.url, file, launcher=_APART, environment=_running(code))
        )
        traefiks: list[Traefik] = [
            stack.enter_context(Traefik(each, file)) for each in _folders(folder)
        ]
        watch.until_logged("connected to")
        yield Way(source, traefiks, port)


@contextmanager
def by_store(folder: Path, code: Path | None = None) -> Iterator[Way]:
    """Have Traefiks read a store, written by this build or by another's code."""
    with ExitStack() as stack:
        port = stack.enter_context(http_backend(_LIVE.body))
        server = stack.enter_context(Server(folder))
        source = stack.enter_context(Source())
        traefiks: list[Traefik] = [
            stack.enter_context(StoreTraefik(each, server)) for each in _folders(folder)
        ]
        server.run("CONFIG", "SET", "notify-keyspace-events", "Kh")
        watch = StoreWatch(
            source.url,
            server.url,
            folder / "watch",
            launcher=_APART,
            environment=_running(code),
        )
        stack.enter_context(watch).until_logged("connected to")
        yield Way(source, traefiks, port)


class Round(NamedTuple):
    """Seconds until routes are live on all Traefiks; ``None`` beyond the limit."""

    first: float | None
    """Of all routes, where there were none."""
    changed: float | None
    """Of another version of all of them."""
    more: float | None
    """Of one route more."""


def show_hub(scale: Scale, folder: Path) -> None:
    """Measure the ways to three Traefiks and what readers cost, and print two tables."""
    _show_ways(scale, folder)
    _show_readers(scale, folder)


def _ways(folder: Path) -> dict[str, Callable[[Path], AbstractContextManager[Way]]]:
    """Return this build's ways, and the former build's beside them."""
    ways: dict[str, Callable[[Path], AbstractContextManager[Way]]] = {
        "HTTP provider, poll 1 s, wait 0.9 s": partial(by_http, query="?wait=900ms"),
        "HTTP provider, poll 1 s": by_http,
        "one file": by_file,
        "Redis": by_store,
    }
    try:
        check_out(folder / "former")
    except NoFormerBuild as why:
        LINE.clear()
        print(f"Without the former build: {why}.")
    else:
        ways["one file, former build"] = partial(by_file, code=folder / "former")
        ways["Redis, former build"] = partial(by_store, code=folder / "former")
    if shutil.which("redis-server"):
        return ways
    return {name: way for name, way in ways.items() if not name.startswith("Redis")}


def _show_ways(scale: Scale, folder: Path) -> None:
    times: dict[str, list[Round]] = {}
    for number, (name, open_way) in enumerate(_ways(folder).items()):
        times[name] = []
        for each in range(scale.repeat):
            place = folder / f"way-{number}-{each}"
            place.mkdir()
            with open_way(place) as way:
                times[name].append(_round(way, scale))
    mine = next(iter(times.values()))
    rows = [[name, *_cells(mine, others, scale.limit)] for name, others in times.items()]
    head = (
        "milliseconds",
        *chain(*((each, "ratio") for each in ("first", "all changed", "one more"))),
    )
    notes = f"{scale.hosts:,} hosts, three Traefiks, throttle 250 ms; medians of {scale.repeat}."
    ratio = "The ratio is that of the first way to this one."
    budgets = "Budgets against the former build: one file 0.9; Redis 0.42, one more 0.4."
    table.show(
        "Hub",
        head,
        rows,
        f"From the event's first byte to the route on all. {notes} {ratio} {budgets}",
    )


def _cells(mine: list[Round], others: list[Round], limit: float) -> Iterator[str]:
    """Yield a way's medians, each with the ratio of the first way's to it."""
    for first, times in zip(zip(*mine, strict=True), zip(*others, strict=True), strict=True):
        yield _cell(times, limit)
        yield table.number(_middle(first, limit) / _middle(times, limit))


def _round(way: Way, scale: Scale) -> Round:
    """Measure all routes where there were none, another version of them, and one route more."""
    samples = [make_sample(scale.hosts, version, way.port) for version in (1, 2)]
    first, changed = (way.seconds(each.hosts, each.live, scale.limit) for each in samples)
    live = "zz-more.example.com"
    hosts = samples[-1].hosts | {f"_web_http_{way.port}._tcp.{live}": "127.0.0.1"}
    return Round(first, changed, way.seconds(hosts, live, scale.limit))


def _folders(folder: Path) -> Iterator[Path]:
    for number in range(TRAEFIKS):
        place = folder / f"t{number}"
        place.mkdir()
        yield place


def _middle(times: Sequence[float | None], limit: float) -> float:
    return median(limit if each is None else each for each in times)


def _cell(times: Sequence[float | None], limit: float) -> str:
    sign = "> " if None in times else ""
    return f"{sign}{table.milliseconds(_middle(times, limit))}"


def _show_readers(scale: Scale, folder: Path) -> None:
    """Measure followers of one hub, and Traefiks that poll it."""
    rows = []
    for size in dict.fromkeys((min(1000, scale.hosts), scale.hosts)):
        place = folder / f"readers-{size}"
        place.mkdir()
        rows += [[name.format(size), *cells] for name, *cells in _readers(size, scale, place)]
    head = ("readers of one hub", "measured", "at most")
    notes = f"{scale.followers} followers; {POLLERS} clients that take the document in gzip."
    table.show("Readers", head, rows, notes)


def _readers(size: int, scale: Scale, folder: Path) -> Iterator[tuple[str, str, str]]:
    with Source() as source, Hub(source.url, folder / "x.yml", launcher=_APART) as hub:
        source.send(make_sample(size, 1).chunk)
        until(lambda: hub.get("/traefik.json").status == 200, "no document")
        alone = _Process(hub.process.pid)
        for version in (2, 3):  # what rendering takes is not the followers' memory
            _change(source, hub, size, version)
        before = alone.memory()
        yield (
            "CPU at rest without followers, % of a core, {:,} hosts",
            alone.load(_rest(scale)),
            "2",
        )
        with Crowd(hub.port, scale.followers) as crowd:
            crowd.until_all_have(b"id: 1\n\n", scale.limit)
            load = alone.load(_rest(scale))
            yield "CPU at rest with followers, % of a core, {:,} hosts", load, "2"
            spreads = []
            for version in range(4, 4 + scale.repeat):
                source.send(make_sample(size, version).chunk)
                times = crowd.until_all_have(b"id: %d\n\n" % (version - 2), scale.limit)
                spreads.append(max(times) - min(times))
            shown = table.spread(Spread.of(each * 1000 for each in spreads))
            yield "change to the last follower after the first, ms, {:,} hosts", shown, "500"
            more = table.megabytes(alone.memory() - before)
            yield "memory for the followers, MB, {:,} hosts", more, "60"
        load = alone.load(_rest(scale), lambda: _poll(hub.port, _rest(scale)))
        yield f"CPU for {POLLERS} polls a second, % of a core, {{:,}} hosts", load, "15"


def _rest(scale: Scale) -> float:
    return REST if scale.judged else 1.0


def _change(source: Source, hub: Hub, size: int, version: int) -> None:
    sample = make_sample(size, version)
    source.send(sample.chunk)
    until(lambda: sample.service in hub.get("/traefik.json").text, "no new document")


class _Process:
    """What Linux shows of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def memory(self) -> float:
        """Return the bytes of memory that are its own."""
        if NO_PROC:
            return 0.0
        found = re.search(
            r"^VmRSS:\s+(\d+) kB$", (self._folder / "status").read_text(), re.MULTILINE
        )
        assert found
        return int(found[1]) * 1024

    def load(self, seconds: float, act: Callable[[], object] | None = None) -> str:
        """Return how much of a core it takes meanwhile, in percent."""
        if NO_PROC:
            return "-"
        before, began = self._ticks(), time.perf_counter()
        if act:
            act()
        else:
            time.sleep(seconds)
        taken = (self._ticks() - before) / os.sysconf("SC_CLK_TCK")
        return table.number(100 * taken / (time.perf_counter() - began))

    def _ticks(self) -> int:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


class Crowd:
    """Followers of a relay, all in this thread; a context manager that ends them."""

    def __init__(self, port: int, number: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(b"GET /api/config HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.setblocking(False)
            self._tails[connection] = b""
            self._selector.register(connection, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._tails:
            connection.close()
        self._selector.close()

    def until_all_have(self, end: bytes, limit: float) -> list[float]:
        """Read until each has got some bytes; return when each did."""
        waiting, times = set(self._tails), []
        deadline = time.perf_counter() + limit
        while waiting and time.perf_counter() < deadline:
            for key, _ in self._selector.select(1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                tail = self._tails[connection][-len(end) - 2 :] + connection.recv(1 << 20)
                self._tails[connection] = tail[-64:]
                if end in tail and connection in waiting:
                    waiting.discard(connection)
                    times.append(time.perf_counter())
        assert not waiting, f"{len(waiting)} followers have not got {end!r}"
        return times


def _poll(port: int, seconds: float) -> None:
    """Take the document as so many Traefiks do, each once a second on a connection that stays."""
    clients = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(POLLERS)]
    began = time.perf_counter()
    for step in range(int(seconds) * POLLERS):
        time.sleep(max(0.0, began + step / POLLERS - time.perf_counter()))
        client = clients[step % POLLERS]
        client.request("GET", "/traefik.json", headers={"Accept-Encoding": "gzip"})
        body = client.getresponse().read()
        assert step or gzip.decompress(body)
    for client in clients:
        client.close()
