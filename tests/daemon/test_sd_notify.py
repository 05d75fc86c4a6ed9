"""sd_notify, on a real socket with the real process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from local import PATIENCE, free_ports, until
from support.commands import Watch
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, streaming
from support.statuses import (
    HANGING,
    QUICK,
    SILENT,
    Manager,
    managing,
    read_status,
    until_status,
)

from ctsdns_traefik.core.status.status import Status
from ctsdns_traefik.core.status.timestamps import time_from_text
from ctsdns_traefik.daemon.events import Connecting
from ctsdns_traefik.daemon.sd_notify import service_manager
from ctsdns_traefik.daemon.status_reporter import StatusReporter

BARE = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "", "WATCHDOG_PID": ""}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Return a listening service manager."""
    with managing(str(tmp_path / "notify")) as manager:
        yield manager


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
def test_abstract_socket(path: Path, tmp_path: Path) -> None:
    """An address with @ in front is one in the abstract name space."""
    with managing(f"@{tmp_path}/notify") as manager:
        environment = BARE | {"NOTIFY_SOCKET": manager.address}
        with Watch("http://127.0.0.1:9/", path, environment=environment) as watch:
            manager.until(watch, "READY=1")
            assert watch.stop() == 0
            manager.until(watch, "STOPPING=1")


def test_life_of_a_service(path: Path, manager: Manager) -> None:
    """Ready, each new state, the reload and the end are reported, in this order."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, environment=BARE | {"NOTIFY_SOCKET": manager.address}) as watch,
    ):
        manager.until(watch, "STATUS=connected; 0 routes")
        feed.send(snapshot({**hosts("ab"), "_web_http_0._tcp.x.example.com": "::1"}))
        manager.until(watch, "STATUS=connected; 2 routes; last snapshot ")
        applied = [each for each in manager.heard if each.startswith("STATUS=connected; 2 routes")]
        assert applied[-1].endswith(" UTC; 1 entry refused")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        watch.process.send_signal(signal.SIGHUP)
        manager.until(watch, "READY=1", times=2)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert watch.stop() == 0
        manager.drain()
    reported = [line for line in manager.heard if not line.startswith("STATUS=")]
    assert reported[:2] == ["READY=1", "RELOADING=1"]
    assert reported[3:] == ["READY=1", "STOPPING=1"]
    name, _, moment = reported[2].partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(moment) <= after
    assert manager.heard[-1].startswith("STATUS=stopped; 2 routes; ")


@pytest.mark.parametrize("content", [None, "{}\n", "http: {}\n"], ids=["none", "empty", "other"])
def test_ready_without_the_worker(path: Path, manager: Manager, content: str | None) -> None:
    """A file that is there, or has just been created, is enough to be ready."""
    if content is not None:
        path.write_text(content)
    (port,) = free_ports(1)
    environment = BARE | {"NOTIFY_SOCKET": manager.address}
    with Watch(f"http://127.0.0.1:{port}/", path, environment=environment) as watch:
        manager.until(watch, "READY=1")
        assert path.exists()
        manager.until(watch, "STATUS=waiting; 0 routes; cannot connect to ")


def test_never_ready_with_an_output_that_cannot_be(path: Path, manager: Manager) -> None:
    """An output that cannot be prepared ends watch before it is ready."""
    path.mkdir()
    environment = BARE | {"NOTIFY_SOCKET": manager.address}
    with Watch("http://127.0.0.1:9/", path, environment=environment) as watch:
        assert watch.process.wait(timeout=PATIENCE) == 4
    manager.drain()
    assert "READY=1" not in manager.heard
    assert "STOPPING=1" in manager.heard


@pytest.mark.parametrize("pid", ["", "$$"], ids=["for-anybody", "for-this-process"])
def test_signs_of_life(path: Path, manager: Manager, pid: str) -> None:
    """They come while watch idles in a connection, and while it waits for another one."""
    environment = BARE | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"}
    launcher = ["sh", "-c", f'WATCHDOG_PID={pid} exec "$@"', "sh"]
    options = ("--retry-delay", "60")
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, *options, environment=environment, launcher=launcher) as watch,
    ):
        for state in ("connected", "waiting"):
            manager.until(watch, f"STATUS={state}")
            manager.until(watch, "WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 5)
            feed.close()


def test_signs_of_life_come_twice_as_often_as_they_must(manager: Manager) -> None:
    """One that is lost, or late, so costs nothing."""
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
    reporter = StatusReporter((), service_manager(environment))
    reporter.start()

    def has_come(times: int) -> bool:
        return manager.count("WATCHDOG=1") >= times

    times, pauses = [0.0], [1.0]
    while min(pauses) >= 0.9 and len(times) < 20:  # a busy machine needs more than one try
        until(partial(has_come, len(times)), "no sign of life")
        times.append(time.monotonic())
        pauses.append(times[-1] - times[-2])
    reporter.end()
    assert min(pauses) < 0.9


def test_no_signs_of_life_for_another_process(path: Path, manager: Manager) -> None:
    """A watchdog that is meant for another process gets nothing from this one."""
    environment = {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    environment["NOTIFY_SOCKET"] = manager.address
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, environment=environment) as watch,
    ):
        manager.until(watch, "STATUS=connected; 1 route")
        assert watch.stop() == 0
    manager.drain()
    assert "WATCHDOG=1" not in manager.heard


def test_hung_watch_gives_no_sign_of_life(path: Path, manager: Manager) -> None:
    """When the main thread hangs, the signs end, and the status file is renewed no more.

    The process lives; it is for the service manager to start it anew.
    """
    status = path.with_name("status.json")
    environment = BARE | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000"}
    program = [sys.executable, "-c", QUICK.format(HANGING)]
    options = ("--status-file", str(status))
    received, since = 0, time.monotonic()

    def silent() -> bool:
        nonlocal received, since
        manager.drain()
        if received != manager.heard.count("WATCHDOG=1"):
            received, since = manager.heard.count("WATCHDOG=1"), time.monotonic()
        return received > 0 and time.monotonic() - since > SILENT

    def stale() -> bool:
        return time.time() - time_from_text(read_status(status)["updated"]) > SILENT

    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, *options, environment=environment, program=program) as watch,
    ):
        until_status(watch, status, state="connected", last_applied=None)
        watch.until(silent, "it still gives signs")
        watch.until(stale, "its status file is still renewed")
        assert watch.process.poll() is None
        assert read_status(status)["counters"]["snapshots_trusted"] == 1


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "@", "/" + "x" * 200])
def test_useless_address_disturbs_nothing(path: Path, address: str) -> None:
    """Where nothing listens, watch works as it does without."""
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": ""}
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, environment=environment) as watch,
    ):
        watch.until_content("router-a")
        assert watch.stop() == 0
        assert "Traceback" not in watch.log
        assert [line for line in watch.lines if not line.startswith("INFO ")] == []


def test_manager_that_does_not_listen_disturbs_nothing(path: Path, manager: Manager) -> None:
    """A socket whose queue is full loses messages, and nothing waits for it."""
    with ExitStack() as stack:
        for _ in range(20):  # each has a limit of its own, below that of the queue
            other = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            other.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(1000):
                    other.sendto(b"x", manager.address)
    environment = BARE | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000"}
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, environment=environment) as watch,
    ):
        watch.until_content("router-a")
        assert watch.stop() == 0
    manager.drain()
    assert set(manager.heard) == {"x"}


def test_line_is_sent_when_it_changes(manager: Manager) -> None:
    """A status that reads as the one before is not reported again."""
    service = service_manager({"NOTIFY_SOCKET": manager.address})
    for status in (Status(), Status(last_event=1.0), Status().after(Connecting(), 1.0), Status()):
        service.send_status(status, 0.0)
    assert service._socket
    service._socket.close()
    manager.drain()
    states = ["starting", "connecting", "starting"]
    assert manager.heard == [f"STATUS={state}; 0 routes" for state in states]


def test_variables_are_for_watch_alone() -> None:
    """What watch starts finds no service manager in its environment."""
    environment = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "", "A": "b"}
    assert not service_manager(environment)
    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        pytest.param("30000000", "", 30.0, id="for-anybody"),
        pytest.param("30000000", str(os.getpid()), 30.0, id="for-this-process"),
        pytest.param("30000000", "1", None, id="for-another"),
        *(pytest.param(text, "", None, id=f"not-{text}") for text in ("", "0", "-5", "x", "²")),
    ],
)
def test_watchdog(microseconds: str, pid: str, seconds: float | None) -> None:
    """Only a whole number of microseconds that is meant for this process counts."""
    environment = {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}
    assert service_manager(environment).watchdog == seconds
