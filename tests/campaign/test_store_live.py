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
from support.progress import counted
from support.stores import HASH, LEASE, Server, StoreTraefik, StoreWatch, needs_redis

pytestmark = [needs_redis, pytest.mark.timeout(900)]

CHANGES = rounds(15, 300)
TRAEFIKS = 3
LEASE_SECONDS = 60  # longer than anything here takes, however busy the machine is
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
        self.enter = self._stack.enter_context
        self._version = 0

    def __enter__(self) -> Self:
        enter = self.enter
        self.port = enter(http_backend(LIVE.body))
        enter(self.server)
        self.feeds = [enter(Feed()) for _ in range(2)]
        self.watches = [enter(self.make_watch(number)) for number in range(2)]
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

    def make_watch(self, number: int) -> StoreWatch:
        """Make one of the watches, with an endpoint of its own that has its feed."""
        endpoint = self.enter(ScriptedEndpoint(self.feeds[number]))
        folder = self.folder / "ab"[number]
        lease = ("--store-lease", str(LEASE_SECONDS))
        return StoreWatch(endpoint.url, self.server.url, folder, *lease)

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
        """Let some watches, or both, receive a new version."""
        hosts = self.next_hosts()
        for number in to or (0, 1):
            self.feeds[number].send(snapshot(hosts))
        return hosts

    def writer(self) -> int:
        """Return which watch holds the lease, once one does."""
        return until(self.holders, "no watch holds the lease")[0]

    def holders(self) -> list[int]:
        """Return which watch holds the lease now, if any does."""
        lease = self.server.run("GET", LEASE) or ""
        return [n for n, each in enumerate(self.watches) if f" pid {each.process.pid} on " in lease]

    def until_taken_over(self, by: int, hosts: dict[str, object]) -> None:
        """Let the lease run out in a second, and send a watch a snapshot until its routes stand."""
        self.server.run("EXPIRE", LEASE, 1)

        def stands() -> bool:
            self.feeds[by].send(snapshot(hosts))
            return len(self.server.routes()) == len(hosts) and self.holders() == [by]

        until(stands, "the other watch does not take over")
        self.until_live()

    def until_live(self) -> None:
        """Wait until every Traefik serves the newest version's route."""
        for traefik in self.traefiks:
            until(partial(self._serves, traefik), f"no {self.newest}")

    def _serves(self, traefik: StoreTraefik) -> bool:
        return traefik.get("web", self.newest) == LIVE

    def until_read(self) -> None:
        """Wait until no Traefik reads the store: none lists its keys for a while."""
        seen = [-1] * 50
        until(lambda: self._stands_still(seen), "it is read all the time")

    def _stands_still(self, seen: list[int]) -> bool:
        with self.server.client() as client:
            seen.append(client.info("commandstats")["cmdstat_scan"]["calls"])
        return len(set(seen[-50:])) == 1

    def unharmed(self) -> None:
        """See that no request failed, now that some more were sent."""
        for client in self.clients:
            until(partial(has_polled, client, client.polls + 20), "the client stands still")
            assert client.failures == []


def has_polled(client: Client, times: int) -> bool:
    """Return whether a client has sent so many requests."""
    return client.polls >= times


def has_routes(stage: Stage, number: int) -> bool:
    """Return whether so many routes stand in the store."""
    return len(stage.server.routes()) == number


def serves_nothing(traefik: StoreTraefik) -> bool:
    """Return whether a Traefik has no router from the store."""
    return not traefik.routers()


@pytest.fixture(params=["Kh", "KEA"] if FULL else ["Kh"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Set the stage; Traefik is notified of the hash alone, or of every key as it would have it."""
    with Stage(tmp_path, request.param) as stage:
        yield stage


def test_routes_are_live_on_all_through_many_changes(stage: Stage) -> None:
    """A quarter of all routes goes and comes each time, and none that stays ever fails."""
    for _ in counted(range(CHANGES)):
        stage.publish()
        if random.random() < 0.3:
            stage.until_live()
    stage.until_live()
    stage.unharmed()
    assert sum(watch.log.count(" ERROR ") for watch in stage.watches) == 0


def test_killed_writer_is_replaced_by_the_other_watch(stage: Stage) -> None:
    """It takes over once the lease has run out, and the one that starts again stands by."""
    for _ in counted(range(rounds(2, 10))):
        number = stage.writer()
        writer, other = stage.watches[number], stage.watches[1 - number]
        os.kill(writer.process.pid, signal.SIGKILL)
        writer.process.wait()
        stage.until_taken_over(1 - number, stage.publish(1 - number))
        stage.feeds[number].close()
        stage.feeds[number] = stage.enter(Feed())
        stage.watches[number] = stage.enter(stage.make_watch(number))
        stage.publish()
        stage.until_live()
        assert other.process.poll() is None
        assert stage.writer() == 1 - number
    stage.unharmed()


def test_stopped_writer_is_replaced_at_once(stage: Stage) -> None:
    """It frees the lease, so that the other writes its next snapshot without waiting."""
    number = stage.writer()
    assert stage.watches[number].stop() == 0
    stage.publish(1 - number)
    stage.until_live()
    assert stage.writer() == 1 - number
    stage.unharmed()


def test_hanging_writer_is_replaced_and_takes_nothing_back(stage: Stage) -> None:
    """When it goes on, it finds another watch with the lease, and its old snapshot waits."""
    for _ in counted(range(rounds(1, 5))):
        number = stage.writer()
        process = stage.watches[number].process
        os.kill(process.pid, signal.SIGSTOP)
        try:
            older = stage.next_hosts()
            stage.feeds[number].send(snapshot(older))
            stage.until_taken_over(1 - number, stage.publish(1 - number))
        finally:
            os.kill(process.pid, signal.SIGCONT)
        stage.watches[number].until_logged("standing by")
        stage.until_live()
        assert stage.writer() == 1 - number
    stage.unharmed()


def test_watch_that_lags_behind_takes_nothing_back(stage: Stage) -> None:
    """Old snapshots of the one that stands by leave the newest standing on all."""
    older = stage.publish()
    stage.until_live()
    writer = stage.writer()
    stage.publish(writer)
    stage.until_live()
    before = stage.server.run("HGETALL", HASH)
    for _ in range(2):
        stage.feeds[1 - writer].send(snapshot(older))
    stage.unharmed()
    stage.until_live()
    assert stage.server.run("HGETALL", HASH) == before


def test_killed_redis_leaves_all_serving_and_comes_back_empty(stage: Stage) -> None:
    """While it is gone and when it has lost all, routes stay; then changes arrive again."""
    for _ in counted(range(rounds(1, 2))):
        stage.server.kill()
        stage.publish()
        for watch in stage.watches:
            watch.until_logged("connection refused; .*; trying again")
        stage.unharmed()
        stage.server.start()
        stage.unharmed()
        stage.publish()
        stage.until_live()
        stage.unharmed()


def test_flushed_store_is_filled_without_a_failure(stage: Stage) -> None:
    """Emptied while Traefik does not read, it costs no route, and the same snapshot brings all."""
    for _ in counted(range(rounds(2, 5))):
        hosts = stage.publish()
        stage.until_live()
        stage.until_read()
        stage.server.run("FLUSHALL")
        stage.unharmed()
        for feed in stage.feeds:
            feed.send(snapshot(hosts))
        until(partial(has_routes, stage, len(hosts)), "it is not filled")
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
        until(partial(serves_nothing, traefik), "routes are left")
    stage.publish()
    stage.until_live()
