"""The journal: how it tells, whatever it tells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.statuses import REFUSED, REMOVAL

from ctsdns_traefik.core.dynamic.diff import NO_CHANGES
from ctsdns_traefik.core.status.status import Status
from ctsdns_traefik.daemon import status_reporter
from ctsdns_traefik.daemon.events import LONGEST_STEP, Journal
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.daemon.status_reporter import Lease, StatusReporter
from ctsdns_traefik.output.base import Outcome, WriteResult

Telling = Callable[[Journal], None]

REPLACED = WriteResult(Outcome.REPLACED)

IN_THE_LOOP: dict[str, Telling] = {
    "connecting": lambda journal: journal.connecting(),
    "connected": lambda journal: journal.connected("http://h/"),
    "heard": lambda journal: journal.heard("other"),
    "heard-error": lambda journal: journal.heard_error("quota"),
    "distrusted": lambda journal: journal.distrusted("not JSON"),
    "trusted": lambda journal: journal.trusted(),
    "failed": lambda journal: journal.failed("it broke off", 5.0),
    "refused": lambda journal: journal.refused([REFUSED]),
    "warned": lambda journal: journal.warned([REFUSED]),
    "doubted": lambda journal: journal.doubted(REMOVAL),
    "applied": lambda journal: journal.applied(),
    "unwritable": lambda journal: journal.unwritable("disk full"),
    "check-refused": lambda journal: journal.check_refused("no"),
}
"""What is told where a signal may raise."""


class Recorder(logging.Handler):
    """Keeps whether a telling was disturbed, for the log as for the status."""

    def __init__(self) -> None:
        super().__init__()
        self.safe = False
        self.told: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        """Take note of a line."""
        self.told.append(self.safe)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Be safe for a while."""
        before, self.safe = self.safe, True
        yield
        self.safe = before


class Shown(StatusReporter):
    """Takes note of whether it is shown a status safely."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def show(self, status: Status) -> None:  # noqa: ARG002
        """Take note of a status."""
        self._recorder.told.append(self._recorder.safe)


@pytest.mark.parametrize("telling", IN_THE_LOOP.values(), ids=IN_THE_LOOP)
def test_no_signal_raises_amid_telling(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could raise while a lock is held, of the log or of a thread, and leave it so."""
    recorder, package = Recorder(), logging.getLogger("ctsdns_traefik")
    monkeypatch.setattr(package, "handlers", [recorder])
    monkeypatch.setattr(package, "level", logging.DEBUG)
    journal = Journal(publisher=Shown(recorder), undisturbed=recorder.undisturbed)
    recorder.told.clear()
    telling(journal)
    assert recorder.told
    assert all(recorder.told)


@pytest.mark.parametrize(
    "telling",
    [
        pytest.param(lambda journal: journal.trusted(), id="snapshot"),
        pytest.param(lambda journal: journal.created("x"), id="created"),
        pytest.param(lambda journal: journal.wrote("x", REPLACED, NO_CHANGES, 1), id="written"),
        pytest.param(lambda journal: journal.hook_ended(None), id="command-ended"),
    ],
)
def test_each_step_has_its_own_time(telling: Telling) -> None:
    """A check and two commands may take their 30 s each, one after the other, and hang nobody."""
    now = 0.0
    told = StatusReporter()
    told.lease = Lease(lambda: now)
    journal = Journal(publisher=told)
    now = LONGEST_STEP
    telling(journal)
    now += LONGEST_STEP + status_reporter.MARGIN
    assert told.lease.holds
    now += 0.1
    assert not told.lease.holds


class Hearing(ServiceManager):
    """A service manager that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def __bool__(self) -> bool:
        return True

    def ready(self) -> None:
        """Take note of it."""
        self.heard.append("ready")

    def reloading(self) -> None:
        """Take note of it."""
        self.heard.append("reloading")


def test_ready_again_only_after_a_hangup() -> None:
    """The manager hears that watch is ready once, and once more for each SIGHUP."""
    manager = Hearing()
    journal = Journal(manager=manager)
    journal.prepared()
    journal.connecting()
    journal.told_to_reconnect()
    journal.connecting()
    journal.connecting()
    assert manager.heard == ["ready", "reloading", "ready"]


def test_refusal_that_comes_back_is_told_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was mended, or gone, for a while is news when it is refused once more."""
    monkeypatch.setattr(logging.getLogger("ctsdns_traefik"), "propagate", True)
    journal = Journal()
    for problems in ([REFUSED], [REFUSED], [], [REFUSED]):
        journal.refused(problems)
    assert len(caplog.records) == 2


def test_warning_refuses_nothing() -> None:
    """A warning about an entry does not count as a refused entry in the status."""
    journal = Journal()
    journal.refused([REFUSED])
    journal.warned([REFUSED, REFUSED._replace(entry="another")])
    assert journal.status.refused == (REFUSED,)
