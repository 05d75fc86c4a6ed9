"""Events: each thing that happens to watch, as one frozen value.

An event knows its log line (``level``, its text, ``fields()``) and what it changes in the status
(``change()``, ``counter``). A new kind of event is one class here and a row in docs/status.md.
:class:`.EventPublisher` passes events on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ctsdns_traefik.core.dynamic import NAMED_AT_MOST, Changes, Verdict, listed
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status import (
    LISTED_AT_MOST,
    ErrorRecord,
    Hook,
    PendingRemoval,
    State,
    Status,
    TraefikAnswer,
)
from ctsdns_traefik.output import OutputWarning

LONGEST_STEP = 60.0
"""Seconds that the loop may take to render, check and write, for the command after a change, or to
begin a connection."""


class Event:
    """Something that happened; unless its class says more, not logged and without effect."""

    event: ClassVar[str] = ""
    """Its name in the log as JSON and in the status."""
    level: ClassVar[int | None] = None
    """The level that it is logged at; ``None`` if it is not."""
    topic: ClassVar[str] = ""
    """Lines that the last event of the same topic had, too, are not logged again."""
    counter: ClassVar[str] = ""
    """The field of :class:`.Counters` that counts it."""
    begins_step: ClassVar[bool] = False
    """The loop now begins something that may take :data:`LONGEST_STEP`."""

    def __str__(self) -> str:
        return self.event

    def fields(self) -> dict[str, object]:
        """Return what the log has in JSON beside the message; docs/status.md lists it."""
        return dict(vars(self))

    def lines(self) -> tuple[Event, ...]:
        """Return the events to log: this one, or one for each of the items that it reports."""
        return () if self.level is None else (self,)

    def change(self, status: Status, now: float) -> Status:
        """Return the status after this event."""
        return status

    def next_report(self) -> float | None:
        """Return within how many seconds the loop reports again, if this event determines it."""
        return LONGEST_STEP if self.begins_step else None


@dataclass(frozen=True)
class _Failure(Event):
    """Something that went wrong, and why."""

    error: str
    level: ClassVar[int | None] = logging.WARNING

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_error=self.record(now))

    def record(self, now: float) -> ErrorRecord:
        """Return the failure as the status keeps it."""
        return ErrorRecord(now, self.event, self.error)


# The process: start, reconnect, end


@dataclass(frozen=True)
class OutputReady(Event):
    """The output exists and can be written, so that Traefik can start."""


@dataclass(frozen=True)
class Reconnecting(Event):
    """A signal asks for a new connection at once."""

    signal: str
    event = "reconnecting"
    level = logging.INFO

    def __str__(self) -> str:
        return f"{self.signal}: connecting again"


@dataclass(frozen=True)
class Stopped(Event):
    """A signal ends watch."""

    signal: str
    event = "stopped"
    level = logging.INFO

    def __str__(self) -> str:
        return f"{self.signal}: stopped"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(state=State.STOPPED, connected_since=None)


@dataclass(frozen=True)
class WatchFailed(_Failure):
    """An error ends watch; the command line interface logs it, with the exit code."""

    event = "failed"
    level = None

    def change(self, status: Status, now: float) -> Status:
        status = super().change(status, now)
        return status._replace(state=State.STOPPED, connected_since=None)


@dataclass(frozen=True)
class StatusFileFailed(_Failure):
    """A status or metrics file cannot be written."""

    path: str
    event = "report-error"
    level = logging.ERROR

    def __str__(self) -> str:
        return f"{self.error}; watch continues without it"

    def fields(self) -> dict[str, object]:
        return {"path": self.path, "error": self.error}


# The connection


@dataclass(frozen=True)
class Connecting(Event):
    """A connection is being made."""

    begins_step = True

    def change(self, status: Status, now: float) -> Status:
        return status._replace(state=State.CONNECTING, connected_since=None)


@dataclass(frozen=True)
class Connected(Event):
    """The endpoint has answered with a stream."""

    endpoint: str
    event = "connected"
    level = logging.INFO
    counter = "connections"

    def __str__(self) -> str:
        return f"connected to {self.endpoint}"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(state=State.CONNECTED, connected_since=now)


@dataclass(frozen=True)
class Unreachable(_Failure):
    """No connection could be made; ``delay`` seconds until the next attempt."""

    delay: float
    event = "unreachable"
    counter = "connection_failures"

    def __str__(self) -> str:
        return f"{self.error}; retrying in {self.delay:.1f} s"

    def fields(self) -> dict[str, object]:
        return {"error": self.error, "delay": round(self.delay, 1)}

    def change(self, status: Status, now: float) -> Status:
        return status._replace(
            state=State.WAITING,
            connected_since=None,
            consecutive_failures=status.consecutive_failures + 1,
            last_error=self.record(now),
        )

    def next_report(self) -> float:
        return self.delay


@dataclass(frozen=True)
class Disconnected(Unreachable):
    """A connection ended."""

    event = "disconnected"


# What the endpoint sends


@dataclass(frozen=True)
class OtherEventReceived(Event):
    """The endpoint has sent an event that is neither a snapshot nor an error."""

    name: str
    event = "event"
    level = logging.DEBUG

    def __str__(self) -> str:
        return f"event {self.name}"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_event=now)


@dataclass(frozen=True)
class WorkerFailed(_Failure):
    """The worker reports an error on its side."""

    event = "worker-error"
    counter = "worker_errors"

    def __str__(self) -> str:
        return f"the worker reports an error: {self.error}"

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(last_event=now)


@dataclass(frozen=True)
class SnapshotUntrusted(_Failure):
    """A snapshot cannot be trusted, and is not used."""

    event = "untrusted"
    counter = "snapshots_untrusted"

    def __str__(self) -> str:
        return f"a snapshot cannot be trusted, the output stays: {self.error}"

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(last_event=now)


@dataclass(frozen=True)
class SnapshotTrusted(Event):
    """A snapshot has come that can be trusted."""

    counter = "snapshots_trusted"
    begins_step = True

    def change(self, status: Status, now: float) -> Status:
        return status._replace(
            last_event=now, last_snapshot=now, consecutive_failures=0, pending_removal=None
        )


# Entries


@dataclass(frozen=True)
class EntryRefused(Event):
    """One entry has no route."""

    diagnostic: Diagnostic
    event = "refused"
    level = logging.WARNING

    def __str__(self) -> str:
        return str(self.diagnostic)

    def fields(self) -> dict[str, object]:
        return {
            "code": self.diagnostic.code,
            "entry": self.diagnostic.entry,
            "address": self.diagnostic.address,
            "problem": self.diagnostic.message,
            "hint": self.diagnostic.hint,
        }


@dataclass(frozen=True)
class EntryWarned(EntryRefused):
    """One entry has a route, but probably means something else."""

    event = "entry-warning"


@dataclass(frozen=True)
class EntriesRefused(Event):
    """All entries without a route, each of them logged once until it changes."""

    diagnostics: tuple[Diagnostic, ...]
    topic = "refused"

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(EntryRefused, self.diagnostics))

    def change(self, status: Status, now: float) -> Status:
        return status._replace(refused=self.diagnostics)


@dataclass(frozen=True)
class EntriesWarned(Event):
    """All entries that there are warnings about, likewise."""

    diagnostics: tuple[Diagnostic, ...]
    topic = "entry-warning"

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(EntryWarned, self.diagnostics))


# The output


@dataclass(frozen=True)
class RoutesCounted(Event):
    """The output holds so many routes, by entrypoint."""

    routes: Mapping[str, int]

    def change(self, status: Status, now: float) -> Status:
        return status._replace(routes=dict(sorted(self.routes.items())))


@dataclass(frozen=True)
class OutputCreated(Event):
    """There was no file; now there is one without routes."""

    output: str
    event = "created"
    level = logging.INFO
    counter = "writes"
    begins_step = True

    def __str__(self) -> str:
        return f"created {self.output} with no routes"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_write=now)


@dataclass(frozen=True)
class OutputWritten(Event):
    """The output was replaced: how, what that changes, and how many routes it has now."""

    output: str
    outcome: str
    changes: Changes
    routes: int
    event = "written"
    level = logging.INFO
    counter = "writes"

    def __str__(self) -> str:
        parts = [
            f"{verb} {listed(names)}"
            for verb, names in zip(_CHANGES, self.changes[:3], strict=True)
            if names
        ]
        same = ["the same as before, but the output held something else"]
        count = f"{self.routes} route{'' if self.routes == 1 else 's'}"
        return f"{self.outcome} {self.output}: {'; '.join([count, *(parts or same)])}"

    def fields(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "output": self.output,
            "outcome": self.outcome,
            "routes": self.routes,
        }
        for verb, names in zip(_CHANGES, self.changes[:3], strict=True):
            fields |= _count_and_names(verb, names)
        return fields

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_write=now)


_CHANGES = ("added", "changed", "removed")


@dataclass(frozen=True)
class RemovalHeld(Event):
    """A large removal waits for the next snapshot to agree."""

    changes: Changes
    event = "removal-held"
    level = logging.WARNING

    def __str__(self) -> str:
        removed = self.changes.removed
        return (
            f"the snapshot would remove {len(removed)} of {self.changes.before} routes:"
            f" waiting for the next one to agree ({listed(removed)})"
        )

    def fields(self) -> dict[str, object]:
        removed = _count_and_names("removed", self.changes.removed)
        return {"routes": self.changes.before, **removed}

    def change(self, status: Status, now: float) -> Status:
        held = PendingRemoval(now, self.changes.removed, self.changes.before)
        return status._replace(pending_removal=held)


@dataclass(frozen=True)
class WriteFailed(_Failure):
    """What a snapshot says could not be written."""

    event = "output-error"
    level = logging.ERROR
    counter = "write_errors"

    def __str__(self) -> str:
        return f"{self.error}; trying again at the next snapshot"

    def change(self, status: Status, now: float) -> Status:
        error = self.record(now)
        return status._replace(last_error=error, output_error=error)


@dataclass(frozen=True)
class WriteRefused(WriteFailed):
    """The check command refuses what was to be written; logged once until it changes."""

    event = "check-refused"
    topic = "check-refused"

    def __str__(self) -> str:
        return self.error


@dataclass(frozen=True)
class SnapshotApplied(Event):
    """The output holds what the last trusted snapshot wants, unless a removal is held."""

    topic = "check-refused"

    def change(self, status: Status, now: float) -> Status:
        last = now if status.pending_removal is None else status.last_applied
        return status._replace(last_applied=last, output_error=None)


@dataclass(frozen=True)
class OutputLeft(Event):
    """The output holds what another watch wants, and is left to that."""

    topic = "check-refused"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(output_error=None)


# Warnings about the output


@dataclass(frozen=True)
class WrittenInPlace(Event):
    """The file cannot be renamed over."""

    output: str
    event = "in-place"
    level = logging.WARNING
    topic = "in-place"

    def __str__(self) -> str:
        return f"{self.output} cannot be renamed over and is written in place"


@dataclass(frozen=True)
class OwnerLost(Event):
    """The owner of the file could not be kept."""

    output: str
    event = "owner-lost"
    level = logging.WARNING
    topic = "owner-lost"

    def __str__(self) -> str:
        return f"the owner of {self.output} could not be kept: this process may not set it"


@dataclass(frozen=True)
class OutputWarned(Event):
    """A warning that an output returned; its subclasses are the kinds that there are."""

    output: str
    detail: str
    level = logging.WARNING
    text: ClassVar[str]
    """The message; ``{}`` stands for the detail."""

    def __str__(self) -> str:
        return f"{self.output}: {self.text.format(self.detail)}"

    def fields(self) -> dict[str, object]:
        return {"output": self.output}


@dataclass(frozen=True)
class NotificationsOff(OutputWarned):
    """The store does not notify Traefik of changes."""

    event = "notifications-off"
    text = (
        "Traefik is not notified of changes: keyspace notifications are off;"
        " switch them on with 'CONFIG SET notify-keyspace-events Kh', and in redis.conf"
    )


@dataclass(frozen=True)
class NotificationsExcessive(OutputWarned):
    """The store notifies Traefik of every key."""

    event = "notifications-excessive"
    text = (
        "Traefik reads everything anew for each of {} keys when it changes: have it notified"
        " once a change, with 'notify-keyspace-events Kh' (see docs/scaling.md)"
    )


@dataclass(frozen=True)
class WritersDisagree(OutputWarned):
    """Another writer replaces the content again and again."""

    event = "disagreement"
    text = (
        "another watch has published something else, again and again{}: do both follow the same"
        " endpoint, with the same access file and version?"
    )

    def change(self, status: Status, now: float) -> Status:
        error = ErrorRecord(now, self.event, self.text.format(self.detail))
        return status._replace(last_error=error)


@dataclass(frozen=True)
class ForeignContentReplaced(OutputWarned):
    """The file held something that this tool would not have written."""

    event = "foreign"
    text = "what stood there was not written by ctsdns-traefik, and is replaced: it held {}"


@dataclass(frozen=True)
class LockUnavailable(OutputWarned):
    """No lock can be held beside the file."""

    event = "no-lock"
    text = (
        "no lock can be held beside it, so that another watch on it would not be kept from"
        " starting: {}"
    )


@dataclass(frozen=True)
class KeysTakenOver(OutputWarned):
    """Keys of unknown origin stood in the store."""

    event = "taken-over"
    text = "keys of unknown origin stood there; they are replaced: {}"


@dataclass(frozen=True)
class OutputReported(Event):
    """The output was read or written; these are all the warnings that it returned."""

    output: str
    warnings: tuple[OutputWarning, ...] = ()
    topic = "output"
    begins_step = True

    def lines(self) -> tuple[OutputWarned, ...]:
        return tuple(
            _OUTPUT_WARNINGS[each.kind](self.output, each.detail) for each in self.warnings
        )

    def change(self, status: Status, now: float) -> Status:
        for line in self.lines():
            status = line.change(status, now)
        return status


_OUTPUT_WARNINGS = {each.event: each for each in OutputWarned.__subclasses__()}


# The access file


@dataclass(frozen=True)
class AccessChanged(Event):
    """The access file has other content, which can be used and is not in force yet."""

    path: str
    event = "access-changed"
    level = logging.INFO

    def __str__(self) -> str:
        return f"{self.path} has changed"

    def change(self, status: Status, now: float) -> Status:
        pending = f"{self}, and the routes have not been written yet"
        return status.with_access(unusable=None, pending=ErrorRecord(now, self.event, pending))


@dataclass(frozen=True)
class AccessRestored(Event):
    """The access file can be used again, and has the content that it had before."""

    path: str
    event = "access-mended"
    level = logging.INFO

    def __str__(self) -> str:
        return f"{self.path} can be used again"

    def change(self, status: Status, now: float) -> Status:
        return status.with_access(unusable=None)


@dataclass(frozen=True)
class AccessUnusable(_Failure):
    """The access file cannot be used."""

    path: str
    event = "access-error"
    level = logging.ERROR

    def __str__(self) -> str:
        return f"{self.error}; the last usable content stays in force"

    def fields(self) -> dict[str, object]:
        return {"path": self.path, "error": self.error}

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now).with_access(unusable=self.record(now))


@dataclass(frozen=True)
class AccessPending(_Failure):
    """The last usable content of the access file could not be put in force."""

    event = "access-waits"
    level = logging.ERROR
    topic = "access-waits"

    def __str__(self) -> str:
        return f"the access file is not in force yet: {self.error}"

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now).with_access(pending=self.record(now))


@dataclass(frozen=True)
class AccessEnforced(Event):
    """The last usable content of the access file is in force."""

    topic = "access-waits"

    def change(self, status: Status, now: float) -> Status:
        return status.with_access(enforced=now, pending=None)


@dataclass(frozen=True)
class AccessSettingUnused(Event):
    """One pattern of the access file matches no entry."""

    diagnostic: Diagnostic
    event = "access-unused"
    level = logging.WARNING

    def __str__(self) -> str:
        return str(self.diagnostic)

    def fields(self) -> dict[str, object]:
        return {
            "setting": self.diagnostic.setting,
            "problem": self.diagnostic.message,
            "hint": self.diagnostic.hint,
        }


@dataclass(frozen=True)
class AccessSettingsUnused(Event):
    """All patterns of the access file that match no entry, each logged once until it changes."""

    diagnostics: tuple[Diagnostic, ...]
    topic = "access-unused"

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(AccessSettingUnused, self.diagnostics))


@dataclass(frozen=True)
class ProtectionRemoved(Event):
    """A change of the access file has taken the protection from some routers."""

    routers: tuple[str, ...]
    event = "unprotected"
    level = logging.WARNING

    def __str__(self) -> str:
        names = listed(self.routers)
        return f"the access file has taken the protection from {names}: anybody may reach them"

    def fields(self) -> dict[str, object]:
        return {"count": len(self.routers), "routers": self.routers[:LISTED_AT_MOST]}


# After a change: the user's command, and what Traefik serves


@dataclass(frozen=True)
class HookSucceeded(Event):
    """The command after a change has run."""

    begins_step = True

    def change(self, status: Status, now: float) -> Status:
        return status._replace(hook=Hook(now))


@dataclass(frozen=True)
class HookFailed(_Failure):
    """The command after a change failed."""

    event = "hook-failed"
    begins_step = True

    def __str__(self) -> str:
        return f"the on-change command failed: {self.error}"

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(hook=Hook(now, self.record(now)))


@dataclass(frozen=True, eq=False)  # not equal to the one before: it is logged every time
class RoutesServed(Event):
    """Traefik serves all that was written, so many seconds after that."""

    routes: int
    seconds: float
    event = "served"
    level = logging.INFO

    def __str__(self) -> str:
        routes = f"all {self.routes} routes" if self.routes else "no routes, as was written"
        routes = "the one route" if self.routes == 1 else routes
        return f"Traefik serves {routes} (after {self.seconds:.1f} s)"

    def fields(self) -> dict[str, object]:
        return {"routes": self.routes, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class RouterNotServed(Event):
    """Traefik has loaded a router and does not serve it."""

    router: str
    error: str
    event = "not-served"
    level = logging.WARNING

    def __str__(self) -> str:
        return f"Traefik does not serve {self.router}: {self.error}"


@dataclass(frozen=True)
class RoutersNotLoaded(Event):
    """Traefik does not have some routers as they were written."""

    routers: tuple[str, ...]
    event = "not-loaded"
    level = logging.WARNING
    text: ClassVar[str] = "Traefik has not loaded"

    def __str__(self) -> str:
        return f"{self.text} {listed(self.routers)}: does it read this?"

    def fields(self) -> dict[str, object]:
        return {"count": len(self.routers), "routers": self.routers[:NAMED_AT_MOST]}


@dataclass(frozen=True)
class RoutersNotRemoved(RoutersNotLoaded):
    """Traefik still has some routers that are no longer written."""

    event = "not-removed"
    text = "Traefik still has"


@dataclass(frozen=True)
class TraefikAnswered(Event):
    """Traefik's API shows what it makes of a document, so many seconds after it was written."""

    verdict: Verdict
    seconds: float
    topic = "traefik"

    def lines(self) -> tuple[Event, ...]:
        verdict = self.verdict
        if verdict.good:
            return (RoutesServed(verdict.routers, self.seconds),)
        lines: list[Event] = [RouterNotServed(*each) for each in verdict.objections]
        if verdict.missing:
            lines.append(RoutersNotLoaded(verdict.missing))
        if verdict.lingering:
            lines.append(RoutersNotRemoved(verdict.lingering))
        return tuple(lines)

    def change(self, status: Status, now: float) -> Status:
        return status._replace(traefik=TraefikAnswer(now, self.verdict))


@dataclass(frozen=True)
class TraefikNotAnswering(_Failure):
    """Traefik's API gives no answer; logged once until it changes."""

    event = "api-error"
    topic = "traefik"

    def __str__(self) -> str:
        return f"Traefik's API cannot be asked: {self.error}"

    def change(self, status: Status, now: float) -> Status:
        return status._replace(traefik=TraefikAnswer(now, error=self.record(now)))


def _count_and_names(verb: str, names: tuple[str, ...]) -> dict[str, object]:
    return {verb: len(names), f"{verb}_routers": names[:LISTED_AT_MOST]}
