"""The store as watch keeps it, with a real Redis: what is written, what stays, and what is set."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.entries import hosts
from support.stores import ANCHOR_KEY, HASH, LEASE, OWNED, Server, keys_of, needs_redis

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.status.status import Role
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import CheckRefused, OutputError, Standby
from ctsdns_traefik.output.base import Outcome
from ctsdns_traefik.output.hooks import Check
from ctsdns_traefik.output.redis import connection
from ctsdns_traefik.output.redis.connection import Connection
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from

pytestmark = needs_redis

Lines = Callable[[], list[str]]


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one Redis for all tests here."""
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Server:
    """Return the Redis, empty."""
    running_server.run("FLUSHALL")
    running_server.run("CONFIG", "SET", "notify-keyspace-events", "Kh")
    return running_server


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return what gives the lines logged since it was last asked."""
    caplog.set_level("INFO")

    def lines() -> list[str]:
        new = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        caplog.clear()
        return new

    return lines


def started(server: Server, **options: Any) -> Reconciler:
    """Return a keeper that has begun, as watch does."""
    target = RedisOutput(address_from(server.url))
    keeper = Reconciler(target, **options)
    keeper.prepare()
    return keeper


WRITING = {"MULTI", "SET", "MSET", "DEL", "HSET", "SADD", "SREM", "EXEC"}


def end(keeper: Reconciler) -> None:
    """Let go of the lease, as watch does when it stops."""
    with keeper._output.claim():
        pass


def stands_by(keeper: Reconciler, names: str) -> bool:
    """Reconcile some routes; return whether that left the store to another watch."""
    keeper.reconcile(hosts(names))
    lease = keeper._publisher.status.lease
    return lease is not None and lease.role is Role.STANDBY


def run_once(server: Server, names: str) -> None:
    """Let a watch publish some routes and stop."""
    keeper = started(server)
    keeper.reconcile(hosts(names))
    end(keeper)


def content_of(entries: dict[str, object]) -> bytes:
    """Return the document for some entries."""
    return render(entries).text.encode()


def names(server: Server) -> str:
    """Return the letters of the routes that stand."""
    return "".join(sorted(each.split("-")[1] for each in server.routes()))


def test_keys_are_as_traefik_reads_them(server: Server) -> None:
    """The document's values and no more stand below the root, and beside it three keys."""
    started(server).reconcile(hosts("ab"))
    assert server.keys() == keys_of(hosts("ab"))
    beside = set(server.keys("*")) - set(server.keys())
    assert beside == {HASH, OWNED, LEASE}
    assert {f"traefik/{path}" for path in server.run("SMEMBERS", OWNED)} == set(server.keys())


def test_start_writes_nothing(server: Server) -> None:
    """A store that is empty stays so until a snapshot comes: Traefik serves what it had."""
    started(server)
    assert server.keys("*") == {}


def test_each_change_touches_only_what_differs(server: Server) -> None:
    """A route that stays is not written again, so that no reader ever misses a key of it."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    with server.client() as client, client.monitor() as monitor:
        keeper.reconcile(hosts("bc"))
        client.ping()
        commands = []
        for each in monitor.listen():
            if each["command"] == "PING":
                break
            commands.append(each["command"])
    touched = [each for each in commands if each.split()[0] in ("MSET", "DEL")]
    assert len(touched) == 2
    assert not any("b-example-com" in each for each in touched)
    assert server.keys() == keys_of(hosts("bc"))


def test_everything_is_one_transaction_that_rings_last(server: Server) -> None:
    """All writes are one transaction, the hash that Traefik is notified of at their end."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    with server.client() as client, client.monitor() as monitor:
        keeper.reconcile(hosts("c"))
        keeper.reconcile(hosts("c"))
        client.ping()
        commands = []
        for each in monitor.listen():
            if each["command"] == "PING":
                break
            commands.append(each["command"].split()[0])
    begin, end = commands.index("MULTI"), commands.index("EXEC")
    assert commands[begin : end + 1] == [
        *("MULTI", "SET", "MSET", "DEL", "SREM", "SADD", "HSET", "EXEC")
    ]
    rest = [each for each in (*commands[:begin], *commands[end + 1 :]) if each in WRITING]
    assert rest == ["MULTI", "SET", "EXEC"]  # the second snapshot renews the lease alone


def test_unchanged_snapshot_renews_the_lease_and_logs_nothing(
    server: Server, logged: Lines
) -> None:
    """No key changes but the lease, and nothing changes that Traefik is notified of."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    logged()
    before, mark = server.keys(), server.run("HGETALL", HASH)
    for names_of_step in ("ab", "ba"):
        server.run("PEXPIRE", LEASE, 10_000)
        keeper.reconcile(hosts(names_of_step))
        assert server.run("PTTL", LEASE) > 60_000
    assert (server.keys(), server.run("HGETALL", HASH)) == (before, mark)
    assert logged() == []


def test_last_route_leaves_the_anchor(server: Server, logged: Lines) -> None:
    """No routes is no router and no service; the anchor makes Traefik notice."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    logged()
    keeper.reconcile({})
    assert server.keys() == {ANCHOR_KEY: "/"}
    assert server.run("SMEMBERS", OWNED) == {ANCHOR_KEY.removeprefix("traefik/")}
    removed = "router-a-example-com, router-b-example-com"
    assert logged() == [f"INFO replaced {server.shown}: 0 routes; removed {removed}"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("FLUSHALL",), id="flushed"),
        pytest.param(("DEL", "traefik/http/routers/router-a-example-com/rule"), id="key-removed"),
        pytest.param(
            ("SET", "traefik/http/routers/router-a-example-com/rule", "Host(`x`)"), id="key-edited"
        ),
        pytest.param(("DEL", ANCHOR_KEY), id="anchor-removed"),
        pytest.param(("DEL", HASH), id="hash-removed"),
        pytest.param(("DEL", OWNED), id="index-removed"),
        pytest.param(("SREM", OWNED, "http/routers/router-a-example-com/rule"), id="index-edited"),
        pytest.param(("DEL", HASH, OWNED), id="both-removed"),
    ],
)
def test_store_that_others_disturb_is_put_right(
    server: Server, logged: Lines, command: tuple[str, ...]
) -> None:
    """The next snapshot, with the same hosts, brings all back, and the log says why."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    logged()
    server.run(*command)
    keeper.reconcile(hosts("ab"))
    assert server.keys() == keys_of(hosts("ab"))
    assert {f"traefik/{path}" for path in server.run("SMEMBERS", OWNED)} == set(server.keys())
    (line,) = logged()
    assert line.endswith("2 routes; the same as before, but the output held something else")


def test_stale_keys_go_though_the_index_was_lost(server: Server) -> None:
    """What this watch itself wrote, it remembers."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    server.run("DEL", HASH, OWNED)
    keeper.reconcile(hosts("b"))
    assert server.keys() == keys_of(hosts("b"))


def test_stale_keys_go_though_the_index_was_lost_after_a_restart(server: Server) -> None:
    """What stood at the start, and was this tool's then, is remembered, too."""
    run_once(server, "ab")
    keeper = started(server)
    server.run("DEL", HASH, OWNED)
    keeper.reconcile(hosts("b"))
    assert server.keys() == keys_of(hosts("b"))


def test_keys_of_others_below_the_same_root_survive(server: Server) -> None:
    """Another tool's router stands through additions, removals and the last route's end."""
    foreign = {
        "traefik/http/routers/mine/rule": "Host(`mine.example.com`)",
        "traefik/http/services/mine/loadBalancer/servers/0/url": "http://127.0.0.1:1",
        "traefik2/http/routers/other/rule": "x",
    }
    with server.client() as client:
        client.mset(foreign)
    keeper = started(server)
    for entries in (hosts("ab"), hosts("b"), {}):
        keeper.reconcile(entries)
        assert server.keys() | foreign == server.keys("traefik*/*")
        assert foreign.items() <= server.keys("traefik*/*").items()


def test_key_of_unknown_origin_is_replaced_and_named(server: Server, logged: Lines) -> None:
    """It is most likely our own, after an index was lost; a warning says so once."""
    key = "traefik/http/routers/router-a-example-com/rule"
    server.run("MSET", key, "Host(`x`)", ANCHOR_KEY, "/")
    keeper = started(server)
    keeper.reconcile(hosts("a"))
    keeper.reconcile(hosts("a"))
    assert server.keys() == keys_of(hosts("a"))
    warnings = [line for line in logged() if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert warnings[0].endswith("they are replaced: http/routers/router-a-example-com/rule")


def test_restarted_watch_logs_only_what_differs(server: Server, logged: Lines) -> None:
    """Routes that stood before the start are not reported as new, and stale ones go."""
    run_once(server, "ab")
    logged()
    started(server).reconcile(hosts("bc"))
    change = "added router-c-example-com; removed router-a-example-com"
    assert logged() == [f"INFO replaced {server.shown}: 2 routes; {change}"]
    assert names(server) == "bc"


def test_guard_compares_with_what_another_watch_wrote(server: Server, logged: Lines) -> None:
    """A watch that takes over and knew of one route does not drop the four that were added."""
    first, second = started(server), started(server)
    first.reconcile(hosts("a"))
    assert stands_by(second, "a")
    first.reconcile(hosts("abcde"))
    end(first)
    logged()
    second.reconcile(hosts("b"))
    assert names(server) == "abcde"
    assert logged()[0].startswith("WARNING the snapshot would remove 4 of 5 routes")
    second.reconcile(hosts("b"))
    assert names(server) == "b"


@pytest.mark.parametrize("by_the_timer", [False, True])
def test_guard_holds_over_the_same_hosts_as_before(
    server: Server, logged: Lines, *, by_the_timer: bool
) -> None:
    """Hosts that were rendered before the other watch added routes are measured by those."""
    first, second = started(server), started(server)
    first.reconcile(hosts("a"))
    assert stands_by(second, "a")
    first.reconcile(hosts("abcde"))
    end(first)
    logged()
    if by_the_timer:
        second.take_over()
    else:
        second.reconcile(hosts("a"))
    assert names(server) == "abcde"
    assert logged()[0].startswith("WARNING the snapshot would remove 4 of 5 routes")


def test_writer_that_lost_its_lease_measures_by_what_another_wrote(server: Server) -> None:
    """After a pause in which another watch wrote and ended, nothing is dropped unseen."""
    first = started(server)
    first.reconcile(hosts("a"))
    server.run("DEL", LEASE)
    run_once(server, "abcde")
    assert stands_by(first, "a")
    first.reconcile(hosts("a"))
    assert names(server) == "abcde"
    first.reconcile(hosts("a"))
    assert names(server) == "a"


def test_guard_holds_over_a_flushed_store(server: Server) -> None:
    """A store that lost all does not turn a truncated policy into the truth."""
    keeper = started(server)
    keeper.reconcile(hosts("abcde"))
    server.run("FLUSHALL")
    keeper.reconcile(hosts("a"))
    assert names(server) == "abcde"


def test_guard_holds_over_a_restart(server: Server) -> None:
    """The first snapshot after a start waits too, if it would drop most of what stands."""
    run_once(server, "abcde")
    keeper = started(server)
    keeper.reconcile(hosts("a"))
    assert names(server) == "abcde"
    keeper.reconcile(hosts("a"))
    assert names(server) == "a"


def test_snapshot_that_goes_back_is_written_at_once(server: Server, logged: Lines) -> None:
    """A change that is taken back waits for nothing: one watch alone writes."""
    keeper = started(server)
    for names_of_step in ("ab", "abc"):
        keeper.reconcile(hosts(names_of_step))
    logged()
    keeper.reconcile(hosts("ab"))
    assert names(server) == "ab"
    assert logged() == [f"INFO replaced {server.shown}: 2 routes; removed router-c-example-com"]


def losing_answers(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """Give a context in which writes are done, and their answers lost."""
    replace = Connection.replace

    def losing(*arguments: Any) -> None:
        replace(*arguments)
        raise OutputError("the answer is lost")

    @contextmanager
    def patched() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "replace", losing)
            yield

    return patched()


def test_write_whose_answer_was_lost_is_known_for_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done all the same: what follows does not wait as it would for another watch's."""
    keeper = started(server)
    keeper.reconcile(hosts("ab"))
    with losing_answers(monkeypatch), pytest.raises(OutputError):
        keeper.reconcile(hosts("abc"))
    assert names(server) == "abc"
    keeper.reconcile(hosts("ab"))
    assert names(server) == "ab"


def test_write_whose_answer_was_lost_is_logged_at_the_next_snapshot(
    server: Server, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is in the log, and the command after it runs, once and not twice."""
    runs: list[str] = []
    keeper = started(server, on_change=lambda: runs.append("ran"))
    keeper.reconcile(hosts("ab"))
    logged()
    with losing_answers(monkeypatch), pytest.raises(OutputError):
        keeper.reconcile(hosts("abc"))
    assert (len(runs), logged()) == (1, [])
    mark = server.run("HGETALL", HASH)
    keeper.reconcile(hosts("abc"))
    keeper.reconcile(hosts("abc"))
    assert logged() == [f"INFO replaced {server.shown}: 3 routes; added router-c-example-com"]
    assert (len(runs), server.run("HGETALL", HASH)) == (2, mark)


def test_write_is_logged_though_nothing_is_known_of_notifications(
    server: Server, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that breaks off after the write does not make it one that failed."""
    read = Connection.read_notifications

    def broken(store: Connection) -> str | None:
        store._client.connection_pool.disconnect()
        store._client.connection_pool.connection_kwargs["port"] = 1
        return read(store)

    monkeypatch.setattr(Connection, "read_notifications", broken)
    started(server).reconcile(hosts("a"))
    assert logged() == [
        f"INFO created {server.shown}: 1 route; added router-a-example-com",
    ]


def test_another_watch_that_writes_while_the_check_runs_is_not_overwritten(
    server: Server,
) -> None:
    """It has the lease by the time the check has agreed; what it wrote stands."""
    first = RedisOutput(address_from(server.url))

    class Slow(Check):
        def content(self, content: bytes, target: object) -> None:
            super().content(content, target)
            first.write(content_of(hosts("c")))

    second = RedisOutput(address_from(server.url), Slow(("true",)))
    with pytest.raises(Standby):
        second.write(content_of(hosts("ab")))
    assert server.keys() == keys_of(hosts("c"))


def test_check_without_room_for_its_file_is_one_clear_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no temporary file can be, the reason is reported, and nothing is written."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    target = RedisOutput(address_from(server.url), Check(("true",)))
    with pytest.raises(OutputError, match=r"cannot check what .*: no such file or directory"):
        target.write(b"{}")
    assert server.keys("*") == {}


def test_another_access_file_waits_for_nothing(server: Server) -> None:
    """Access that is taken back and given again is so at once, though all of it stood before."""
    strict = read_access("routes:\n  '*.example.com': {access: tailscale-only}\n")
    keeper = started(server)
    keeper.reconcile(hosts("a"))
    for access in (strict, None, strict, None):
        keeper.change_access(access)
        assert any("middlewares/0" in key for key in set(server.keys())) is (access is not None)


def test_another_access_file_at_a_restart_waits_for_nothing(server: Server) -> None:
    """The routes that a former watch published get it before any snapshot, and again the other."""
    run_once(server, "ab")
    for mode in ("tailscale-only", "public", "tailscale-only"):
        access = read_access(f"default: {mode}\n")
        keeper = started(server, access=access)
        end(keeper)
        assert keeper.has_enforced(access)
        limited = [key for key in set(server.keys()) if key.endswith("/middlewares/0")]
        assert len(limited) == (2 if mode == "tailscale-only" else 0)
        assert names(server) == "ab"


def test_access_that_was_refused_comes_with_the_next_hosts(server: Server, tmp_path: Path) -> None:
    """The document with both is written at once, though the store has held it before."""
    strict = read_access("routes:\n  '*.example.com': {access: tailscale-only}\n")
    refusing = tmp_path / "refusing"
    check = Check(("sh", "-c", f"test ! -e {refusing}"))
    keeper = Reconciler(RedisOutput(address_from(server.url), check), access=strict)
    keeper.prepare()
    keeper.reconcile(hosts("ab"))
    wanted = server.keys()
    keeper.change_access(None)
    keeper.reconcile(hosts("abc"))
    refusing.touch()
    with pytest.raises(CheckRefused):
        keeper.change_access(strict)
    refusing.unlink()
    keeper.reconcile(hosts("ab"))
    assert (server.keys(), keeper.has_enforced(strict)) == (wanted, True)


STRICT = """
forwardAuth: {sso: {address: "http://127.0.0.1:1"}}
routes: {"*.example.com": {access: forward-auth, forwardAuth: sso}}
"""


def test_another_access_file_is_in_force_over_what_another_watch_wrote(server: Server) -> None:
    """A watch that takes over by it applies it to all routes that stand, and loses none."""
    keeper = started(server)
    keeper.reconcile(hosts("a"))
    end(keeper)
    run_once(server, "ab")
    keeper.change_access(read_access("routes:\n  '*.example.com': {access: tailscale-only}\n"))
    guarded = sorted(key for key in set(server.keys()) if key.endswith("/middlewares/0"))
    assert [key.split("-")[1] for key in guarded] == ["a", "b"]
    assert names(server) == "ab"


def test_protected_router_gets_its_rule_after_all_else(server: Server) -> None:
    """A reader that lists meanwhile sees a router without a rule, never one without middlewares."""
    access = read_access(STRICT)
    seen: list[dict[str, str]] = []

    def look(seconds: float) -> None:
        assert 1 <= seconds <= 3
        seen.append(server.keys())

    target = RedisOutput(address_from(server.url), sleep=look)
    target.write(render(hosts("a")).text.encode())
    assert seen == []
    content = render(hosts("ab"), "json", access).text.encode()
    with server.client() as client, client.monitor() as monitor:
        assert target.write(content).outcome is Outcome.REPLACED
        client.ping()
        rings = 0
        for each in monitor.listen():
            if each["command"] == "PING":
                break
            rings += each["command"].startswith("HSET")
    (before,) = seen
    after = server.keys()
    new = {key for key in after if "b-example-com" in key or "middlewares/0" in key}
    assert any("router-b-example-com/middlewares/0" in key for key in new)
    assert {key for key in new if key not in before} == {
        "traefik/http/routers/router-b-example-com/rule"
    }
    assert rings == 1
    assert target.read() == target.as_held(content)
    assert target.write(content).outcome is Outcome.UNCHANGED
    assert len(seen) == 1


def test_rule_that_waits_is_not_written_once_the_lease_is_lost(server: Server) -> None:
    """Staged keys have no effect, and the watch that holds the lease by then removes them."""
    access = read_access(STRICT)
    other = RedisOutput(address_from(server.url))

    def meanwhile(_: float) -> None:
        server.run("DEL", LEASE)  # as if the pause had been longer than the lease
        other.write(content_of(hosts("cd")))

    target = RedisOutput(address_from(server.url), sleep=meanwhile)
    with pytest.raises(Standby):
        target.write(render(hosts("ab"), "json", access).text.encode())
    assert server.keys() == keys_of(hosts("cd"))
    assert set(server.keys("*")) - set(server.keys()) == {HASH, OWNED, LEASE}


def test_end_before_the_rule_leaves_nothing_for_good(server: Server) -> None:
    """What a watch has added when it is killed goes with the next change, or is made use of."""
    access = read_access(STRICT)

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    content = render(hosts("ab"), "json", access).text.encode()
    for after in (render(hosts("c")).text.encode(), content):
        server.run("FLUSHALL")
        with pytest.raises(KeyboardInterrupt):
            RedisOutput(address_from(server.url), sleep=killed).write(content)
        assert server.keys("traefik/*/rule") == {}
        server.run("DEL", LEASE)  # it expires in time
        target = RedisOutput(address_from(server.url), sleep=lambda _: None)
        assert target.write(after).outcome is Outcome.CREATED
        assert target.read() == target.as_held(after)
        assert {f"traefik/{path}" for path in server.run("SMEMBERS", OWNED)} == set(server.keys())
        assert set(server.keys("*")) - set(server.keys()) == {HASH, OWNED, LEASE}


def test_notifications_that_are_off_are_logged_once(server: Server, logged: Lines) -> None:
    """The warning says how to switch them on, and comes again only after they were on."""
    server.run("CONFIG", "SET", "notify-keyspace-events", "")
    keeper = started(server)
    keeper.reconcile(hosts("a"))
    keeper.reconcile(hosts("a"))
    warnings = [line for line in logged() if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "'CONFIG SET notify-keyspace-events Kh'" in warnings[0]
    with server.client() as client:
        assert client.config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}


def test_notifications_of_every_key_are_logged_where_there_are_many(
    server: Server, logged: Lines
) -> None:
    """Traefik would read a thousand keys a thousand times: one warning says what spares it that."""
    server.run("CONFIG", "SET", "notify-keyspace-events", "KEA")
    keeper = started(server)
    for _ in range(2):
        keeper.reconcile(
            {f"_web_http_80._tcp.a{each}.example.com": "100.64.0.1" for each in range(300)}
        )
    (warning,) = [line for line in logged() if line.startswith("WARNING")]
    assert "for each of 1201 keys when it changes" in warning


@pytest.mark.parametrize("flags", ["KEA", "Kh", "AK", "K$gh"])
def test_notifications_that_do_are_not_mentioned(server: Server, logged: Lines, flags: str) -> None:
    """Every setting by which Traefik is notified of the hash will do."""
    server.run("CONFIG", "SET", "notify-keyspace-events", flags)
    started(server).reconcile(hosts("a"))
    assert all(line.startswith("INFO") for line in logged())


@pytest.mark.parametrize("flags", ["E", "K$", "Ex", "Kg", "Eh", "EA"])
def test_notifications_of_other_kinds_are_as_good_as_none(
    server: Server, logged: Lines, flags: str
) -> None:
    """Events without keys' names, or of other kinds, do not reach Traefik."""
    server.run("CONFIG", "SET", "notify-keyspace-events", flags)
    started(server).reconcile(hosts("a"))
    assert any("keyspace notifications" in line for line in logged())


def test_as_held_is_what_is_read(server: Server) -> None:
    """What --check compares with is what reading gives after writing."""
    target = RedisOutput(address_from(server.url))
    content = render(hosts("abc")).text.encode()
    assert target.read() is None
    assert target.write(content).outcome is Outcome.CREATED
    assert target.read() == target.as_held(content)
    assert json.loads(target.as_held(content)) == json.loads(content)


def test_key_of_another_kind_is_replaced(server: Server) -> None:
    """A hash where a text belongs costs nothing but itself."""
    server.run("HSET", "traefik/http/routers/router-a-example-com/rule", "a", "b")
    started(server).reconcile(hosts("a"))
    assert server.keys() == keys_of(hosts("a"))


def test_own_key_of_another_kind_is_one_clear_error(server: Server) -> None:
    """One who put a text where the hash belongs gets a message."""
    server.run("SET", HASH, "x")
    with pytest.raises(OutputError, match=r"holds something else \(WRONGTYPE\); delete it"):
        RedisOutput(address_from(server.url)).write(b"{}")


def test_everything_together_has_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose every answer comes just in time does not keep a snapshot for ever."""
    monkeypatch.setattr(connection, "LONGEST", 0.3)
    monkeypatch.setattr(connection, "PATIENCE", 60)
    target = RedisOutput(address_from(server.url))
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutputError, match=r"it took longer than 0\.3 s"):
            target.write(b"{}")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_two_roots_in_one_store_know_nothing_of_each_other(server: Server) -> None:
    """Each root has its own keys, hash and index."""
    edge = RedisOutput(address_from(f"{server.url}?rootKey=edge"))
    started(server).reconcile(hosts("a"))
    edge.write(render(hosts("b")).text.encode())
    edge.write(b"{}")
    assert server.keys() == keys_of(hosts("a"))


def test_unused_database_stays_so(server: Server) -> None:
    """The number in the URL is the database that is written."""
    RedisOutput(address_from(server.url.removesuffix("0") + "5")).write(b"{}")
    assert server.keys("*") == {}


def test_folder_for_nothing_is_needed(tmp_path: Path) -> None:
    """A store that cannot be reached leaves no trace on this machine, and says why in a line."""
    with pytest.raises(OutputError, match=r"cannot publish to redis://127\.0\.0\.1:1/0.*refused"):
        RedisOutput(address_from("redis://127.0.0.1:1")).read()
    assert list(tmp_path.iterdir()) == []
