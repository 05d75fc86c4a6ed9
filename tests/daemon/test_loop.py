"""The loop, following a source that yields prepared values: what it does with each of them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.entries import hosts, names_in

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.machines import Machine
from ctsdns_traefik.core.policy import SourceText
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.loop import Watch
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import SourceError, Stop
from ctsdns_traefik.output.file import FileOutput
from ctsdns_traefik.source.base import (
    Expect,
    MachineList,
    OtherEvent,
    Policy,
    Received,
    Untrusted,
    Wording,
    WorkerError,
)


class Prepared:
    """A source whose runs are prepared: the values of each, and what ends it."""

    wording = Wording("reading the policy from", "cannot read", "cannot read")
    interval = 30.0

    def __init__(self, *runs: list[Received | SourceError]) -> None:
        self.runs = [*runs]
        self.confirmed: list[str] = []
        self.path: Path

    def __str__(self) -> str:
        return "the source"

    @contextmanager
    def follow(self, _cancellation: Cancellation, _expect: Expect) -> Iterator[Iterator[Received]]:
        """Yield the values of the next run; stop the loop when there is none."""
        if not self.runs:
            raise Stop(signal.SIGTERM)
        values = self.runs.pop(0)
        if isinstance(values[0], SourceError):
            raise values[0]
        yield self.received(values)

    def received(self, values: list[Received | SourceError]) -> Iterator[Received]:
        """Yield values until one is an error."""
        for value in values:
            if isinstance(value, SourceError):
                raise value
            yield value

    def pause(self, cancellation: Cancellation, seconds: float) -> None:
        """Have the pause kept."""
        cancellation.pause(seconds)

    def refresh(self) -> str:
        """Do nothing."""
        return ""

    def confirm(self) -> None:
        """Keep what the output held."""
        self.confirmed.append(names_in(self.path))


def policy(names: str) -> Policy:
    """Return a policy with one entry a letter."""
    return Policy(hosts(names), SourceText("", b""))


class Pauses(list[float]):
    """The signals of a loop, its pauses kept, none of them waited for; no stop comes."""

    @contextmanager
    def attempt(self) -> Iterator[Any]:
        """Begin what is never cancelled."""
        yield SimpleNamespace(cancelled=False, check=lambda: None, pause=self.append)

    def check(self) -> None:
        """Do nothing."""

    def take_hangup(self) -> bool:
        """Return that no SIGHUP has come."""
        return False


def follow(source: Prepared, path: Path) -> tuple[Pauses, EventPublisher]:
    """Follow a source through all of its runs; return the pauses between them."""
    source.path = path
    publisher, pauses = EventPublisher(), Pauses()
    signals: Any = pauses
    reconciler = Reconciler(FileOutput(path), publisher=publisher)
    watch = Watch(source, reconciler, signals, delay=5, chance=lambda: 0, publisher=publisher)
    with pytest.raises(Stop):
        watch.run()
    return pauses, publisher


def test_values_of_every_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only a trusted policy changes the output; the others are published, as is how a run ends."""
    path = tmp_path / "d.yml"
    source = Prepared(
        [SourceError("it refuses")],
        [
            policy("ab"),
            Untrusted("it is broken"),
            WorkerError("no API"),
            OtherEvent("x"),
            SourceError("it broke off", retry_after=7),
        ],
    )
    with caplog.at_level(logging.WARNING):
        pauses, publisher = follow(source, path)
    assert (names_in(path), pauses) == ("ab", [5, 7])
    assert [record.getMessage() for record in caplog.records] == [
        "cannot read the source: it refuses; retrying in 5.0 s",
        "the policy cannot be trusted, the output stays: it is broken",
        "the worker reports an error: no API",
        "cannot read the source: it broke off; retrying in 7.0 s",
    ]
    counters = publisher.status.counters
    assert (counters.connection_failures, counters.snapshots_untrusted) == (2, 1)


def test_delay_that_a_source_asks_for_lasts_until_it_delivers(tmp_path: Path) -> None:
    """A longer delay stays through runs that fail, and ends with the first value."""
    slow, quick = SourceError("slow down", retry_after=60), SourceError("it broke off")
    source = Prepared([slow], [quick], [policy("a"), quick], [quick])
    assert follow(source, tmp_path / "d.yml")[0] == [60, 60, 5, 5]


def test_machines_cost_one_line_each_until_they_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Machines are warned of once, also when the list fails in between, and routes never go."""
    path = tmp_path / "d.yml"
    there = Machine("nas", ("100.64.0.1",))
    offline = MachineList((there._replace(offline_since=""),))
    failed = MachineList(error="no scope")
    lists = [offline, offline, failed, failed, offline, MachineList((there,)), failed, offline]
    source = Prepared([policy("a"), *lists, policy("a"), offline, SourceError("end")])
    with caplog.at_level(logging.WARNING):
        _, publisher = follow(source, path)
    lines = [record.getMessage().partition(";")[0] for record in caplog.records[:-1]]
    warned = "machine-offline: _web_http_80._tcp.a.example.com=100.64.0.1: machine nas is offline"
    failure = "the machines cannot be checked, the routes stay: no scope"
    assert lines == [warned, failure, failure, warned]
    assert names_in(path) == "a"
    machines = publisher.status.machines
    assert machines
    assert [each.code for each in machines.problems] == ["machine-offline"]
    assert machines.error is None
    assert publisher.status.counters.writes == 2


def test_held_removal_is_to_be_confirmed(tmp_path: Path) -> None:
    """A source is asked for confirmation each time that a removal is held, and at no other."""
    last = policy("d")
    source = Prepared([policy("abcd"), policy("d"), policy("a"), policy("abcd"), last, last, last])
    follow(source, tmp_path / "d.yml")
    assert source.confirmed == ["abcd", "abcd", "abcd"]
    assert names_in(tmp_path / "d.yml") == "d"


def test_bad_policy_that_polls_repeat_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same value counts each time, and is logged again only after another."""
    bad = Untrusted("it is broken")
    source = Prepared([bad, bad, policy("a"), bad, Untrusted("it is broken")])
    with caplog.at_level(logging.WARNING):
        _, publisher = follow(source, tmp_path / "d.yml")
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "it is broken" in line]) == 3
    assert publisher.status.counters.snapshots_untrusted == 4
