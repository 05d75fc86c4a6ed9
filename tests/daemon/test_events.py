"""Events and their publisher: what reaches the log, the status and the service manager."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.statuses import AT, REFUSED, managing

from ctsdns_traefik.core.dynamic.diff import Changes
from ctsdns_traefik.core.dynamic.served import Verdict
from ctsdns_traefik.core.status.status import ErrorRecord
from ctsdns_traefik.daemon import events, status_reporter
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import (
    AccessEnforced,
    AccessPending,
    Connecting,
    EntriesRefused,
    EntriesWarned,
    Event,
    HookSucceeded,
    NotificationsOff,
    OutputCreated,
    OutputReady,
    OutputReported,
    OutputWritten,
    Reconnecting,
    SnapshotApplied,
    SnapshotTrusted,
    Stopped,
    TraefikAnswered,
    Unreachable,
    WriteFailed,
    WriteRefused,
    WrittenInPlace,
)
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.daemon.status_reporter import Lease, StatusReporter
from ctsdns_traefik.output.base import OutputWarning

Lines = Callable[[], list[str]]

OFF = OutputWarning("notifications-off")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return what gives the log's lines so far, each as level and message."""
    package = logging.getLogger("ctsdns_traefik")
    monkeypatch.setattr(package, "propagate", True)
    monkeypatch.setattr(package, "handlers", [])
    caplog.set_level(logging.DEBUG, "ctsdns_traefik")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_one_class_makes_an_event(logged: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """A new class alone gets its log line, its JSON fields, its counter and its status."""

    class DiskFilled(
        events._Failure, event="disk-filled", counter="write_errors", text="{path}: {error}"
    ):
        path: str

    publisher = EventPublisher(clock=lambda: AT)
    publisher.publish(DiskFilled("no space", "/x"))
    assert logged() == ["WARNING /x: no space"]
    (record,) = caplog.records
    assert vars(record)["event"] == "disk-filled"
    assert vars(record)["fields"] == {"error": "no space", "path": "/x"}
    assert publisher.status.last_error == ErrorRecord(AT, "disk-filled", "no space")
    assert publisher.status.counters.write_errors == 1


@pytest.mark.parametrize(
    ("sequence", "times"),
    [
        pytest.param([EntriesRefused((REFUSED,))] * 2, 1, id="entry-that-stays"),
        pytest.param(
            [EntriesRefused((REFUSED,)), EntriesRefused(()), EntriesRefused((REFUSED,))],
            2,
            id="entry-that-comes-back",
        ),
        pytest.param([EntriesRefused((REFUSED,)), EntriesWarned(())] * 2, 1, id="other-topic"),
        pytest.param([WriteRefused("no")] * 2, 1, id="refusal-that-stays"),
        pytest.param([WriteRefused("no"), WriteRefused("nay")], 2, id="refusal-that-changes"),
        pytest.param([WriteRefused("no"), SnapshotApplied()] * 2, 2, id="refusal-that-ended"),
        pytest.param([WriteFailed("full")] * 2, 2, id="failed-write"),
        pytest.param([AccessPending("no")] * 2, 1, id="access-that-waits"),
        pytest.param([AccessPending("no"), AccessEnforced()] * 2, 2, id="access-that-came"),
        pytest.param([WrittenInPlace("x"), OutputReported("x")] * 2, 1, id="in-place"),
        pytest.param([OutputReported("x", (OFF,))] * 2, 1, id="output-warning-that-stays"),
        pytest.param(
            [OutputReported("x", (OFF,)), OutputReported("x")] * 2, 2, id="output-warning-again"
        ),
        pytest.param([TraefikAnswered(Verdict(1), 2.0)] * 2, 2, id="good-news"),
        pytest.param([TraefikAnswered(Verdict(1, ("a",)), 2.0)] * 2, 1, id="not-loaded"),
    ],
)
def test_lines_of_a_topic_are_logged_once(sequence: list[Event], times: int, logged: Lines) -> None:
    """What has a topic is logged once until it changes, the rest each time."""
    publisher = EventPublisher()
    for event in sequence:
        publisher.publish(event)
    assert len(logged()) == times


def test_warning_refuses_nothing() -> None:
    """A warning about an entry does not count as a refused entry in the status."""
    publisher = EventPublisher()
    publisher.publish(EntriesRefused((REFUSED,)))
    publisher.publish(EntriesWarned((REFUSED, REFUSED._replace(entry="another"))))
    assert publisher.status.refused == (REFUSED,)


def test_every_kind_of_output_warning_is_an_event() -> None:
    """What an output warns of is found by its kind."""
    (line,) = OutputReported("x", (OFF,)).lines()
    assert line == NotificationsOff("x", "")
    assert line.fields() == {"output": "x"}


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        pytest.param(SnapshotTrusted(), events.LONGEST_STEP, id="snapshot"),
        pytest.param(OutputCreated("x"), events.LONGEST_STEP, id="created"),
        pytest.param(OutputReported("x"), events.LONGEST_STEP, id="written"),
        pytest.param(HookSucceeded(), events.LONGEST_STEP, id="command-ended"),
        pytest.param(Unreachable("no", 300), 300, id="pause"),
        pytest.param(
            OutputWritten("x", "replaced", Changes((), (), (), 0), 1), 0, id="nothing-begins"
        ),
    ],
)
def test_each_step_has_its_own_time(event: Event, seconds: float) -> None:
    """A check and two commands may take their 30 s each, one after the other, without a hang."""
    now = 0.0
    reporter = StatusReporter()
    reporter.lease = Lease(lambda: now)
    publisher = EventPublisher(reporter=reporter)
    publisher.expect(0)
    publisher.publish(event)
    now = seconds + status_reporter.MARGIN
    assert reporter.lease.is_valid
    now += 0.1
    assert not reporter.lease.is_valid


def test_threads_lose_no_event() -> None:
    """Events that several threads publish at one time all reach the status."""
    publisher, threads, each = EventPublisher(), 4, 500

    def publish() -> None:
        for _ in range(each):
            publisher.publish(SnapshotTrusted())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        running = [threading.Thread(target=publish) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert publisher.status.counters.snapshots_trusted == threads * each


def test_log_that_hangs_keeps_no_other_thread_from_publishing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While one thread waits for the log, another can change the status, of a stop for one."""
    reached, released = threading.Event(), threading.Event()

    class Hanging(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
            reached.set()
            released.wait(110)

    package = logging.getLogger("ctsdns_traefik")
    monkeypatch.setattr(package, "handlers", [Hanging()])
    publisher = EventPublisher()
    logging_one = threading.Thread(target=publisher.publish, args=(WriteFailed("full"),))
    silent = threading.Thread(target=publisher.publish, args=(SnapshotTrusted(),))
    logging_one.start()
    try:
        assert reached.wait(60)
        silent.start()
        silent.join(50)
        assert publisher.status.counters.snapshots_trusted == 1
    finally:
        released.set()
        logging_one.join()


def test_service_manager_gets_what_it_has_to_know(tmp_path: Path) -> None:
    """It is notified of readiness once, and once more for each SIGHUP, and the end."""
    with managing(str(tmp_path / "notify")) as manager:
        service = ServiceManager(manager.address)
        publisher = EventPublisher(manager=service)
        for event in (
            OutputReady(),
            Connecting(),
            Reconnecting("SIGHUP"),
            Connecting(),
            Connecting(),
            Stopped("SIGTERM"),
        ):
            publisher.publish(event)
        manager.drain()
        assert service._socket
        service._socket.close()
    received = [line for line in manager.heard if not line.startswith("MONOTONIC")]
    assert received == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
