"""The writer lease, with a real Redis: one watch writes, the others stand by and take over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest
from local import until
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.stores import HASH, LEASE, Server, StoreWatch, keys_of, needs_redis

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.status.health import judge
from ctsdns_traefik.core.status.status import Role, Status
from ctsdns_traefik.core.status.status_json import status_to_text
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.loop import Watch
from ctsdns_traefik.daemon.reconciler import PERSISTENT, Reconciler
from ctsdns_traefik.daemon.standby import PAUSE, StandbyTimer
from ctsdns_traefik.errors import OutputError, Standby
from ctsdns_traefik.output.base import Outcome
from ctsdns_traefik.output.hooks import Check
from ctsdns_traefik.output.redis.connection import Connection
from ctsdns_traefik.output.redis.lease import Lease
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from
from ctsdns_traefik.settings import READ_TIMEOUT, STORE_LEASE

pytestmark = needs_redis


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one Redis for all tests here."""
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Server:
    """Return the Redis, empty."""
    running_server.run("FLUSHALL")
    return running_server


class Member:
    """One of several watches, without its connection: what it does with a snapshot."""

    def __init__(self, server: Server, check: Check | None = None, **options: Any) -> None:
        self.now = 1000.0
        self.output = RedisOutput(address_from(server.url), check)
        status = Status(output="the store", started=self.now)
        self.publisher = EventPublisher(status, clock=lambda: self.now)
        self.reconciler = Reconciler(self.output, publisher=self.publisher, **options)
        self.timer = StandbyTimer(self.reconciler, self.publisher, 75, lambda: self.now)
        source: Any = SimpleNamespace(confirm=lambda: None)
        signals: Any = SimpleNamespace(check=lambda: None)  # no stop comes
        self.loop = Watch(source, self.reconciler, signals, delay=1, publisher=self.publisher)
        self.reconciler.prepare()

    def take(self, names: str) -> Status:
        """Take a snapshot; return the status after it."""
        self.now += 30
        self.loop._reconcile(hosts(names))
        return self.status

    @property
    def status(self) -> Status:
        """Return what is known."""
        return self.publisher.status

    @property
    def role(self) -> Role | None:
        """Return whether it writes or stands by."""
        return self.status.lease and self.status.lease.role

    def stop(self) -> None:
        """Free the lease, as the end of watch does."""
        with self.output.claim():
            pass

    def health(self) -> str:
        """Return what --health prints."""
        return judge(status_to_text(self.status, self.now).encode(), self.now, 120).why


def names(server: Server) -> str:
    """Return the letters of the routes that stand."""
    return "".join(sorted(each.split("-")[1] for each in server.routes()))


def content_of(names: str) -> bytes:
    """Return a document of a route a letter."""
    return render(hosts(names)).text.encode()


def test_one_watch_writes_and_the_other_stands_by(server: Server) -> None:
    """The second changes nothing, whatever its snapshots say and however often."""
    first, second = Member(server), Member(server)
    first.take("ab")
    before, mark = server.keys(), server.run("HGETALL", HASH)
    for step in ("ab", "abc", "", "c", "c"):
        second.take(step)
    assert (server.keys(), server.run("HGETALL", HASH)) == (before, mark)
    assert (first.role, second.role) == (Role.WRITER, Role.STANDBY)
    first.take("abc")
    assert names(server) == "abc"


def test_lease_says_who_holds_it_and_runs_out(server: Server) -> None:
    """The key holds a token, the process and its host, and has the lease's length to live."""
    began = time.monotonic()
    Member(server).take("a")
    token, _, holder = server.run("GET", LEASE).partition(" ")
    assert len(token) == 32
    assert holder == f"pid {os.getpid()} on {os.uname().nodename}"
    left = server.run("PTTL", LEASE)
    assert 75_000 - 1000 * (time.monotonic() - began) <= left + 1 <= 75_001


def test_lease_outlives_two_lost_snapshots_and_no_silent_stream() -> None:
    """Two intervals of the worker fit in, and it ends before the read timeout does."""
    assert 2 * 30 < STORE_LEASE.default < READ_TIMEOUT.default


def test_values_are_those_of_the_documents() -> None:
    """What docs/scaling.md and docs/cli.md say in numbers."""
    assert (STORE_LEASE.default, PAUSE, PERSISTENT) == (75, 5, 3)


def test_traefik_is_not_notified_of_the_lease(server: Server) -> None:
    """What Traefik subscribes to does not match its key, whatever kinds are notified."""
    server.run("CONFIG", "SET", "notify-keyspace-events", "KEA")
    watch = Member(server)
    watch.take("a")
    with server.client() as client, client.pubsub() as subscription:
        subscription.psubscribe("__keyspace*:traefik*")
        assert subscription.get_message(timeout=30)["type"] == "psubscribe"
        watch.take("a")
        assert server.run("PUBLISH", "__keyspace@0__:traefik-end", "end") == 1
        message = subscription.get_message(timeout=30)
    server.run("CONFIG", "SET", "notify-keyspace-events", "Kh")
    assert message["data"] == "end"


def test_watch_takes_over_at_its_next_snapshot_when_the_writer_stops(server: Server) -> None:
    """A stop lets go of the lease; the one that stopped does not take what another then has."""
    first, second = Member(server), Member(server)
    first.take("ab")
    second.take("ab")
    first.stop()
    assert server.run("EXISTS", LEASE) == 0
    second.take("abc")
    assert (names(server), second.role) == ("abc", Role.WRITER)
    held = server.run("GET", LEASE)
    first.stop()
    assert server.run("GET", LEASE) == held


def test_end_of_a_run_waits_for_a_slow_store(server: Server) -> None:
    """Only a stop is in a hurry: a lease that stays would keep the next run out for a minute."""
    pid = server.process.pid
    target = RedisOutput(address_from(server.url))
    with target.claim():
        target.write(content_of("a"))
        os.kill(pid, signal.SIGSTOP)
        Timer(1.0, os.kill, (pid, signal.SIGCONT)).start()
    assert server.run("EXISTS", LEASE) == 0


def test_former_holder_stands_by_when_it_wakes_up(server: Server) -> None:
    """Of a lease that ran out while its holder hung nothing is left to it."""
    first, second = Member(server), Member(server)
    first.take("a")
    server.run("DEL", LEASE)  # as if it had run out
    second.take("ab")
    first.take("a")
    assert (names(server), first.role, second.role) == ("ab", Role.STANDBY, Role.WRITER)


@pytest.mark.parametrize("stage", ["replace", "stage", "renew"])
def test_write_of_a_former_holder_does_not_go_through(
    server: Server, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Another takes the lease between this one's reading and its commit: nothing is written."""
    access = read_access("routes: {'*.example.com': {access: tailscale-only}}")
    first, second = RedisOutput(address_from(server.url)), RedisOutput(address_from(server.url))
    first.write(content_of("a"))
    original, raced = getattr(Connection, stage), iter([True])

    def overtaken(*arguments: Any) -> None:
        if next(raced, False):
            server.run("DEL", LEASE)
            second.read()
            second.write(content_of("a"))  # changes the lease, and no key beside it
        original(*arguments)

    monkeypatch.setattr(Connection, stage, overtaken)
    content = {
        "replace": content_of("ab"),
        "stage": render(hosts("ab"), access=access).text.encode(),
        "renew": content_of("a"),
    }
    with pytest.raises(Standby, match=r"pid \d+ on .* holds the writer lease"):
        first.write(content[stage])
    assert server.keys() == keys_of(hosts("a"))
    assert server.run("GET", LEASE) == str(second._lease)


def test_rule_is_not_written_once_another_watch_has_the_lease(server: Server) -> None:
    """Nor is the lease taken back, though the other has written nothing during the pause."""
    access = read_access("routes: {'*.example.com': {access: tailscale-only}}")
    second = RedisOutput(address_from(server.url))

    def meanwhile(_: float) -> None:
        server.run("DEL", LEASE)  # as if the pause had been longer than the lease
        second.read()
        second.write(content_of("a"))

    first = RedisOutput(address_from(server.url), sleep=meanwhile)
    first.write(content_of("a"))
    with pytest.raises(Standby):
        first.write(render(hosts("ab"), access=access).text.encode())
    assert server.keys("traefik/http/routers/router-b*/rule") == {}
    assert server.run("GET", LEASE) == str(second._lease)


def test_lease_that_expires_before_the_commit_costs_another_attempt(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was free by then: the write is decided anew, and takes it again."""
    target = RedisOutput(address_from(server.url))
    target.write(content_of("a"))
    original, attempts = Connection.replace, []

    def late(*arguments: Any) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            server.run("PEXPIRE", LEASE, 1)
            until(lambda: not server.run("EXISTS", LEASE), "it does not expire")
        original(*arguments)

    monkeypatch.setattr(Connection, "replace", late)
    assert target.write(content_of("ab")).outcome is Outcome.REPLACED
    assert (len(attempts), names(server)) == (2, "ab")


def test_watch_that_cannot_write_does_not_hold_the_lease(server: Server) -> None:
    """One whose check command refuses leaves it to another, whose own may agree."""
    refusing = Member(server, Check(("false",)))
    refusing.take("a")
    assert server.run("EXISTS", LEASE) == 0
    other = Member(server)
    other.take("a")
    assert names(server) == "a"


@pytest.mark.parametrize("value", ["x", "", " ", "a b\x1b[31m\nc", "x" * 10_000])
def test_lease_of_any_text_is_somebody_elses(server: Server, value: str) -> None:
    """What another program put there is not overwritten, and shown in one line."""
    server.run("SET", LEASE, value)
    with pytest.raises(Standby) as caught:
        RedisOutput(address_from(server.url)).write(b"{}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert server.run("GET", LEASE) == value


def test_lease_as_text_is_read_back() -> None:
    """Token and holder come back as they were."""
    lease = Lease.of_this_process()
    assert Lease.from_text(str(lease)) == lease
    assert Lease.of_this_process() != lease


def test_roles_are_logged_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Standing by is a line, and taking over; the first writer's role is none."""
    caplog.set_level("INFO")
    first, second = Member(server), Member(server)
    first.take("a")
    caplog.clear()
    for _ in range(5):
        second.take("a")
    first.stop()
    for _ in range(2):
        second.take("a")
    holder = first.output._lease.holder
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", f"standing by: {holder} writes to {server.shown}"),
        ("INFO", f"{server.shown}: this watch has taken the writer lease over"),
    ]


def test_standby_is_healthy_and_visible(server: Server) -> None:
    """Status and health name the writer; where the two differ for long, health says so."""
    first, second = Member(server), Member(server)
    first.take("a")
    status = second.take("a")
    assert (status.last_applied, status.output_error) == (second.now, None)
    holder = first.output._lease.holder
    assert second.health() == (
        "healthy: starting, the last snapshot is 0 s old; standing by: " + holder + " writes"
    )
    applied = second.now
    for _ in range(5):
        status = second.take("b")
    assert status.last_applied == applied
    assert second.health().endswith(
        "standing by: " + holder + " writes, something else than the last snapshot"
    )
    first.stop()
    assert second.take("b").last_applied == second.now
    assert second.health() == "healthy: starting, the last snapshot is 0 s old"


def test_standby_without_snapshots_is_not_healthy(server: Server) -> None:
    """It stands by for nothing if it would have nothing to write."""
    first, second = Member(server), Member(server)
    first.take("a")
    second.take("a")
    second.now += 121
    assert second.health().startswith("unhealthy: the last trusted snapshot is 121 s old")


def test_watches_that_differ_for_long_are_warned_of_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Two policies, access files or versions; a watch that is a snapshot late is not meant."""
    first, second = Member(server), Member(server)
    first.take("a")
    for step in "ba" * PERSISTENT:
        second.take(step)
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    for _ in range(2 * PERSISTENT):
        status = second.take("b")
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "do both follow the same endpoint" in warning.getMessage()
    assert status.last_error
    assert status.last_error.event == "disagreement"


def test_standby_takes_over_between_snapshots(server: Server) -> None:
    """Its last snapshot is written once the lease is free, and the hook runs; not before."""
    ran: list[int] = []
    first, second = Member(server), Member(server, on_change=lambda: ran.append(1))
    first.take("a")
    second.take("ab")
    second.timer.step()
    assert (names(server), ran) == ("a", [])
    first.stop()
    second.timer.step()
    assert (names(server), ran, second.role) == ("ab", [1], Role.WRITER)
    assert second.status.last_applied == second.now
    server.run("DEL", LEASE)
    second.timer.step()
    assert server.run("EXISTS", LEASE) == 0  # the writer renews it at its snapshots alone


@pytest.mark.parametrize(("age", "expected"), [(75, "b"), (76, "a")])
def test_standby_whose_own_source_is_silent_does_not_take_over(
    server: Server, age: int, expected: str
) -> None:
    """It would lose the lease if it had it, so its old snapshot is not written."""
    first, second = Member(server), Member(server)
    first.take("a")
    second.take("b")
    first.stop()
    second.now += age
    second.timer.step()
    assert names(server) == expected


def test_take_over_that_fails_waits_for_the_next_snapshot(server: Server, tmp_path: Path) -> None:
    """A check command that refuses is run once, not every few seconds."""
    ran = tmp_path / "ran"
    check = Check(("sh", "-c", f"echo >>{ran}; false"))
    first, second = Member(server), Member(server, check)
    first.take("a")
    second.take("b")
    first.stop()
    for _ in range(3):
        second.timer.step()
    assert ran.read_text() == "\n"
    assert second.status.output_error
    assert second.status.output_error.event == "check-refused"


def test_store_that_is_away_is_no_error_of_the_timer(tmp_path: Path) -> None:
    """The next snapshot reports it, and until then the watch goes on standing by."""
    with Server(tmp_path) as other:
        first, second = Member(other), Member(other)
        first.take("a")
        second.take("b")
        other.kill()
        second.timer.step()
        assert second.status.output_error is None
        other.start()
        second.timer.step()
        assert names(other) == "b"


LIMITED = "routes:\n  '*.example.com': {access: tailscale-only}\n"


def test_standby_has_its_access_in_force_if_the_writer_has(server: Server) -> None:
    """The same file on both machines is in force on both, in whichever order it arrives."""
    access = read_access(LIMITED)
    first, second = Member(server), Member(server)
    first.take("ab")
    second.take("ab")
    with pytest.raises(OutputError, match="holds the writer lease"):
        second.reconciler.change_access(access)
    assert not second.reconciler.has_enforced(access)
    assert not any("middlewares/0" in key for key in set(server.keys()))
    first.reconciler.change_access(access)
    second.reconciler.change_access(access)
    assert second.reconciler.has_enforced(access)


def test_standby_with_another_access_file_applies_it_when_it_takes_over(server: Server) -> None:
    """By the timer, too: what stands then has its access."""
    access = read_access(LIMITED)
    first, second = Member(server), Member(server, access=access)
    first.take("ab")
    second.take("ab")
    first.stop()
    second.timer.step()
    assert second.reconciler.has_enforced(access)
    assert server.keys() == {
        f"traefik/{path}": value for path, value in _pairs(render(hosts("ab"), access=access))
    }


def _pairs(rendering: Any) -> Any:
    from ctsdns_traefik.core.dynamic.key_values import to_key_values

    return to_key_values(rendering.document).items()


@pytest.fixture
def pair(
    server: Server, tmp_path: Path
) -> Iterator[tuple[list[StoreWatch], Callable[[str], None]]]:
    """Run two watches, the first of which writes, with a lease that does not run out by itself."""
    with Feed() as one, Feed() as two, ScriptedEndpoint(one) as a, ScriptedEndpoint(two) as b:

        def publish(names: str) -> None:
            for feed in (one, two):
                feed.send(snapshot(hosts(names)))

        options = ("--store-lease", "3600", "--status-file")
        with (
            StoreWatch(a.url, server.url, tmp_path / "a", *options, str(tmp_path / "a.json")) as x,
            StoreWatch(b.url, server.url, tmp_path / "b", *options, str(tmp_path / "b.json")) as y,
        ):
            for each in (x, y):
                each.until_logged("connected to")
            one.send(snapshot(hosts("a")))
            x.until_logged("1 route")
            two.send(snapshot(hosts("a")))
            y.until_logged("standing by")
            yield [x, y], publish


@pytest.mark.parametrize(
    "signum", [pytest.param(signal.SIGTERM, id="stop"), pytest.param(signal.SIGKILL, id="kill")]
)
def test_processes_take_over_when_the_writer_ends(
    server: Server, pair: Any, signum: signal.Signals
) -> None:
    """After a stop and after a crash the other publishes what its last snapshot says."""
    (writer, standby), publish = pair
    if signum == signal.SIGKILL:
        os.kill(writer.process.pid, signal.SIGKILL)
        writer.process.wait()
    else:
        assert writer.stop() == 0
        assert f" pid {writer.process.pid} on " not in (server.run("GET", LEASE) or "")
    server.run("PEXPIRE", LEASE, 1)
    publish("ab")
    standby.until(lambda: names(server) == "ab", "it does not take over")
    standby.until_logged("has taken the writer lease over")


def test_process_that_hangs_loses_the_lease_and_stands_by_after(server: Server, pair: Any) -> None:
    """It wakes up to find another writing, and takes nothing back."""
    (writer, standby), publish = pair
    os.kill(writer.process.pid, signal.SIGSTOP)
    try:
        server.run("PEXPIRE", LEASE, 1)
        publish("ab")
        standby.until(lambda: names(server) == "ab", "it does not take over")
    finally:
        os.kill(writer.process.pid, signal.SIGCONT)
    writer.until_logged("standing by")
    assert names(server) == "ab"
