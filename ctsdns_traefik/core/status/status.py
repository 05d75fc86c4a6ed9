"""What is known about watch at one moment, as a value, and what each happening makes of it.

All times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from ctsdns_traefik.core.dynamic.diff import Changes
from ctsdns_traefik.core.dynamic.served import Verdict
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status.timestamps import time_to_text

LISTED_AT_MOST = 100
"""Refused entries, or routers in doubt, that the text lists; it counts all."""


class State(StrEnum):
    """What watch is doing."""

    STARTING = "starting"
    """It looks at what the output holds."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """It waits before it connects again."""
    STOPPED = "stopped"


class ErrorRecord(NamedTuple):
    """Something that went wrong."""

    time: float
    event: str
    """The word that the log has for it."""
    message: str


class PendingRemoval(NamedTuple):
    """A large removal that waits for the next snapshot to agree."""

    since: float
    removed: tuple[str, ...]
    """Names of routers."""
    routes: int
    """How many there are."""


class Hook(NamedTuple):
    """The command that runs after each change, when it last did."""

    time: float
    error: ErrorRecord | None = None


class Answer(NamedTuple):
    """What Traefik's API last said of what was written."""

    checked: float
    verdict: Verdict | None = None
    """None if it gave no answer."""
    error: ErrorRecord | None = None


class AccessFile(NamedTuple):
    """The access file of watch, and whether what it says is in force."""

    path: str
    enforced: float | None = None
    """When its last usable content came into force; ``None`` until one has."""
    broken: ErrorRecord | None = None
    """Why its present content cannot be used."""
    waits: ErrorRecord | None = None
    """Why its last usable content is not in force."""

    @property
    def error(self) -> ErrorRecord | None:
        """Why what was asked for is not in force, if something keeps it from that."""
        return self.broken or self.waits


class Role(StrEnum):
    """What a watch does among those that share one output."""

    WRITER = "writer"
    STANDBY = "standby"


class WriterLease(NamedTuple):
    """Which watch may write to a shared output."""

    role: Role
    since: float
    """When this watch took that role."""
    holder: str = ""
    """The process that holds the lease instead, while this watch stands by."""


class Counters(NamedTuple):
    """How often something has happened since the start."""

    connections: int = 0
    connection_failures: int = 0
    snapshots_trusted: int = 0
    snapshots_untrusted: int = 0
    worker_errors: int = 0
    writes: int = 0
    write_errors: int = 0


class Status(NamedTuple):
    """What is known about watch; each method returns what is known after a happening."""

    version: str = ""
    pid: int = 0
    started: float = 0.0
    endpoint: str = ""
    """Without what may be secret."""
    output: str = ""
    state: State = State.STARTING
    connected_since: float | None = None
    last_event: float | None = None
    last_snapshot: float | None = None
    """When the last snapshot came that could be trusted."""
    last_applied: float | None = None
    """When the output was last known to hold what the last trusted snapshot says."""
    last_write: float | None = None
    routes: Mapping[str, int] = {}
    """What the output holds: how many routes each entrypoint has."""
    refused: tuple[Diagnostic, ...] = ()
    consecutive_failures: int = 0
    """Connections that ended since the last trusted snapshot."""
    last_error: ErrorRecord | None = None
    output_error: ErrorRecord | None = None
    """Why the output does not hold what it should; ``None`` if it does."""
    doubt: PendingRemoval | None = None
    hook: Hook | None = None
    traefik: Answer | None = None
    access: AccessFile | None = None
    """``None`` if there is no access file."""
    lease: WriterLease | None = None
    """``None`` for an output that is not shared, and before the first snapshot."""
    counters: Counters = Counters()

    def holding(self, routes: Mapping[str, int]) -> Status:
        """Know the routes that the output holds, by entrypoint."""
        return self._replace(routes=dict(sorted(routes.items())))

    def connecting(self) -> Status:
        """Know that a connection is being made."""
        return self._replace(state=State.CONNECTING, connected_since=None)

    def connected(self, now: float) -> Status:
        """Know that the endpoint has answered with a stream."""
        return self._replace(state=State.CONNECTED, connected_since=now).counting("connections")

    def failed(self, now: float, event: str, message: str) -> Status:
        """Know why there is no connection."""
        return self._replace(
            state=State.WAITING,
            connected_since=None,
            consecutive_failures=self.consecutive_failures + 1,
            last_error=ErrorRecord(now, event, message),
        ).counting("connection_failures")

    def heard(self, now: float) -> Status:
        """Know that an event has come."""
        return self._replace(last_event=now)

    def heard_error(self, now: float, event: str, message: str) -> Status:
        """Know what the worker says went wrong on its side."""
        error = ErrorRecord(now, event, message)
        return self._replace(last_event=now, last_error=error).counting("worker_errors")

    def distrusted(self, now: float, event: str, message: str) -> Status:
        """Know why a snapshot cannot be trusted."""
        error = ErrorRecord(now, event, message)
        return self._replace(last_event=now, last_error=error).counting("snapshots_untrusted")

    def trusted(self, now: float) -> Status:
        """Know that a snapshot has come that can be trusted."""
        return self._replace(
            last_event=now, last_snapshot=now, consecutive_failures=0, doubt=None
        ).counting("snapshots_trusted")

    def doubted(self, now: float, changes: Changes) -> Status:
        """Know that a large removal waits."""
        return self._replace(doubt=PendingRemoval(now, changes.removed, changes.before))

    def wrote(self, now: float) -> Status:
        """Know that what the output holds was replaced."""
        return self._replace(last_write=now).counting("writes")

    def applied(self, now: float) -> Status:
        """Know that the output holds what it should; a snapshot in doubt is not applied yet."""
        last = now if self.doubt is None else self.last_applied
        return self._replace(last_applied=last, output_error=None)

    def leading(self, now: float) -> Status:
        """Return the status of a watch that holds the writer lease."""
        if self.lease and self.lease.role is Role.WRITER:
            return self
        return self._replace(lease=WriterLease(Role.WRITER, now))

    def standing_by(self, now: float, holder: str, *, agrees: bool) -> Status:
        """Return the status while another process holds the writer lease.

        ``agrees`` says whether what that one wrote is what this watch would write.
        """
        known = self.applied(now) if agrees else self._replace(output_error=None)
        role = self.lease and self.lease.role
        since = self.lease.since if self.lease and role is Role.STANDBY else now
        return known._replace(lease=WriterLease(Role.STANDBY, since, holder))

    def unwritable(self, now: float, event: str, message: str) -> Status:
        """Know why the output does not hold what it should."""
        error = ErrorRecord(now, event, message)
        return self._replace(last_error=error, output_error=error).counting("write_errors")

    def access_changed(self, now: float, event: str, message: str) -> Status:
        """Know that the access file has another usable content, which is not in force yet."""
        return self._with_access(broken=None, waits=ErrorRecord(now, event, message))

    def access_broken(self, now: float, event: str, message: str) -> Status:
        """Know why the access file cannot be used."""
        error = ErrorRecord(now, event, message)
        return self._with_access(broken=error)._replace(last_error=error)

    def access_mended(self) -> Status:
        """Know that the access file has its last usable content again."""
        return self._with_access(broken=None)

    def access_waits(self, now: float, event: str, message: str) -> Status:
        """Know why the access asked for could not be put in force."""
        error = ErrorRecord(now, event, message)
        return self._with_access(waits=error)._replace(last_error=error)

    def access_enforced(self, now: float) -> Status:
        """Know that the last usable access is in force."""
        return self._with_access(enforced=now, waits=None)

    def _with_access(self, **known: object) -> Status:
        return self._replace(access=self.access and self.access._replace(**known))  # type: ignore[arg-type]

    def ran_hook(self, now: float, event: str, error: str | None) -> Status:
        """Know that the command after a change has run, and how it failed, if it has."""
        if error is None:
            return self._replace(hook=Hook(now))
        failure = ErrorRecord(now, event, error)
        return self._replace(hook=Hook(now, failure), last_error=failure)

    def heard_traefik(self, now: float, verdict: Verdict) -> Status:
        """Know what Traefik makes of what was written."""
        return self._replace(traefik=Answer(now, verdict))

    def heard_no_traefik(self, now: float, event: str, message: str) -> Status:
        """Know why nothing is known of Traefik."""
        return self._replace(traefik=Answer(now, error=ErrorRecord(now, event, message)))

    def stopped(self, error: ErrorRecord | None = None) -> Status:
        """Know that watch has ended, and the error that it ended with, if any."""
        last = error or self.last_error
        return self._replace(state=State.STOPPED, connected_since=None, last_error=last)

    def counting(self, counter: str) -> Status:
        """Count a happening."""
        more = getattr(self.counters, counter) + 1
        return self._replace(counters=self.counters._replace(**{counter: more}))


def summarize(status: Status) -> str:
    """Say how watch is doing in one line, for people."""
    routes, refused = sum(status.routes.values()), len(status.refused)
    parts: list[str] = [status.state, f"{routes} route{'' if routes == 1 else 's'}"]
    if status.last_snapshot is not None:
        parts.append(f"last snapshot {time_to_text(status.last_snapshot)[11:19]} UTC")
    if refused:
        parts.append(f"{refused} entr{'y' if refused == 1 else 'ies'} refused")
    if status.lease and status.lease.role is Role.STANDBY:
        parts.append(f"standing by for {status.lease.holder}")
    if status.doubt:
        parts.append(f"a removal of {len(status.doubt.removed)} routes waits")
    if status.access and status.access.error:
        parts.append(f"the access file is not in force: {status.access.error.message}")
    if status.output_error:
        parts.append(status.output_error.message)
    elif status.state is not State.CONNECTED and status.last_error:
        parts.append(status.last_error.message)
    return "; ".join(parts)
