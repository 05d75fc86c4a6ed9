"""The text of a status file -> whether watch is well, or why not."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ctsdns_traefik.core.status.status import Role, State
from ctsdns_traefik.core.status.timestamps import time_from_text
from ctsdns_traefik.core.text import shown

BEAT = 10.0
"""Seconds after which watch renews its status file at the latest, changed or not."""

LONGEST_SILENCE = 3 * BEAT
"""Seconds without that after which it is taken for dead or hung."""

AHEAD = 5.0
"""Seconds that a time may lie in the future; more, and the clock has been set back."""


class Health(NamedTuple):
    """A verdict."""

    well: bool
    why: str


class _Told(NamedTuple):
    """What of a status file decides."""

    state: State
    updated: float
    last_snapshot: float | None
    last_applied: float | None
    output_error: str | None
    last_error: str | None
    in_doubt: bool
    writer: str | None
    """The process that writes while this watch stands by."""
    access: str | None
    """Why the access file is not in force; ``None`` if it is, or there is none."""

    @property
    def trouble(self) -> str:
        """Say what went wrong last, for the end of a sentence."""
        return "" if self.last_error is None else f"; the last error: {self.last_error}"


class _Sick(Exception):
    """Why watch is not well."""


def judge(text: bytes, now: float, max_age: float) -> Health:
    """Judge by a status file's text whether watch does its work.

    It does if the file is kept up to date, the access file is in force, and the last trusted
    snapshot is at most ``max_age`` seconds old and in the output. One that waits for the removal
    guard need not be, nor that of a watch that stands by while another writes.
    """
    try:
        told = _read(text)
        _require_alive(told, now)
        _require_access(told)
        age = _age_of_snapshot(told, now, max_age)
        _require_applied(told, now, max_age)
    except _Sick as why:
        return Health(False, f"unhealthy: {why}")
    waits = "; a removal waits for the next snapshot to agree" if told.in_doubt else ""
    waits += _standby(told, now, max_age)
    return Health(True, f"healthy: {told.state}, the last snapshot is {age:.0f} s old{waits}")


def _standby(told: _Told, now: float, max_age: float) -> str:
    if told.writer is None:
        return ""
    differs = "" if _is_applied(told, now, max_age) else ", something else than the last snapshot"
    return f"; standing by: {told.writer} writes{differs}"


def _require_alive(told: _Told, now: float) -> None:
    if told.state is State.STOPPED:
        raise _Sick(f"watch has stopped{told.trouble}")
    silence = _age("updated", told.updated, now)
    if silence > LONGEST_SILENCE:
        raise _Sick(f"the status file was last updated {silence:.0f} s ago: watch is dead or hangs")


def _require_access(told: _Told) -> None:
    if told.access is not None:
        raise _Sick(f"the access file is not in force: {told.access}")


def _age_of_snapshot(told: _Told, now: float, max_age: float) -> float:
    if told.last_snapshot is None:
        raise _Sick(f"no trusted snapshot has come yet; watch is {told.state}{told.trouble}")
    age = _age("last_snapshot", told.last_snapshot, now)
    if age > max_age:
        old = f"the last trusted snapshot is {age:.0f} s old, above {max_age:g} s"
        raise _Sick(f"{old}; watch is {told.state}{told.trouble}")
    return age


def _require_applied(told: _Told, now: float, max_age: float) -> None:
    if told.output_error is not None:
        raise _Sick(f"the output does not hold what it should: {told.output_error}")
    if not (told.in_doubt or told.writer or _is_applied(told, now, max_age)):
        raise _Sick(f"the last snapshot is not in the output{told.trouble}")


def _is_applied(told: _Told, now: float, max_age: float) -> bool:
    applied = told.last_applied
    return applied is not None and _age("last_applied", applied, now) <= max_age


def _age(name: str, time: float, now: float) -> float:
    if time > now + AHEAD:
        raise _Sick(f"{name} lies {time - now:.0f} s in the future: was the clock set back?")
    return max(0.0, now - time)


def _read(text: bytes) -> _Told:
    try:
        read = json.loads(text)
        return _Told(
            State(read["state"]),
            time_from_text(read["updated"]),
            _time(read["last_snapshot"]),
            _time(read["last_applied"]),
            _message(read["output_error"]),
            _message(read["last_error"]),
            read["doubt"] is not None,
            _writer(read.get("lease")),
            _access(read.get("access")),
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as why:
        raise _Sick("the status file is not one that watch writes") from why


def _access(access: Any) -> str | None:
    if access is None or (access["error"] is None and access["enforced"] is not None):
        return None
    return _message(access["error"]) or "the routes that stand have not been looked at yet"


def _writer(lease: Any) -> str | None:
    return shown(str(lease["holder"])) if lease and lease["role"] == Role.STANDBY else None


def _time(value: Any) -> float | None:
    return None if value is None else time_from_text(value)


def _message(failure: Any) -> str | None:
    return None if failure is None else shown(str(failure["message"]))
