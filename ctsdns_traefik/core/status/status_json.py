"""Write a status as the JSON of the status file; schemas/status.schema.json describes it."""

from __future__ import annotations

import json
from typing import Any

from ctsdns_traefik.core.problems import Diagnostic, count_entries
from ctsdns_traefik.core.status.status import (
    LISTED_AT_MOST,
    AccessFile,
    ErrorRecord,
    Hook,
    MachineCheck,
    PendingRemoval,
    Status,
    TraefikAnswer,
    WriterLease,
)
from ctsdns_traefik.core.status.timestamps import time_to_text
from ctsdns_traefik.core.text import shown


def status_to_text(status: Status, updated: float) -> str:
    """Return a status as JSON, with the time at which all of it held."""
    document = {
        "version": status.version,
        "state": status.state,
        "pid": status.pid,
        "started": time_to_text(status.started),
        "updated": time_to_text(updated),
        "endpoint": shown(status.endpoint),
        "output": shown(status.output),
        "poll_interval": status.poll_interval,
        **{name: _time(getattr(status, name)) for name in _TIMES},
        "routes": status.routes,
        "refused": _diagnostics(status.refused),
        "consecutive_failures": status.consecutive_failures,
        "last_error": _error(status.last_error),
        "output_error": _error(status.output_error),
        "pending_removal": _pending(status.pending_removal),
        "hook": _hook(status.hook),
        "traefik": _answer(status.traefik),
        "access": _access(status.access),
        "machines": _machines(status.machines),
        "lease": _lease(status.lease),
        "counters": status.counters._asdict(),
    }
    return json.dumps(document, indent=2) + "\n"


_TIMES = ("connected_since", "last_event", "last_snapshot", "last_applied", "last_write")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else time_to_text(seconds)


def _diagnostics(diagnostics: tuple[Diagnostic, ...]) -> dict[str, Any]:
    listed = [_diagnostic(each) for each in diagnostics[:LISTED_AT_MOST]]
    return {"count": count_entries(diagnostics), "entries": listed}


def _diagnostic(diagnostic: Diagnostic) -> dict[str, str]:
    return {
        "entry": shown(diagnostic.entry),
        "code": diagnostic.code,
        "message": shown(diagnostic.message),
    }


def _error(error: ErrorRecord | None) -> dict[str, str | None] | None:
    if error is None:
        return None
    return {
        "time": time_to_text(error.time),
        "event": error.event,
        "message": shown(error.message),
        "reason": error.reason or None,
    }


def _pending(removal: PendingRemoval | None) -> dict[str, Any] | None:
    if removal is None:
        return None
    return {
        "since": time_to_text(removal.since),
        "removed": len(removal.removed),
        "routes": removal.routes,
        "routers": list(removal.removed[:LISTED_AT_MOST]),
    }


def _hook(hook: Hook | None) -> dict[str, Any] | None:
    if hook is None:
        return None
    return {"time": time_to_text(hook.time), "error": _error(hook.error)}


def _access(access: AccessFile | None) -> dict[str, Any] | None:
    if access is None:
        return None
    return {
        "path": shown(access.path),
        "enforced": _time(access.enforced),
        "error": _error(access.error),
    }


def _machines(machines: MachineCheck | None) -> dict[str, Any] | None:
    if machines is None:
        return None
    return {
        "checked": _time(machines.checked),
        "error": _error(machines.error),
        **_diagnostics(machines.problems),
    }


def _lease(lease: WriterLease | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    return {
        "role": lease.role,
        "since": time_to_text(lease.since),
        "holder": shown(lease.holder) or None,
    }


def _answer(answer: TraefikAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    verdict = answer.verdict
    return {
        "checked": time_to_text(answer.checked),
        "error": _error(answer.error),
        "loaded": verdict and verdict.loaded,
        "missing": verdict and len(verdict.missing),
        "lingering": verdict and len(verdict.lingering),
        "disabled": verdict and len(verdict.errors),
        "objections": [
            {"router": shown(each.router), "message": each.message}
            for each in (verdict.errors[:LISTED_AT_MOST] if verdict else ())
        ],
    }
