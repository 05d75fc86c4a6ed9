"""What is known about watch after each happening, and how it is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.statuses import (
    APPLIED,
    AT,
    CONNECTED,
    FULL,
    REFUSED,
    REMOVAL,
    SCHEMA,
    TRUSTED,
    UNKNOWN,
    of_entries,
)

from ctsdns_traefik.core.dynamic.diff import count_by_entrypoint
from ctsdns_traefik.core.dynamic.served import RouterError, Verdict
from ctsdns_traefik.core.status.status import (
    Counters,
    ErrorRecord,
    Hook,
    MachineCheck,
    PendingRemoval,
    State,
    Status,
    TraefikAnswer,
    summarize,
)
from ctsdns_traefik.core.status.status_json import status_to_text
from ctsdns_traefik.core.status.timestamps import time_from_text, time_to_text
from ctsdns_traefik.daemon.events import (
    Connecting,
    Disconnected,
    HookFailed,
    HookSucceeded,
    MachinesChecked,
    OtherEventReceived,
    OutputCreated,
    RemovalHeld,
    RoutesCounted,
    SnapshotUntrusted,
    Stopped,
    TraefikAnswered,
    TraefikNotAnswering,
    Unreachable,
    WatchFailed,
    WorkerFailed,
    WriteFailed,
)


def test_connection_from_beginning_to_end() -> None:
    """A connection that comes and goes is counted, and what ended it stays known."""
    status = Status().after(Connecting(), AT)
    assert status.state is State.CONNECTING
    status = status.after(CONNECTED, AT)
    assert status == Status(
        state=State.CONNECTED, connected_since=AT, counters=Counters(connections=1)
    )
    status = status.after(Disconnected("it broke off", 5), AT + 1)
    assert status == Status(
        state=State.WAITING,
        consecutive_failures=1,
        last_error=ErrorRecord(AT + 1, "disconnected", "it broke off"),
        counters=Counters(connections=1, connection_failures=1),
    )


def test_only_a_trusted_snapshot_ends_failures_in_a_row() -> None:
    """An endpoint that answers and breaks off again and again is still failing."""
    status = Status()
    for number in range(3):
        status = (
            status.after(CONNECTED, AT)
            .after(OtherEventReceived("other"), AT)
            .after(Disconnected("it broke off", 5), AT)
        )
        assert status.consecutive_failures == number + 1
    assert status.after(CONNECTED, AT).after(TRUSTED, AT).consecutive_failures == 0


def test_every_event_is_the_last_but_not_every_one_a_snapshot() -> None:
    """Errors and untrusted snapshots are events; only a trusted snapshot moves its time."""
    status = Status().after(TRUSTED, AT).after(OtherEventReceived("other"), AT + 1)
    assert (status.last_event, status.last_snapshot) == (AT + 1, AT)
    status = status.after(WorkerFailed("quota"), AT + 2)
    assert (status.last_event, status.last_snapshot) == (AT + 2, AT)
    assert status.last_error == ErrorRecord(AT + 2, "worker-error", "quota", "worker-error")
    status = status.after(SnapshotUntrusted("not JSON"), AT + 3)
    assert (status.last_event, status.last_snapshot) == (AT + 3, AT)
    assert status.counters == Counters(snapshots_trusted=1, snapshots_untrusted=1, worker_errors=1)


def test_failed_write_is_known_until_the_output_is_right() -> None:
    """An error of the output stays until a snapshot is applied, as the last error for longer."""
    error = ErrorRecord(AT, "output-error", "disk full")
    status = Status().after(WriteFailed("disk full"), AT)
    assert (status.output_error, status.last_error) == (error, error)
    assert status.after(TRUSTED, AT + 1).output_error == error
    status = status.after(TRUSTED, AT + 1).after(OutputCreated("x"), AT + 2).after(APPLIED, AT + 3)
    assert (status.output_error, status.last_error) == (None, error)
    assert (status.last_write, status.last_applied) == (AT + 2, AT + 3)


def test_snapshot_in_doubt_is_not_applied() -> None:
    """What waits for the removal guard is in doubt until the next snapshot, and not applied."""
    status = Status().after(TRUSTED, AT).after(APPLIED, AT)
    status = (
        status.after(TRUSTED, AT + 9).after(RemovalHeld(REMOVAL), AT + 9).after(APPLIED, AT + 9)
    )
    assert status.pending_removal == PendingRemoval(AT + 9, REMOVAL.removed, 4)
    assert status.last_applied == AT
    status = status.after(TRUSTED, AT + 20).after(APPLIED, AT + 20)
    assert (status.pending_removal, status.last_applied) == (None, AT + 20)


def test_end() -> None:
    """The end is known, and the error that it came with, or else what went wrong last."""
    before = Status().after(CONNECTED, AT).after(WorkerFailed("quota"), AT)
    assert before.after(Stopped("SIGTERM"), AT) == before._replace(
        state=State.STOPPED, connected_since=None
    )
    failure = ErrorRecord(AT, "failed", "cannot write")
    assert before.after(WatchFailed("cannot write"), AT).last_error == failure


def test_routes_by_entrypoint() -> None:
    """Routers of a document, whoever wrote it, are counted by the entrypoints that they name."""
    routers: dict[str, Any] = {
        "a": {"entryPoints": ["web"]},
        "b": {"entryPoints": ["web", "x"]},
        "c": {},
    }
    odd: dict[str, Any] = {"routers": {"d": {"entryPoints": "web"}, "e": {"entryPoints": ["tcp"]}}}
    document = {"http": {"routers": routers, "services": {"web": {}}}, "tcp": odd, "tls": {}}
    assert count_by_entrypoint(document) == {"web": 2, "x": 1, "tcp": 1}
    assert list(Status().after(RoutesCounted({"web": 2, "tcp": 1}), AT).routes) == ["tcp", "web"]


def test_text_says_all() -> None:
    """The JSON has everything that is known, times in UTC, on one line what came from outside."""
    said = json.loads(status_to_text(FULL, AT))
    entry = {"entry": REFUSED.entry, "code": "bad-port", "message": "no port"}
    assert said.pop("refused") == {"count": 102, "entries": [entry] * 100}
    assert said.pop("machines") == {
        "checked": "2026-11-21T13:05:03.250Z",
        "error": {
            "time": "2026-11-21T13:05:04.250Z",
            "event": "machines-error",
            "message": "no",
            "reason": None,
        },
        "count": 102,
        "entries": [{"entry": UNKNOWN.entry, "code": "unknown-machine", "message": "none"}] * 100,
    }
    assert said == {
        "version": "1.2.3",
        "state": "connected",
        "pid": 7,
        "started": "2026-11-21T13:03:29.250Z",
        "updated": "2026-11-21T13:05:09.250Z",
        "endpoint": "https://worker.example.com/api/config",
        "output": "/etc/traefik/dynamic.yml",
        "poll_interval": 30.0,
        "connected_since": "2026-11-21T13:03:39.250Z",
        "last_event": "2026-11-21T13:05:08.250Z",
        "last_snapshot": "2026-11-21T13:05:07.250Z",
        "last_applied": "2026-11-21T13:04:37.250Z",
        "last_write": "2026-11-21T13:04:09.250Z",
        "routes": {"tcp": 1, "web": 3},
        "consecutive_failures": 2,
        "last_error": {
            "time": "2026-11-21T13:05:06.250Z",
            "event": "untrusted",
            "message": "not\\nJSON \\udcff",
            "reason": "untrusted-policy",
        },
        "output_error": {
            "time": "2026-11-21T13:05:05.250Z",
            "event": "output-error",
            "message": "disk full",
            "reason": None,
        },
        "pending_removal": {
            "since": "2026-11-21T13:05:07.250Z",
            "removed": 3,
            "routes": 4,
            "routers": ["router-a", "router-b", "router-c"],
        },
        "hook": {
            "time": "2026-11-21T13:04:11.250Z",
            "error": {
                "time": "2026-11-21T13:04:11.250Z",
                "event": "hook-failed",
                "message": "sh exited with status 1",
                "reason": None,
            },
        },
        "traefik": {
            "checked": "2026-11-21T13:04:12.250Z",
            "error": None,
            "loaded": 2,
            "missing": 1,
            "lingering": 1,
            "disabled": 2,
            "objections": [{"router": "router-b", "message": "no"}] * 2,
        },
        "access": {
            "path": "/etc/traefik/access.yml",
            "enforced": "2026-11-21T13:03:49.250Z",
            "error": {
                "time": "2026-11-21T13:05:04.250Z",
                "event": "access-pending",
                "message": "no",
                "reason": None,
            },
        },
        "lease": {
            "role": "standby",
            "since": "2026-11-21T13:03:59.250Z",
            "holder": "pid 12 on web-1",
        },
        "counters": {
            "connections": 1,
            "connection_failures": 2,
            "snapshots_trusted": 3,
            "snapshots_untrusted": 4,
            "worker_errors": 5,
            "writes": 6,
            "write_errors": 7,
        },
    }


def test_hook_and_traefik() -> None:
    """What the hook and Traefik last did is known, and an error goes with the next good news."""
    failure = ErrorRecord(AT, "hook-failed", "no")
    status = Status().after(HookFailed("no"), AT)
    assert (status.hook, status.last_error) == (Hook(AT, failure), failure)
    status = status.after(HookSucceeded(), AT + 1)
    assert (status.hook, status.last_error) == (Hook(AT + 1), failure)
    status = status.after(TraefikNotAnswering("away"), AT + 2)
    assert status.traefik == TraefikAnswer(AT + 2, error=ErrorRecord(AT + 2, "api-error", "away"))
    said = json.loads(status_to_text(status, AT))["traefik"]
    assert (said["error"]["message"], said["loaded"], said["objections"]) == ("away", None, [])
    status = status.after(TraefikAnswered(Verdict(2, missing=("router-a",)), 1), AT + 3)
    assert status.traefik == TraefikAnswer(AT + 3, Verdict(2, missing=("router-a",)))
    assert status.last_error == failure


def test_machines() -> None:
    """A failed check keeps what is known of the machines; the next one that succeeds ends it."""
    status = Status().after(MachinesChecked((UNKNOWN,)), AT)
    assert status.machines == MachineCheck(AT, (UNKNOWN,))
    status = status.after(MachinesChecked((UNKNOWN,), "no scope"), AT + 1)
    failure = ErrorRecord(AT + 1, "machines-error", "no scope")
    assert status.machines == MachineCheck(AT, (UNKNOWN,), failure)
    assert status.last_error == failure
    assert status.after(MachinesChecked(()), AT + 2).machines == MachineCheck(AT + 2)
    assert Status().after(MachinesChecked((), "no"), AT).machines.checked is None  # type: ignore[union-attr]


def test_schema_knows_exactly_what_is_written() -> None:
    """The schema and the text name the same fields, states among them."""
    said = json.loads(status_to_text(FULL, AT))
    assert SCHEMA["required"] == list(SCHEMA["properties"]) == list(said)
    assert SCHEMA["properties"]["state"]["enum"] == list(State)
    for name in ("refused", "hook", "traefik", "machines", "counters"):
        assert SCHEMA["properties"][name]["required"] == list(said[name])
    access = SCHEMA["properties"]["access"]["anyOf"][1]
    assert access["required"] == list(access["properties"]) == list(said["access"])
    for name, field in (("failure", "last_error"), ("pending_removal", "pending_removal")):
        assert SCHEMA["$defs"][name]["required"] == list(said[field])


@pytest.mark.parametrize(
    ("status", "line"),
    [
        pytest.param(Status(), "starting; 0 routes", id="start"),
        pytest.param(
            Status(routes={"web": 1}, refused=(REFUSED,)).after(CONNECTED, AT).after(TRUSTED, AT),
            "connected; 1 route; last snapshot 13:05:09 UTC; 1 entry refused",
            id="well",
        ),
        pytest.param(
            Status().after(CONNECTED, AT).after(WorkerFailed("quota"), AT),
            "connected; 0 routes",
            id="connected-after-an-error",
        ),
        pytest.param(
            Status(routes={"web": 7, "tcp": 5}).after(Unreachable("cannot connect", 5), AT),
            "waiting; 12 routes; cannot connect",
            id="not-connected",
        ),
        pytest.param(
            FULL,
            "connected; 4 routes; last snapshot 13:05:07 UTC; 102 entries refused;"
            " 102 entries lead to no live machine; standing by for pid 12 on web-1;"
            " a removal of 3 routes waits; the access file is not in force: no; disk full",
            id="full",
        ),
    ],
)
def test_summary(status: Status, line: str) -> None:
    """One line says what a person asks first."""
    assert summarize(status) == line


def test_lists_are_bounded() -> None:
    """Of thousands the text lists a hundred and counts all: --health reads it each time."""
    names, many = tuple(f"router-{number}" for number in range(5_000)), 5_000
    verdict = Verdict(many, errors=tuple(RouterError(name, "no") for name in names))
    status = Status(
        refused=of_entries(many, REFUSED), pending_removal=PendingRemoval(AT, names, many)
    )
    said = json.loads(status_to_text(status.after(TraefikAnswered(verdict, 1), AT), AT))
    listed = (
        said["refused"]["entries"],
        said["pending_removal"]["routers"],
        said["traefik"]["objections"],
    )
    assert [len(each) for each in listed] == [100] * 3
    counted = (
        said["refused"]["count"],
        said["pending_removal"]["removed"],
        said["traefik"]["disabled"],
    )
    assert counted == (many,) * 3


def test_times_go_to_text_and_back() -> None:
    """A time survives to the millisecond; a text without a zone is none."""
    assert time_from_text(time_to_text(AT)) == AT
    assert time_from_text("2026-11-21T14:05:09.25+01:00") == AT
    with pytest.raises(ValueError, match="zone"):
        time_from_text("2026-11-21T13:05:09")
