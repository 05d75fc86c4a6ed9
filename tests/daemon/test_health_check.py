"""The verdict of ``watch --health``: a status file, well or not, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import run
from support.statuses import APPLIED, CONNECTED, TRUSTED

from ctsdns_traefik.core.dynamic.diff import Changes
from ctsdns_traefik.core.status.health import AHEAD, LONGEST_SILENCE, Health, judge
from ctsdns_traefik.core.status.status import AccessFile, Status
from ctsdns_traefik.core.status.status_json import status_to_text
from ctsdns_traefik.daemon.events import (
    AccessEnforced,
    AccessPending,
    AccessUnusable,
    Disconnected,
    RemovalHeld,
    SnapshotUntrusted,
    Stopped,
    Unreachable,
    WorkerFailed,
    WriteFailed,
)
from ctsdns_traefik.daemon.health_check import check_health

AT = 1_795_266_309.0
MAX_AGE = 120.0
REMOVAL = Changes((), (), ("a", "b", "c"), before=4)

WELL = (
    Status(started=AT - 500)
    .after(CONNECTED, AT - 490)
    .after(TRUSTED, AT - 40)
    .after(APPLIED, AT - 39)
)

GUARDED = WELL._replace(access=AccessFile("access.yml"))


def judged(status: Status, *, updated: float = AT - 3) -> Health:
    """Judge a status as its file has it."""
    return judge(status_to_text(status, updated).encode(), AT, MAX_AGE)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        pytest.param(WELL, "healthy: connected, the last snapshot is 40 s old", id="connected"),
        pytest.param(
            WELL.after(Disconnected("it broke off", 5), AT - 5),
            "healthy: waiting, the last snapshot is 40 s old",
            id="lost-connection-for-a-while",
        ),
        pytest.param(
            WELL.after(TRUSTED, AT - 9).after(RemovalHeld(REMOVAL), AT - 9).after(APPLIED, AT - 9),
            "healthy: connected, the last snapshot is 9 s old;"
            " a removal waits for the next snapshot to agree",
            id="removal-waits",
        ),
        pytest.param(
            Status()
            .after(TRUSTED, AT - 900)
            .after(APPLIED, AT - 900)
            .after(TRUSTED, AT - 9)
            .after(RemovalHeld(REMOVAL), AT - 9)
            .after(APPLIED, AT - 9),
            "healthy: starting, the last snapshot is 9 s old;"
            " a removal waits for the next snapshot to agree",
            id="removal-waits-long-after-the-last-write",
        ),
        pytest.param(
            WELL.after(TRUSTED, AT - 1),
            "healthy: connected, the last snapshot is 1 s old",
            id="snapshot-being-written",
        ),
        pytest.param(
            WELL.after(WriteFailed("full"), AT - 9).after(APPLIED, AT - 8),
            "healthy: connected, the last snapshot is 40 s old",
            id="mended-output",
        ),
        pytest.param(
            WELL._replace(poll_interval=300).after(TRUSTED, AT - 750).after(APPLIED, AT - 750),
            "healthy: connected, the last snapshot is 750 s old",
            id="slow-polls",
        ),
        pytest.param(
            GUARDED.after(AccessEnforced(), AT - 30),
            "healthy: connected, the last snapshot is 40 s old",
            id="access-in-force",
        ),
    ],
)
def test_well(status: Status, why: str) -> None:
    """It is well as long as the last snapshot is young and in the output."""
    assert judged(status) == Health(True, why)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        pytest.param(
            WELL.after(TRUSTED, AT - 121).after(APPLIED, AT - 121),
            "the last trusted snapshot is 121 s old, above 120 s; watch is connected",
            id="old-snapshot",
        ),
        pytest.param(
            WELL._replace(poll_interval=30).after(TRUSTED, AT - 121).after(APPLIED, AT - 121),
            "the last trusted snapshot is 121 s old, above 120 s; watch is connected",
            id="old-poll",
        ),
        pytest.param(
            WELL._replace(poll_interval=300).after(TRUSTED, AT - 751).after(APPLIED, AT - 751),
            "the last trusted snapshot is 751 s old, above 750 s; watch is connected",
            id="old-slow-poll",
        ),
        pytest.param(
            WELL.after(TRUSTED, AT - 200)
            .after(APPLIED, AT - 200)
            .after(WorkerFailed("quota"), AT - 1),
            "the last trusted snapshot is 200 s old, above 120 s; watch is connected;"
            " the last error: quota",
            id="error-events-alone",
        ),
        pytest.param(
            WELL.after(TRUSTED, AT - 200)
            .after(APPLIED, AT)
            .after(SnapshotUntrusted("not JSON"), AT - 1),
            "the last trusted snapshot is 200 s old, above 120 s; watch is connected;"
            " the last error: not JSON",
            id="untrusted-snapshots-alone",
        ),
        pytest.param(
            Status().after(Unreachable("cannot connect", 5), AT - 1),
            "no trusted snapshot has come yet; watch is waiting; the last error: cannot connect",
            id="no-snapshot-yet",
        ),
        pytest.param(
            WELL.after(WriteFailed("disk full"), AT - 1),
            "the output does not hold what it should: disk full",
            id="unwritable",
        ),
        pytest.param(
            Status().after(TRUSTED, AT - 1),
            "the last snapshot is not in the output",
            id="never-applied",
        ),
        pytest.param(
            WELL.after(APPLIED, AT - 130)
            .after(TRUSTED, AT - 1)
            .after(Disconnected("a defect", 5), AT - 1),
            "the last snapshot is not in the output; the last error: a defect",
            id="not-applied-for-long",
        ),
        pytest.param(WELL.after(Stopped("SIGTERM"), AT), "watch has stopped", id="stopped"),
        pytest.param(
            GUARDED,
            "the access file is not in force: the present routes have not been checked yet",
            id="access-not-applied-yet",
        ),
        pytest.param(
            GUARDED.after(AccessEnforced(), AT - 30).after(
                AccessUnusable("line 2", "access.yml"), AT - 9
            ),
            "the access file is not in force: line 2",
            id="broken-access-file",
        ),
        pytest.param(
            GUARDED.after(AccessEnforced(), AT - 30).after(AccessPending("disk full"), AT - 9),
            "the access file is not in force: disk full",
            id="access-that-cannot-be-written",
        ),
    ],
)
def test_unwell(status: Status, why: str) -> None:
    """Stale is unwell, not only dead; so is an output that does not hold the snapshot."""
    assert judged(status) == Health(False, f"unhealthy: {why}")


@pytest.mark.parametrize(
    ("updated", "why"),
    [
        pytest.param(AT - LONGEST_SILENCE, None, id="just-in-time"),
        pytest.param(
            AT - LONGEST_SILENCE - 1,
            "watch last reported its status 31 s ago: it is dead or hangs",
            id="silent",
        ),
        pytest.param(AT + AHEAD, None, id="hardly-ahead"),
        pytest.param(
            AT + 6,
            "the last report lies 6 s in the future: was the clock set back?",
            id="in-the-future",
        ),
    ],
)
def test_file_has_to_be_kept_up_to_date(updated: float, why: str | None) -> None:
    """A file that is not renewed, or that comes from the future, is of a watch that is not well."""
    verdict = judged(WELL, updated=updated)
    assert verdict.well == (why is None)
    assert why is None or verdict.why == f"unhealthy: {why}"


@pytest.mark.parametrize(
    ("field", "name"),
    [("last_snapshot", "the last snapshot"), ("last_applied", "the last write")],
)
def test_snapshot_from_the_future(field: str, name: str) -> None:
    """A time ahead of the clock is not taken for a young one."""
    later: dict[str, Any] = {field: AT + 60}
    verdict = judged(WELL._replace(**later))
    assert verdict == Health(
        False, f"unhealthy: {name} lies 60 s in the future: was the clock set back?"
    )


GOOD: dict[str, Any] = json.loads(status_to_text(WELL, AT))

WRONG: list[tuple[str, object]] = [
    *(("state", "dancing"), ("state", None), ("state", []), ("updated", None)),
    *(("updated", 5), ("updated", "today"), ("updated", "2026-11-21T13:05:09")),
    *(("last_snapshot", True), ("last_applied", {}), ("output_error", "full")),
    *(("access", "broken"), ("access", {}), ("access", {"error": {}})),
    *(("last_error", []), ("output_error", {}), ("updated", "9999-12-31T23:59:59-23:59")),
]

NO_STATUS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="cut-off"),
    pytest.param(b"\xff\xfe\x00", id="binary"),
    pytest.param(b"[]", id="list"),
    pytest.param(b"null", id="null"),
    pytest.param(b"NaN", id="no-number"),
    pytest.param(b"[" * 100_000, id="deep"),
    *(
        pytest.param(json.dumps(GOOD | {name: value}).encode(), id=f"{name}-{value}"[:40])
        for name, value in WRONG
    ),
    *(
        pytest.param(
            json.dumps({key: GOOD[key] for key in GOOD if key != name}).encode(), id=f"no-{name}"
        )
        for name in ("state", "updated", "last_snapshot", "last_applied", "pending_removal")
    ),
]


@pytest.mark.parametrize("text", NO_STATUS)
def test_other_text(text: bytes) -> None:
    """Whatever else a file holds, the verdict is that it is no status."""
    verdict = judge(text, AT, MAX_AGE)
    assert not verdict.well
    assert verdict.why.startswith("unhealthy: ")
    assert "\n" not in verdict.why


def asked(*arguments: str | Path, **attributes: Any) -> tuple[int, str]:
    """Ask for a verdict; return the exit code and the line on standard output."""
    done = run("watch", "--health", *arguments, **attributes)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout.rstrip("\n")


def test_missing_file(tmp_path: Path) -> None:
    """Without a file the verdict says so, as one line, and the exit code is 1."""
    path = tmp_path / "status.json"
    missing = (1, f"unhealthy: cannot read {path}: no such file or directory")
    assert asked("--status-file", path) == missing
    assert asked(environment={"TRAEFIK_CONFIG_STATUS_FILE": str(path)}) == missing


def test_things_that_are_no_file(tmp_path: Path) -> None:
    """A folder, a pipe that nothing writes to, and a huge file are one line each, at once."""
    pipe, huge = tmp_path / "pipe", tmp_path / "huge"
    os.mkfifo(pipe)
    huge.touch()
    os.truncate(huge, 10**9)
    reasons = [asked("--status-file", path)[1] for path in (tmp_path, pipe, huge)]
    assert reasons == [
        f"unhealthy: cannot read {tmp_path}: is a directory",
        f"unhealthy: cannot read {pipe}: it is not a regular file",
        f"unhealthy: cannot read {huge}: it has more than 16777216 bytes",
    ]


def test_file_of_many_entrypoints(tmp_path: Path) -> None:
    """A policy of ten thousand entrypoints, each with a long name, makes no watch unhealthy."""
    path, now = tmp_path / "status.json", time.time()
    routes = {f"{number:0250}": 1 for number in range(10_000)}
    path.write_text(
        status_to_text(Status(routes=routes).after(TRUSTED, now).after(APPLIED, now), now)
    )
    assert check_health(path, 600).well


def test_garbage(tmp_path: Path) -> None:
    """A file of something else is one line, too."""
    path = tmp_path / "status.json"
    path.write_bytes(b"\xff[")
    assert asked("--status-file", path) == (
        1,
        "unhealthy: the status file is not one that watch writes",
    )


def test_health_loads_little(tmp_path: Path) -> None:
    """A verdict, asked for every few seconds, loads none of the heavy packages."""
    path = tmp_path / "status.json"
    program = (
        "import sys; from ctsdns_traefik.cli import main; "
        f"main(['watch', '--health', '--status-file', {str(path)!r}]); "
        "print(sorted({'requests', 'urllib3', 'rich', 'ruamel', 'sseclient'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[1:] == ["[]"]
