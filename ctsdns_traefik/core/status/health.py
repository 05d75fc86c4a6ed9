"""Health: judge by the text of a status file whether watch does its work."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ctsdns_traefik.core.status.status import Role, State
from ctsdns_traefik.core.status.timestamps import time_from_text
from ctsdns_traefik.core.text import shown

BEAT = 10.0
"""Seconds after which watch writes its status file again at the latest, changed or not."""

LONGEST_SILENCE = 3 * BEAT
"""Seconds without an update after which watch is taken for dead or hung."""

AHEAD = 5.0
"""Seconds that a time may lie in the future; more, and the clock has been set back."""


POLLS = 2.5
"""Poll intervals that the last trusted snapshot may be old at least: one poll may fail."""


def allowed_age(max_age: float, poll_interval: float | None) -> float:
    """Return how old the last trusted snapshot may be, also if the source is polled slowly."""
    return max(max_age, POLLS * (poll_interval or 0.0))


class Health(NamedTuple):
    """A verdict."""

    well: bool
    why: str


class _StatusFile(NamedTuple):
    """The fields of a status file that health depends on."""

    state: State
    updated: float
    last_snapshot: float | None
    last_applied: float | None
    output_error: str | None
    last_error: str | None
    removal_held: bool
    writer: str | None
    """The process that writes while this watch stands by."""
    poll_interval: float | None
    access: str | None
    """Why the access file is not in force; ``None`` if it is, or there is none."""

    @property
    def error_suffix(self) -> str:
        """The last error, for the end of a sentence."""
        return "" if self.last_error is None else f"; the last error: {self.last_error}"


class _Unhealthy(Exception):
    """Why watch is not healthy."""


def judge(text: bytes, now: float, max_age: float) -> Health:
    """Return whether a status file's text shows a healthy watch, and why not.

    It is healthy if the file is up to date, the access file is in force, and the last trusted
    snapshot is at most ``max_age`` seconds old and in the output. A snapshot whose removal is held
    need not be in the output, nor that of a watch that stands by while another writes. A source
    that is polled slowly may be as old as :func:`allowed_age` returns.
    """
    try:
        status = _read(text)
        max_age = allowed_age(max_age, status.poll_interval)
        _require_alive(status, now)
        _require_access(status)
        age = _age_of_snapshot(status, now, max_age)
        _require_applied(status, now, max_age)
    except _Unhealthy as why:
        return Health(False, f"unhealthy: {why}")
    waits = "; a removal waits for the next snapshot to agree" if status.removal_held else ""
    waits += _standby(status, now, max_age)
    return Health(True, f"healthy: {status.state}, the last snapshot is {age:.0f} s old{waits}")


def _standby(status: _StatusFile, now: float, max_age: float) -> str:
    if status.writer is None:
        return ""
    differs = "" if _is_applied(status, now, max_age) else ", something else than the last snapshot"
    return f"; standing by: {status.writer} writes{differs}"


def _require_alive(status: _StatusFile, now: float) -> None:
    if status.state is State.STOPPED:
        raise _Unhealthy(f"watch has stopped{status.error_suffix}")
    silence = _age("the last report", status.updated, now)
    if silence > LONGEST_SILENCE:
        raise _Unhealthy(f"watch last reported its status {silence:.0f} s ago: it is dead or hangs")


def _require_access(status: _StatusFile) -> None:
    if status.access is not None:
        raise _Unhealthy(f"the access file is not in force: {status.access}")


def _age_of_snapshot(status: _StatusFile, now: float, max_age: float) -> float:
    if status.last_snapshot is None:
        raise _Unhealthy(
            f"no trusted snapshot has come yet; watch is {status.state}{status.error_suffix}"
        )
    age = _age("the last snapshot", status.last_snapshot, now)
    if age > max_age:
        old = f"the last trusted snapshot is {age:.0f} s old, above {max_age:g} s"
        raise _Unhealthy(f"{old}; watch is {status.state}{status.error_suffix}")
    return age


def _require_applied(status: _StatusFile, now: float, max_age: float) -> None:
    if status.output_error is not None:
        raise _Unhealthy(f"the output does not hold what it should: {status.output_error}")
    if not (status.removal_held or status.writer or _is_applied(status, now, max_age)):
        raise _Unhealthy(f"the last snapshot is not in the output{status.error_suffix}")


def _is_applied(status: _StatusFile, now: float, max_age: float) -> bool:
    applied = status.last_applied
    return applied is not None and _age("the last write", applied, now) <= max_age


def _age(name: str, time: float, now: float) -> float:
    if time > now + AHEAD:
        raise _Unhealthy(f"{name} lies {time - now:.0f} s in the future: was the clock set back?")
    return max(0.0, now - time)


def _read(text: bytes) -> _StatusFile:
    try:
        read = json.loads(text)
        return _StatusFile(
            State(read["state"]),
            time_from_text(read["updated"]),
            _time(read["last_snapshot"]),
            _time(read["last_applied"]),
            _message(read["output_error"]),
            _message(read["last_error"]),
            read["pending_removal"] is not None,
            _writer(read.get("lease")),
            _seconds(read.get("poll_interval")),
            _access(read.get("access")),
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as why:
        raise _Unhealthy("the status file is not one that watch writes") from why


def _access(access: Any) -> str | None:
    if access is None or (access["error"] is None and access["enforced"] is not None):
        return None
    return _message(access["error"]) or "the present routes have not been checked yet"


def _writer(lease: Any) -> str | None:
    return shown(str(lease["holder"])) if lease and lease["role"] == Role.STANDBY else None


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _time(value: Any) -> float | None:
    return None if value is None else time_from_text(value)


def _message(failure: Any) -> str | None:
    return None if failure is None else shown(str(failure["message"]))
