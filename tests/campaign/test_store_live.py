"""A store, three real Traefiks and two watches: whatever dies, no request for a route fails."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from campaign.live_stage import CONSTANT, LIVE, Client
from local import until
from support.backends import http_backend
from support.campaigns import FULL, rounds
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.stores import Server, StoreTraefik, StoreWatch, needs_redis

pytestmark = [needs_redis, pytest.mark.timeout(900)]

CHANGES = rounds(15, 300)
TRAEFIKS = 3
FILLING = 200


class Stage:
    """All of it on free ports of 127.0.0.1; a context manager that ends it."""

    def __init__(self, folder: Path, notify: str) -> None:
        self.folder = folder
        self.server = Server(folder, notify=notify)
        self._notify = notify
        number = FILLING if notify == "Kh" else FILLING // 10
        self._fillers = [f"fill-{each}.example.com" for each in range(number)]
        self._stack = ExitStack()
        self._version = 0

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        self.port = enter(http_backend(LIVE.body))
        enter(self.server)
        self.feeds = [enter(Feed()) for _ in range(2)]
        self.watches = [
            enter(StoreWatch(enter(ScriptedEndpoint(feed)).url, self.server.url, folder))
            for feed, folder in zip(self.feeds, (self.folder / "a", self.folder / "b"), strict=True)
        ]
        for watch in self.watches:
            watch.until_logged("connected to")
        self.traefiks = [
            enter(StoreTraefik(self.folder / f"traefik-{number}", self.server))
            for number in range(TRAEFIKS)
        ]
        self.server.run("CONFIG", "SET", "notify-keyspace-events", self._notify)
        self.publish()
        self.until_live()
        self.clients = [enter(Client(traefik)) for traefik in self.traefiks]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def newest(self) -> str:
        """The domain that is only in the newest version."""
        return f"v{self._version}.example.com"

    def next_hosts(self) -> dict[str, object]:
        """Return the hosts of the next version: the constant route, a new one, and many others."""
        self._version += 1
        names = (CONSTANT, self.newest, *random.sample(self._fillers, len(self._fillers) * 3 // 4))
        return {f"_web_http_{self.port}._tcp.{name}": "127.0.0.1" for name in names}

    def publish(self, *to: int) -> dict[str, object]:
        """Let some watches, or both, hear of a new version."""
        hosts = self.next_hosts()
        for number in to or (0, 1):
            self.feeds[number].send(snapshot(hosts))
        return hosts

    def until_live(self) -> None:
        """Wait until every Traefik serves the newest version's route."""
        for traefik in self.traefiks:
            until(partial(self._serves, traefik), f"no {self.newest}", 30)

    def _serves(self, traefik: StoreTraefik) -> bool:
        return traefik.get("web", self.newest) == LIVE

    def until_read(self) -> None:
        """Wait until no Traefik reads the store: none lists its keys for a while."""
        seen = [-1] * 20
        until(lambda: self._stands_still(seen), "it is read all the time", 60)

    def _stands_still(self, seen: list[int]) -> bool:
        with self.server.client() as client:
            seen.append(client.info("commandstats")["cmdstat_scan"]["calls"])
        return len(set(seen[-20:])) == 1

    def unharmed(self) -> None:
        """See that no request failed, now that some more were sent."""
        for client in self.clients:
            until(partial(has_polled, client, client.polls + 20), "the client stands still", 30)
            assert client.failures == []


def has_polled(client: Client, times: int) -> bool:
    """Tell whether a client has sent so many requests."""
    return client.polls >= times


def serves_nothing(traefik: StoreTraefik) -> bool:
    """Tell whether a Traefik has no router from the store."""
    return not traefik.routers()


@pytest.fixture(params=["Kh", "KEA"] if FULL else ["Kh"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Set the stage; Traefik hears of the hash alone, or of every key as it would have it."""
    with Stage(tmp_path, request.param) as stage:
        yield stage


def test_routes_are_live_on_all_through_many_changes(stage: Stage) -> None:
    """A quarter of all routes goes and comes each time, and none that stays ever fails."""
    for _ in range(CHANGES):
        stage.publish()
        if random.random() < 0.3:
            stage.until_live()
    stage.until_live()
    stage.unharmed()
    assert sum(watch.log.count(" ERROR ") for watch in stage.watches) == 0


def test_killed_watch_changes_nothing(stage: Stage) -> None:
    """The other goes on alone, and a third that starts agrees with it."""
    first, second = stage.watches
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    stage.publish(1)
    stage.until_live()
    before = stage.server.writes()
    with first:
        first.until_logged("connected to")
        stage.feeds[0].close()
        stage.publish()
        stage.until_live()
    assert second.process.poll() is None
    assert stage.server.writes() > before
    stage.unharmed()


def test_watch_that_lags_behind_takes_nothing_back(stage: Stage) -> None:
    """Snapshots in another order leave the newest standing on all."""
    older = stage.publish()
    stage.until_live()
    stage.publish(0)
    stage.until_live()
    before = stage.server.writes()
    for _ in range(2):
        stage.feeds[1].send(snapshot(older))
    stage.unharmed()
    stage.until_live()
    assert stage.server.writes() == before


def test_killed_redis_leaves_all_serving_and_comes_back_empty(stage: Stage) -> None:
    """While it is gone and when it has lost all, routes stay; then changes arrive again."""
    for _ in range(rounds(1, 2)):
        stage.server.kill()
        stage.publish()
        for watch in stage.watches:
            watch.until_logged("connection refused; trying again")
        stage.unharmed()
        stage.server.start()
        stage.unharmed()
        stage.publish()
        stage.until_live()
        stage.unharmed()


def test_flushed_store_is_filled_without_a_failure(stage: Stage) -> None:
    """Emptied while Traefik does not read, it costs no route, and the same snapshot brings all."""
    hosts = stage.publish()
    stage.until_live()
    for _ in range(rounds(2, 5)):
        stage.until_read()
        stage.server.run("FLUSHALL")
        stage.unharmed()
        for feed in stage.feeds:
            feed.send(snapshot(hosts))
        until(lambda: len(stage.server.routes()) == len(hosts), "it is not filled", 30)
    stage.publish()
    stage.until_live()
    stage.unharmed()


def test_stalled_redis_costs_nothing_but_time(stage: Stage) -> None:
    """A Redis that hangs and goes on again, as on a machine that swaps, loses nothing."""
    os.kill(stage.server.process.pid, signal.SIGSTOP)
    stage.publish()
    for watch in stage.watches:
        watch.until_logged("it does not answer within 3 s")
    stage.unharmed()
    os.kill(stage.server.process.pid, signal.SIGCONT)
    stage.publish()
    stage.until_live()
    stage.unharmed()


def test_last_route_goes_on_all(stage: Stage) -> None:
    """No hosts is no routes, in every Traefik, though most KV providers would keep the last."""
    stage.unharmed()
    for client in stage.clients:
        client.__exit__()
    for _ in range(2):  # the guard asks twice
        for feed in stage.feeds:
            feed.send(snapshot({}))
    for traefik in stage.traefiks:
        until(partial(serves_nothing, traefik), "routes are left", 30)
    stage.publish()
    stage.until_live()
