"""What the log has in JSON beside the message, for the happenings with the most to tell."""

from __future__ import annotations

from ctsdns_traefik.core.dynamic import Changes
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status import LISTED_AT_MOST
from ctsdns_traefik.logs import as_event
from ctsdns_traefik.output import WriteResult


def of_refusal(problem: Diagnostic) -> dict[str, object]:
    """Return the fields of a refused entry."""
    return as_event("refused", **_fields(problem))


def of_warning(problem: Diagnostic) -> dict[str, object]:
    """Return the fields of an entry or alias that probably means something else."""
    return as_event("entry-warning", **_fields(problem))


def of_unused(problem: Diagnostic) -> dict[str, object]:
    """Return which setting of the access file concerns no entry."""
    return as_event(
        "access-unused", setting=problem.setting, problem=problem.message, hint=problem.hint
    )


def of_unprotected(routers: tuple[str, ...]) -> dict[str, object]:
    """Return the routers that have lost their protection."""
    return as_event("unprotected", count=len(routers), routers=routers[:LISTED_AT_MOST])


def of_doubt(changes: Changes) -> dict[str, object]:
    """Return what a removal that waits would remove."""
    return as_event("doubted", routes=changes.before, **_names("removed", changes.removed))


def of_change(
    target: object, written: WriteResult, changes: Changes, routes: int
) -> dict[str, object]:
    """Return what has become of a target that holds so many routes now."""
    return as_event(
        "written",
        output=target,
        outcome=written.outcome.value,
        routes=routes,
        **_names("added", changes.added),
        **_names("changed", changes.changed),
        **_names("removed", changes.removed),
    )


def _fields(problem: Diagnostic) -> dict[str, object]:
    return {
        "code": problem.code,
        "entry": problem.entry,
        "address": problem.address,
        "problem": problem.message,
        "hint": problem.hint,
    }


def _names(what: str, names: tuple[str, ...]) -> dict[str, object]:
    return {what: len(names), f"{what}_routers": names[:LISTED_AT_MOST]}
