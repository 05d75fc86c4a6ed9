"""The status file of ``ctsdns-traefik watch``, kept by the real process."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from local import PATIENCE, free_ports
from support.commands import Watch, run
from support.endpoints import STREAM, Feed, ScriptedEndpoint, event, sending, snapshot
from support.entries import hosts, streaming
from support.statuses import QUICK, SILENT, read_status, until_status

from ctsdns_traefik import __version__
from ctsdns_traefik.core.status.timestamps import time_from_text


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """Return where the status file is to be, in another folder."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "status.json"


@contextmanager
def fed(path: Path, status: Path, *arguments: str) -> Iterator[tuple[Watch, Feed]]:
    """Run watch with a status file, on what a test feeds it."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--status-file", str(status), *arguments) as watch,
    ):
        yield watch, feed


def test_life_of_a_watch(path: Path, status: Path) -> None:
    """Connection, snapshots, refusals, errors, a held removal and end: all of it is in the file."""
    with fed(path, status) as (watch, feed):
        found = until_status(watch, status, state="connected")
        assert found["version"] == __version__
        assert found["pid"] == watch.process.pid
        assert (found["output"], found["routes"]) == (str(path), {})
        assert (found["last_snapshot"], found["last_error"], found["pending_removal"]) == (
            None,
            None,
            None,
        )
        bad = {"_web_http_0._tcp.x.example.com": "::1", "_tcp_ssh_22._tcp.y.example.com": "::1"}
        feed.send(snapshot({**hosts("abcde"), **bad}))
        found = until_status(watch, status, routes={"tcp": 1, "web": 5})
        (refused,) = found["refused"]["entries"]
        assert (found["refused"]["count"], refused["code"]) == (1, "bad-port")
        assert found["last_applied"] >= found["last_write"] >= found["last_snapshot"]
        feed.send(event("error", {"message": "quota\nexceeded"}))
        counters = found["counters"] | {"worker_errors": 1}
        error = until_status(watch, status, counters=counters)["last_error"]
        assert (error["event"], error["message"]) == ("worker-error", r"quota\nexceeded")
        feed.send(snapshot(hosts("a")))
        watch.until(lambda: read_status(status)["pending_removal"], "there never was a doubt")
        doubt = read_status(status)["pending_removal"]
        assert (doubt["removed"], doubt["routes"]) == (5, 6)
        feed.send(snapshot(hosts("a")))
        until_status(watch, status, routes={"web": 1}, pending_removal=None)
        assert watch.stop() == 0
        assert read_status(status)["state"] == "stopped"
    assert list(status.parent.iterdir()) == [status]


def test_file_is_read_whole_at_any_time(path: Path, status: Path) -> None:
    """A reader meets a whole status each time, and never none, however often it changes."""
    with fed(path, status) as (watch, feed):
        until_status(watch, status, state="connected")
        seen: set[str] = set()

        def often() -> bool:
            feed.send(event("other", {}))
            seen.update(json.loads(status.read_text())["updated"] for _ in range(500))
            return len(seen) > 10

        watch.until(often, "it does not change")
        assert stat.S_IMODE(status.stat().st_mode) == 0o644
        assert watch.stop() == 0


def test_unchanged_snapshot_updates_the_times(path: Path, status: Path) -> None:
    """A snapshot that changes nothing is seen in the times, and not as a write."""
    with fed(path, status) as (watch, feed):
        feed.send(snapshot(hosts("a")))
        before = until_status(watch, status, routes={"web": 1})
        feed.send(snapshot(hosts("a")))
        wanted = before["counters"] | {"snapshots_trusted": 2}
        after = until_status(watch, status, counters=wanted)
        assert after["last_snapshot"] > before["last_snapshot"]
        watch.until(
            lambda: read_status(status)["last_applied"] > before["last_applied"], "not applied"
        )
        assert after["last_write"] == before["last_write"]


def test_routes_of_an_earlier_run_are_known(path: Path, status: Path) -> None:
    """With the worker down, the status says what Traefik serves, why, and how often it failed."""
    with ScriptedEndpoint(streaming("abc")) as server, Watch(server.url, path) as watch:
        watch.until_content("router-c")
    (port,) = free_ports(1)
    url = f"http://user:s3cret@127.0.0.1:{port}/api?key=s3cret"
    with Watch(url, path, "--status-file", str(status), "--retry-delay", "0.05") as watch:
        watch.until(
            lambda: status.exists() and read_status(status)["consecutive_failures"] >= 2, "one only"
        )
        found = read_status(status)
        assert found["routes"] == {"web": 3}
        assert found["last_error"]["event"] == "unreachable"
        assert found["endpoint"] == f"http://127.0.0.1:{port}/api"
        assert "s3cret" not in status.read_text()


def test_unwritable_output_is_logged_and_unhealthy(path: Path, status: Path) -> None:
    """While the output cannot be written, the status says why, and --health fails until it can."""
    with fed(path, status) as (watch, feed):
        feed.send(snapshot(hosts("a")))
        until_status(watch, status, routes={"web": 1})
        asking = ("watch", "--health", "--status-file", status)
        assert run(*asking).returncode == 0
        path.unlink()
        path.mkdir()
        feed.send(snapshot(hosts("ab")))
        watch.until(lambda: read_status(status)["output_error"], "no error")
        assert read_status(status)["output_error"]["message"].endswith("it is a directory")
        reason = f"cannot write {path}: it is a directory"
        done = run(*asking)
        assert (done.returncode, done.stdout) == (
            1,
            f"unhealthy: the output does not hold what it should: {reason}\n",
        )
        path.rmdir()
        feed.send(snapshot(hosts("ab")))
        until_status(watch, status, output_error=None, routes={"web": 2})
        assert run(*asking).returncode == 0


def test_stale_is_unhealthy_though_connected(path: Path, status: Path) -> None:
    """Error events keep a connection alive, but the last snapshot gets too old."""
    with fed(path, status) as (watch, feed):
        feed.send(snapshot(hosts("a")))
        until_status(watch, status, routes={"web": 1})

        def complaint() -> str:
            feed.send(event("error", {"message": "quota"}))
            done = run("watch", "--health", "--status-file", status, "--max-age", "0.5")
            return done.stdout if done.returncode == 1 else ""

        watch.until(lambda: "above 0.5 s; watch is connected" in complaint(), "never stale")
        watch.until(lambda: "the last error: quota" in complaint(), "no error told")


def test_idle_watch_keeps_its_file_up_to_date(path: Path, status: Path) -> None:
    """Through minutes without an event, in a connection or before one, the file is renewed."""
    program = [sys.executable, "-c", QUICK.format("")]
    with (
        ScriptedEndpoint(sending(STREAM), streaming("a")) as server,
        Watch(server.url, path, "--status-file", str(status), program=program) as watch,
    ):
        until_status(watch, status, state="connected", routes={"web": 1})
        counters = read_status(status)["counters"]
        seen: set[str] = set()

        def often() -> bool:
            seen.add(read_status(status)["updated"])
            return len(seen) > 10

        watch.until(often, "not renewed")
        assert read_status(status)["counters"] == counters


COMMENTING = b": still here\n\n"


def test_stream_of_comments_is_no_hang(path: Path, status: Path) -> None:
    """Comments and no events, for longer than one read may take, do not make it look hung.

    The read timeout is many times the pause between comments: none of them may come too late.
    """
    stopping = threading.Event()

    def comment(connection: object) -> None:
        while not stopping.wait(0.05):
            connection.sendall(COMMENTING)  # type: ignore[attr-defined]

    program = [sys.executable, "-c", QUICK.format("")]
    script = sending(STREAM, snapshot(hosts("a")), then=comment)
    options = ("--status-file", str(status), "--read-timeout", "2")
    with (
        ScriptedEndpoint(script) as server,
        Watch(server.url, path, *options, program=program) as watch,
    ):
        found = until_status(watch, status, state="connected", routes={"web": 1})
        start = time_from_text(found["last_event"])

        def later() -> bool:
            return time_from_text(read_status(status)["updated"]) > start + 2 + SILENT

        watch.until(later, "it looks hung")
        assert len(server.requests) == 1
        stopping.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_a_last_status(path: Path, status: Path, number: signal.Signals) -> None:
    """What ends it on purpose is in the file, and unhealthy."""
    with fed(path, status) as (watch, _):
        until_status(watch, status, state="connected")
        watch.stop(number)
    found = read_status(status)
    assert (found["state"], found["connected_since"]) == ("stopped", None)
    assert run("watch", "--health", "--status-file", status).stdout == (
        "unhealthy: watch has stopped\n"
    )


def test_kill_leaves_the_last_one(path: Path, status: Path) -> None:
    """After SIGKILL the file stays; the next watch takes it over and removes what is left."""
    with fed(path, status) as (watch, _):
        until_status(watch, status, state="connected")
        watch.stop(signal.SIGKILL)
    assert read_status(status)["state"] == "connected"
    left = status.with_name(".status.json.abc_1234.tmp")
    left.touch()
    with fed(path, status) as (watch, _):
        until_status(watch, status, pid=watch.process.pid)
        assert not left.exists()


def test_error_at_the_start_is_in_the_file(path: Path, status: Path) -> None:
    """An output that cannot be prepared ends it, which the status file says as well."""
    path.mkdir()
    with fed(path, status) as (watch, _):
        assert watch.process.wait(timeout=PATIENCE) == 4
    found = read_status(status)
    assert (found["state"], found["last_error"]["event"]) == ("stopped", "failed")
    assert found["last_error"]["message"] == f"cannot write {path}: it is a directory"


def test_status_file_below_too_long_a_name_disturbs_nothing(tmp_path: Path) -> None:
    """A path that the system refuses is an error in the log; the file is kept all the same."""
    path = tmp_path / "dynamic.yml"
    long = str(tmp_path / ("x" * 300) / "status.json")
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--status-file", long) as watch,
    ):
        watch.until_content("router-a-example-com")
        watch.until_logged("file name too long; watch continues without it")


def test_unwritable_status_file_disturbs_nothing(path: Path, status: Path) -> None:
    """It is reported once while it lasts, watch goes on, and later the file is there."""
    status.parent.rmdir()
    with fed(path, status) as (watch, feed):
        complaint = f"ERROR cannot write {status}: there is no folder {status.parent}; make it:"
        watch.until_logged(complaint)
        for names in ("a", "ab", "abc"):
            feed.send(snapshot(hosts(names)))
            watch.until_content(f"router-{names[-1]}-")
        status.parent.mkdir()
        feed.send(event("other", {}))
        until_status(watch, status, routes={"web": 3})
        status.unlink()
        status.mkdir()
        feed.send(event("other", {}))
        watch.until_logged(f"ERROR cannot write {status}: it is a directory; watch continues")
        assert watch.stop() == 0
        assert watch.log.count("there is no folder") == 1
        assert "Traceback" not in watch.log


def test_what_is_no_file_is_not_replaced(path: Path, status: Path) -> None:
    """A pipe in the place of the status file, as a device would, stays what it is."""
    os.mkfifo(status)
    with fed(path, status) as (watch, _):
        watch.until_logged(f"ERROR cannot write {status}: it is not a regular file")
        assert watch.stop() == 0
    assert stat.S_ISFIFO(status.stat().st_mode)


def test_file_of_two_purposes_is_refused(path: Path) -> None:
    """The status file cannot be Traefik's file, by whatever name."""
    other = path.parent / ".." / "traefik" / "dynamic.yml"
    done = run("watch", "--endpoint", "http://x/", "-o", path, "--status-file", other)
    assert done.returncode == 2
    assert "error: --output and --status-file name the same file" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("option", ["--access-file", "--token-file", "--ca-file", "--client-key"])
@pytest.mark.parametrize("written", ["--status-file", "--metrics-file", "-o"])
def test_file_that_is_read_is_not_overwritten(path: Path, option: str, written: str) -> None:
    """What the operator wrote stays, under whatever name watch is reported to write there."""
    path.write_text("mine\n")
    link = path.with_name("link.yml")
    link.symlink_to(path)
    other = () if written == "-o" else ("-o", path.with_name("other.yml"))
    done = run("watch", "--endpoint", "http://x/", *other, written, link, option, path)
    assert (done.returncode, path.read_text()) == (2, "mine\n")
    assert done.stderr.count("name the same file") == 1


def blocked_in_threads(watch: Watch) -> dict[str, int]:
    """Return the signals that each thread blocks, a bit each."""
    found = {}
    for task in Path(f"/proc/{watch.process.pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            text = (task / "status").read_text()
            found[task.name] = int(text.partition("SigBlk:")[2].split()[0], 16)
    return found


def test_no_thread_without_an_outlet(path: Path) -> None:
    """Plain watch has a thread for signals and one for time limits, others as they are needed.

    Only the main thread takes signals, since they are to end its waiting.
    """
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("only Linux has /proc")
    with ScriptedEndpoint(streaming("a")) as server:
        for options, threads in (
            ((), {3}),
            (("--status-file", str(path) + ".status"), {4}),
            (("--traefik-api", server.url), {4, 5, 6}),  # a request has up to two of its own
        ):
            with Watch(server.url, path, *options) as watch:
                watch.until_logged("connected to")
                watch.until(lambda: len(blocked_in_threads(watch)) in threads, "other threads")  # noqa: B023
                blocked = blocked_in_threads(watch)
                open_to_stop = [
                    name for name, bits in blocked.items() if not bits & 1 << signal.SIGTERM - 1
                ]
                assert open_to_stop == [str(watch.process.pid)]
