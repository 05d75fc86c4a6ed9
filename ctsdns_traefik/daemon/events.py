"""Events: each thing that happens to watch, as one frozen value.

Its class has everything that is derived from an event: its log line (``level``, ``text``,
``fields()``) and its change of the status and the metrics (``change()``, ``counter``). So a new
kind of event is one class here and a row in docs/status.md. :class:`.EventPublisher` passes events
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import DEBUG, ERROR, INFO, NOTSET, WARNING
from typing import TYPE_CHECKING, ClassVar, NoReturn, TypedDict, Unpack, dataclass_transform

from ctsdns_traefik.core.dynamic import NAMED_AT_MOST, Changes, listed
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status import (
    LISTED_AT_MOST,
    ErrorRecord,
    Hook,
    MachineCheck,
    PendingRemoval,
    Role,
    State,
    Status,
    TraefikAnswer,
    WriterLease,
)
from ctsdns_traefik.errors import Reason
from ctsdns_traefik.output import OutputWarning

if TYPE_CHECKING:
    from ctsdns_traefik.core.dynamic import Verdict

LONGEST_STEP = 60.0
"""Seconds that the loop may take to render, check and write, for the command after a change, or to
begin a connection."""


class _Declared(TypedDict, total=False):
    event: str
    level: int
    text: str
    topic: str
    always: bool
    counter: str
    begins_step: bool


@dataclass_transform(frozen_default=True)
class Event:
    """Something that happened; its subclasses are written as frozen dataclasses.

    A subclass declares what all events of its kind have in common as arguments of the class; what
    it leaves out is as in its base class.
    """

    event: ClassVar[str] = ""
    """The name of the kind in the log as JSON and in the status."""
    level: ClassVar[int] = NOTSET
    """The level that it is logged at; ``NOTSET`` if it is not."""
    text: ClassVar[str] = ""
    """The message, with the names of fields in braces."""
    topic: ClassVar[str] = ""
    """Lines that the last event of the same topic had, too, are not logged again ..."""
    always: ClassVar[bool] = False
    """... but for lines of this kind."""
    counter: ClassVar[str] = ""
    """The field of :class:`.Counters` that counts it."""
    begins_step: ClassVar[bool] = False
    """Whether the loop now begins something that may take :data:`LONGEST_STEP`."""
    _names: ClassVar[tuple[str, ...]] = ()
    """The names of the fields, in order."""
    _defaults: ClassVar[dict[str, object]] = {}

    def __init_subclass__(cls, **declared: Unpack[_Declared]) -> None:
        for name, value in declared.items():
            setattr(cls, name, value)
        annotations = vars(cls).get("__annotations__", {}).items()
        own = [name for name, kind in annotations if not kind.startswith("ClassVar")]
        cls._names = tuple(dict.fromkeys((*cls._names, *own)))
        cls._defaults = {name: getattr(cls, name) for name in cls._names if hasattr(cls, name)}

    def __init__(self, *values: object, **named: object) -> None:
        # One for all classes: a dataclass would take time at the start, and memory, for each.
        given = dict(zip(self._names, values, strict=False))
        if named or len(given) < len(self._names):
            known = self._defaults | given | named
            given = {name: known.pop(name) for name in self._names if name in known} | known
        if len(given) != len(self._names) or len(values) > len(given):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self._names) or 'nothing'}")
        vars(self).update(given)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an event is never changed: {name}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({vars(self)})"

    def __str__(self) -> str:
        return self.text.format(**vars(self))

    def fields(self) -> dict[str, object]:
        """Return what the log has in JSON beside the message; docs/status.md lists it."""
        return dict(vars(self))

    def lines(self) -> tuple[Event, ...]:
        """Return the events to log: this one, or one for each of the items that it reports."""
        return (self,) if self.level else ()

    def change(self, status: Status, now: float) -> Status:
        """Return the status after this event."""
        return status

    def next_report(self) -> float | None:
        """Return within how many seconds the loop reports again, if this event determines it."""
        return LONGEST_STEP if self.begins_step else None


class _Failure(Event, level=WARNING, text="{error}"):
    """Something that went wrong, and why."""

    error: str

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_error=self.record(now))

    def record(self, now: float) -> ErrorRecord:
        """Return the failure as the status keeps it."""
        return ErrorRecord(now, self.event, self.error)


class _SourceFailure(_Failure):
    """A failure of the source, with its reason for programs: one of :class:`.Reason`."""

    reason: str = ""

    def fields(self) -> dict[str, object]:
        return {"error": self.error}

    def record(self, now: float) -> ErrorRecord:
        return super().record(now)._replace(reason=self.reason)


# The process: start, reconnect, end


class OutputReady(Event):
    """The output exists and can be written, so that Traefik can start."""


class Reconnecting(Event, event="reconnecting", level=INFO, text="{signal}: connecting again"):
    """A signal asks for a new connection at once."""

    signal: str


class Stopped(Event, event="stopped", level=INFO, text="{signal}: stopped"):
    """A signal ends watch."""

    signal: str

    def change(self, status: Status, now: float) -> Status:
        return status._replace(state=State.STOPPED, connected_since=None)


class WatchFailed(_Failure, event="failed", level=NOTSET):
    """An error ends watch; the command line interface logs it, with the exit code."""

    def change(self, status: Status, now: float) -> Status:
        status = super().change(status, now)
        return status._replace(state=State.STOPPED, connected_since=None)


class Listening(Event, event="listening", level=INFO, text="listening on {address}"):
    """The server accepts connections."""

    address: str


class ListeningFailed(_Failure, event="listen-error"):
    """Something is wrong with the server, or with a file that it reads again."""


class WebhookReceived(
    Event, event="webhook", level=INFO, text="Tailscale reports a saved policy: {plan}"
):
    """A signed webhook reports that the policy was saved, and what follows."""

    plan: str

    def fields(self) -> dict[str, object]:
        return {}


class WebhookRefused(_Failure, event="webhook-refused", text="a webhook was refused: {error}"):
    """A webhook is not signed by the secret, or not now; each reason at most once an hour."""


class StatusFileFailed(
    _Failure, event="report-error", level=ERROR, text="{error}; watch continues without it"
):
    """A status or metrics file cannot be written."""

    path: str

    def fields(self) -> dict[str, object]:
        return {"path": self.path, "error": self.error}


# The connection


class Connecting(Event, begins_step=True):
    """A connection is being made."""

    def change(self, status: Status, now: float) -> Status:
        return status._replace(state=State.CONNECTING, connected_since=None)


class Connected(
    Event, event="connected", level=INFO, text="{begun} {endpoint}", counter="connections"
):
    """The source has answered, with a stream or a first policy; ``begun`` is its wording."""

    endpoint: str
    begun: str = "connected to"
    poll_interval: float | None = None

    def fields(self) -> dict[str, object]:
        return {"endpoint": self.endpoint}

    def change(self, status: Status, now: float) -> Status:
        return status._replace(
            state=State.CONNECTED, connected_since=now, poll_interval=self.poll_interval
        )


class Unreachable(
    _Failure,
    event="unreachable",
    text="{error}; retrying in {delay:.1f} s",
    counter="connection_failures",
):
    """No connection could be made; ``delay`` seconds until the next attempt."""

    delay: float
    reason: str = ""
    """One of :class:`.Reason`."""

    def fields(self) -> dict[str, object]:
        return {"error": self.error, "reason": self.reason, "delay": round(self.delay, 1)}

    def record(self, now: float) -> ErrorRecord:
        return super().record(now)._replace(reason=self.reason)

    def change(self, status: Status, now: float) -> Status:
        return status._replace(
            state=State.WAITING,
            connected_since=None,
            consecutive_failures=status.consecutive_failures + 1,
            last_error=self.record(now),
        )

    def next_report(self) -> float:
        return self.delay


class Disconnected(Unreachable, event="disconnected"):
    """A connection ended."""


# What the endpoint sends


class OtherEventReceived(Event, event="event", level=DEBUG, text="event {name}"):
    """The endpoint has sent an event that is neither a snapshot nor an error."""

    name: str

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_event=now)


class WorkerFailed(
    _SourceFailure,
    event="worker-error",
    text="the worker reports an error: {error}",
    counter="worker_errors",
):
    """The worker reports an error on its side."""

    reason: str = Reason.WORKER_ERROR

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(last_event=now)


class SnapshotUntrusted(
    _SourceFailure,
    event="untrusted",
    text="the policy cannot be trusted, the output stays: {error}",
    counter="snapshots_untrusted",
):
    """A policy cannot be trusted, and is not used.

    ``repeated`` is whether a poll has brought it before; then it is not logged again.
    """

    reason: str = Reason.UNTRUSTED_POLICY
    repeated: bool = False

    def lines(self) -> tuple[Event, ...]:
        return () if self.repeated else super().lines()

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(last_event=now)


class SnapshotTrusted(Event, counter="snapshots_trusted", begins_step=True):
    """A snapshot has come that can be trusted."""

    def change(self, status: Status, now: float) -> Status:
        return status._replace(
            last_event=now, last_snapshot=now, consecutive_failures=0, pending_removal=None
        )


# Entries


class EntryRefused(Event, event="refused", level=WARNING, text="{diagnostic}"):
    """One entry has no route."""

    diagnostic: Diagnostic

    def fields(self) -> dict[str, object]:
        return {
            "code": self.diagnostic.code,
            "entry": self.diagnostic.entry,
            "address": self.diagnostic.address,
            "problem": self.diagnostic.message,
            "hint": self.diagnostic.hint,
        }


class EntryWarned(EntryRefused, event="entry-warning"):
    """One entry has a route, but probably means something else."""


class EntriesRefused(Event, topic="refused"):
    """All entries without a route, each of them logged once until it changes."""

    diagnostics: tuple[Diagnostic, ...]

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(EntryRefused, self.diagnostics))

    def change(self, status: Status, now: float) -> Status:
        return status._replace(refused=self.diagnostics)


class EntriesWarned(Event, topic="entry-warning"):
    """All entries that there are warnings about, likewise."""

    diagnostics: tuple[Diagnostic, ...]

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(EntryWarned, self.diagnostics))


class MachineWarned(EntryRefused, event="machine-warning"):
    """One entry leads to a machine that is unknown or offline, or whose key has expired."""


class MachinesUnread(
    _Failure,
    event="machines-error",
    text="the machines cannot be checked, the routes stay: {error}",
):
    """Tailscale's list of machines cannot be read."""


class MachinesChecked(Event, topic="machine-warning"):
    """The last check of the machines: its problems, each logged once until it changes.

    With an error it could not be repeated, and the problems are those of the check before.
    """

    problems: tuple[Diagnostic, ...]
    error: str = ""

    def lines(self) -> tuple[Event, ...]:
        failure = (MachinesUnread(self.error),) if self.error else ()
        return (*map(MachineWarned, self.problems), *failure)

    def change(self, status: Status, now: float) -> Status:
        if not self.error:
            return status._replace(machines=MachineCheck(now, self.problems))
        failure = MachinesUnread(self.error).record(now)
        known = status.machines or MachineCheck()
        return status._replace(machines=known._replace(error=failure), last_error=failure)


# The output


class RoutesCounted(Event):
    """The output holds so many routes, by entrypoint."""

    routes: Mapping[str, int]

    def change(self, status: Status, now: float) -> Status:
        return status._replace(routes=dict(sorted(self.routes.items())))


class OutputCreated(
    Event,
    event="created",
    level=INFO,
    text="created {output} with no routes",
    counter="writes",
    begins_step=True,
):
    """There was no file; now there is one without routes."""

    output: str

    def change(self, status: Status, now: float) -> Status:
        return status._replace(last_write=now)


class OutputWritten(Event, event="written", level=INFO, counter="writes"):
    """The output was replaced: how, what that changes, and how many routes it has now."""

    output: str
    outcome: str
    changes: Changes
    routes: int

    def __str__(self) -> str:
        parts = [
            f"{verb} {listed(names)}"
            for verb, names in zip(_CHANGES, self.changes[:3], strict=True)
            if names
        ]
        same = ["the same as before, but the output held something else"]
        more = parts or same * bool(self.routes or self.outcome != "created")
        count = f"{self.routes} route{'' if self.routes == 1 else 's'}"
        return f"{self.outcome} {self.output}: {'; '.join([count, *more])}"

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


class RemovalHeld(Event, event="removal-held", level=WARNING):
    """A large removal waits for the next snapshot to agree."""

    changes: Changes

    def __str__(self) -> str:
        removed, changed = self.changes.removed, self.changes.changed
        beside = "" if self.changes.exceeds_guard else f" and change {len(changed)}"
        return (
            f"the snapshot would remove {len(removed)} of {self.changes.before} routes{beside}:"
            f" waiting for the next one to agree ({listed(removed)})"
        )

    def fields(self) -> dict[str, object]:
        removed = _count_and_names("removed", self.changes.removed)
        return {"routes": self.changes.before, **removed}

    def change(self, status: Status, now: float) -> Status:
        held = PendingRemoval(now, self.changes.removed, self.changes.before)
        return status._replace(pending_removal=held)


class WriteFailed(
    _Failure,
    event="output-error",
    level=ERROR,
    text="{error}; trying again at the next snapshot",
    counter="write_errors",
):
    """What a snapshot wants could not be written."""

    def change(self, status: Status, now: float) -> Status:
        error = self.record(now)
        return status._replace(last_error=error, output_error=error)


class WriteRefused(WriteFailed, event="check-refused", text="{error}", topic="check-refused"):
    """The check command refuses what was to be written; logged once until it changes."""


class SnapshotApplied(Event, topic="check-refused"):
    """The output holds what the last trusted snapshot wants, unless a removal is held."""

    def change(self, status: Status, now: float) -> Status:
        last = now if status.pending_removal is None else status.last_applied
        return status._replace(last_applied=last, output_error=None)


class StandbyHolderChanged(
    Event, event="standby", level=INFO, text="standing by: {holder} writes to {output}"
):
    """Another process than before holds the writer lease."""

    output: str
    holder: str


class StandingBy(Event, topic="check-refused"):
    """Another process holds the writer lease; that is logged once, until the holder changes.

    ``agrees`` is whether that process wrote what this watch would write.
    """

    output: str
    holder: str
    agrees: bool

    def lines(self) -> tuple[Event, ...]:
        return (StandbyHolderChanged(self.output, self.holder),)

    def change(self, status: Status, now: float) -> Status:
        if self.agrees:
            status = SnapshotApplied().change(status, now)
        lease = status.lease
        since = lease.since if lease and lease.role is Role.STANDBY else now
        lease = WriterLease(Role.STANDBY, since, self.holder)
        return status._replace(lease=lease, output_error=None)


class LeaseHeld(Event):
    """This watch has written to a shared output, and holds its writer lease."""

    def change(self, status: Status, now: float) -> Status:
        if status.lease and status.lease.role is Role.WRITER:
            return status
        return status._replace(lease=WriterLease(Role.WRITER, now))


class LeaseTaken(
    LeaseHeld,
    event="lease-taken",
    level=INFO,
    text="{output}: this watch has taken the writer lease over",
):
    """This watch has stood by, and now holds the writer lease."""

    output: str


# Warnings about the output


class WrittenInPlace(
    Event,
    event="in-place",
    level=WARNING,
    text="{output} cannot be renamed over and is written in place",
    topic="in-place",
):
    """The file cannot be renamed over."""

    output: str


class OwnerLost(
    Event,
    event="owner-lost",
    level=WARNING,
    text="the owner of {output} could not be kept: this process may not set it",
    topic="owner-lost",
):
    """The owner of the file could not be kept."""

    output: str


class OutputWarned(Event, level=WARNING):
    """A warning that an output returned; its subclasses are the kinds that there are."""

    output: str
    detail: str

    def __str__(self) -> str:
        return f"{self.output}: {self.description}"

    @property
    def description(self) -> str:
        """The message without the name of the output."""
        return super().__str__()

    def fields(self) -> dict[str, object]:
        return {"output": self.output}


class NotificationsOff(
    OutputWarned,
    event="notifications-off",
    text=(
        "Traefik is not notified of changes: keyspace notifications are off; switch them"
        " on with 'CONFIG SET notify-keyspace-events Kh', and in redis.conf"
    ),
):
    """The store does not notify Traefik of changes."""


class NotificationsExcessive(
    OutputWarned,
    event="notifications-excessive",
    text=(
        "Traefik reads everything anew for each of {detail} keys when it changes: have it"
        " notified once a change, with 'notify-keyspace-events Kh' (see docs/scaling.md)"
    ),
):
    """The store notifies Traefik of every key."""


class WritersDisagree(
    OutputWarned,
    event="disagreement",
    text=(
        "another watch has published something else, again and again{detail}: do both"
        " follow the same endpoint, with the same access file, --static-config and version?"
    ),
):
    """Another writer replaces the content again and again."""

    def change(self, status: Status, now: float) -> Status:
        error = ErrorRecord(now, self.event, self.description)
        return status._replace(last_error=error)


class DirectoryFilesRefused(
    Event, event="directory-file-refused", level=WARNING, topic="directory-file-refused"
):
    """All files beside the output that keep Traefik from loading its directory, one a line."""

    diagnostics: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.diagnostics))

    def lines(self) -> tuple[Event, ...]:
        return tuple(DirectoryFilesRefused((each,)) for each in self.diagnostics)

    def fields(self) -> dict[str, object]:
        (only,) = self.diagnostics
        return {"path": only.path, "problem": only.message, "hint": only.hint}


class ForeignContentReplaced(
    OutputWarned,
    event="foreign",
    text="what stood there was not written by ctsdns-traefik, and is replaced: it held {detail}",
):
    """The file held something that this tool would not have written."""


class LockUnavailable(
    OutputWarned,
    event="no-lock",
    text=(
        "no lock can be held beside it, so that another watch on it would not be kept"
        " from starting: {detail}"
    ),
):
    """No lock can be held beside the file."""


class KeysTakenOver(
    OutputWarned,
    event="taken-over",
    text="keys of unknown origin stood there; they are replaced: {detail}",
):
    """Keys of unknown origin stood in the store."""


class OutputReported(Event, topic="output", begins_step=True):
    """The output was read or written; these are all the warnings that it returned."""

    output: str
    warnings: tuple[OutputWarning, ...] = ()

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


class AccessChanged(Event, event="access-changed", level=INFO, text="{path} has changed"):
    """The access file has other content, which can be used and is not in force yet."""

    path: str

    def change(self, status: Status, now: float) -> Status:
        pending = f"{self}, and the routes have not been written yet"
        return status.with_access(unusable=None, pending=ErrorRecord(now, self.event, pending))


class ReleaseKnown(
    Event,
    event="traefik-release",
    level=INFO,
    text="Traefik is {release}: what it does not know of the access file is left out",
):
    """Traefik's release is another than the one that was known, or assumed."""

    release: str


class AccessRestored(Event, event="access-restored", level=INFO, text="{path} can be used again"):
    """The access file can be used again, and has the content that it had before."""

    path: str

    def change(self, status: Status, now: float) -> Status:
        return status.with_access(unusable=None)


class AccessUnusable(
    _Failure,
    event="access-error",
    level=ERROR,
    text="{error}; the last usable content stays in force",
):
    """The access file cannot be used."""

    path: str

    def fields(self) -> dict[str, object]:
        return {"path": self.path, "error": self.error}

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now).with_access(unusable=self.record(now))


class AccessPending(
    _Failure,
    event="access-pending",
    level=ERROR,
    text="the access file is not in force yet: {error}",
    topic="access-pending",
):
    """The last usable content of the access file could not be put in force."""

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now).with_access(pending=self.record(now))


class AccessEnforced(Event, topic="access-pending"):
    """The last usable content of the access file is in force."""

    def change(self, status: Status, now: float) -> Status:
        return status.with_access(enforced=now, pending=None)


class AccessSettingUnused(Event, event="access-unused", level=WARNING, text="{diagnostic}"):
    """One pattern of the access file matches no entry."""

    diagnostic: Diagnostic

    def fields(self) -> dict[str, object]:
        return {
            "setting": self.diagnostic.setting,
            "problem": self.diagnostic.message,
            "hint": self.diagnostic.hint,
        }


class AccessSettingsUnused(Event, topic="access-unused"):
    """All patterns of the access file that match no entry, each logged once until it changes."""

    diagnostics: tuple[Diagnostic, ...]

    def lines(self) -> tuple[Event, ...]:
        return tuple(map(AccessSettingUnused, self.diagnostics))


class UdpRoutesStay(Event, event="udp-stays", level=WARNING):
    """Entrypoints have no UDP route any more: Traefik serves the last one until it restarts."""

    entrypoints: tuple[str, ...]

    def __str__(self) -> str:
        where = f"entrypoint{'s' * (len(self.entrypoints) > 1)} {listed(self.entrypoints)}"
        return f"until it is restarted, Traefik serves the removed UDP route of {where}: restart it"


class ProtectionRemoved(Event, event="unprotected", level=WARNING):
    """A change of the access file has taken the protection from some routers."""

    routers: tuple[str, ...]

    def __str__(self) -> str:
        names = listed(self.routers)
        return f"the access file has taken the protection from {names}: anybody may reach them"

    def fields(self) -> dict[str, object]:
        return {"count": len(self.routers), "routers": self.routers[:LISTED_AT_MOST]}


# After a change: the user's command, and what Traefik serves


class HookSucceeded(Event, begins_step=True):
    """The command after a change has run."""

    def change(self, status: Status, now: float) -> Status:
        return status._replace(hook=Hook(now))


class HookFailed(
    _Failure, event="hook-failed", text="the on-change command failed: {error}", begins_step=True
):
    """The command after a change failed."""

    def change(self, status: Status, now: float) -> Status:
        return super().change(status, now)._replace(hook=Hook(now, self.record(now)))


class RoutesServed(Event, event="served", level=INFO, always=True):
    """Traefik serves all that was written, so many seconds after that."""

    routes: int
    seconds: float

    def __str__(self) -> str:
        routes = f"all {self.routes} routes" if self.routes else "no routes, as was written"
        routes = "the one route" if self.routes == 1 else routes
        return f"Traefik serves {routes} (after {self.seconds:.1f} s)"

    def fields(self) -> dict[str, object]:
        return {"routes": self.routes, "seconds": round(self.seconds, 1)}


class RouterNotServed(
    Event, event="not-served", level=WARNING, text="Traefik does not serve {router}: {error}"
):
    """Traefik has loaded a router and does not serve it."""

    router: str
    error: str


class RoutersNotLoaded(Event, event="not-loaded", level=WARNING):
    """Traefik does not have some routers as they were written."""

    routers: tuple[str, ...]
    verb: ClassVar[str] = "has not loaded"

    def __str__(self) -> str:
        fix = "let it read this output; if it started before the output was there, restart it"
        return f"Traefik {self.verb} {listed(self.routers)}: {fix}"

    def fields(self) -> dict[str, object]:
        return {"count": len(self.routers), "routers": self.routers[:NAMED_AT_MOST]}


class RoutersNotRemoved(RoutersNotLoaded, event="not-removed"):
    """Traefik still has some routers that are no longer written."""

    verb = "still has"


class TraefikAnswered(Event, topic="traefik"):
    """Traefik's API shows what it makes of a document, so many seconds after it was written."""

    verdict: Verdict
    seconds: float

    def lines(self) -> tuple[Event, ...]:
        verdict = self.verdict
        if verdict.good:
            return (RoutesServed(verdict.routers, self.seconds),)
        lines: list[Event] = [RouterNotServed(*each) for each in verdict.errors]
        if verdict.missing:
            lines.append(RoutersNotLoaded(verdict.missing))
        if verdict.lingering:
            lines.append(RoutersNotRemoved(verdict.lingering))
        return tuple(lines)

    def change(self, status: Status, now: float) -> Status:
        return status._replace(traefik=TraefikAnswer(now, self.verdict))


class TraefikNotAnswering(
    _Failure, event="api-error", text="Traefik's API cannot be asked: {error}", topic="traefik"
):
    """Traefik's API gives no answer; logged once until it changes."""

    def change(self, status: Status, now: float) -> Status:
        return status._replace(traefik=TraefikAnswer(now, error=self.record(now)))


def _count_and_names(verb: str, names: tuple[str, ...]) -> dict[str, object]:
    return {verb: len(names), f"{verb}_routers": names[:LISTED_AT_MOST]}
