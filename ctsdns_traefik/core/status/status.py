"""The status: what is known about watch at one moment, as a value that events change.

All times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ctsdns_traefik.core.problems import Diagnostic, count_entries
from ctsdns_traefik.core.status.timestamps import time_to_text

if TYPE_CHECKING:
    from ctsdns_traefik.core.dynamic.served import Verdict

LISTED_AT_MOST = 100
"""Refused entries, or routers, that a status or a log line lists; it counts all."""


class State(StrEnum):
    """What watch is doing."""

    STARTING = "starting"
    """It reads what the output holds."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """It pauses before it connects again."""
    STOPPED = "stopped"


class ErrorRecord(NamedTuple):
    """Something that went wrong."""

    time: float
    event: str
    """The name of the event in the log."""
    message: str
    reason: str = ""
    """Why no policy came, for programs; ``""`` for what is no failure of the source."""


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


class TraefikAnswer(NamedTuple):
    """What Traefik's API last showed of what was written."""

    checked: float
    verdict: Verdict | None = None
    """None if it gave no answer."""
    error: ErrorRecord | None = None


class AccessFile(NamedTuple):
    """The access file of watch, and whether what it says is in force."""

    path: str
    enforced: float | None = None
    """When its last usable content came into force; ``None`` until one has."""
    unusable: ErrorRecord | None = None
    """Why its present content cannot be used."""
    pending: ErrorRecord | None = None
    """Why its last usable content is not in force."""

    @property
    def error(self) -> ErrorRecord | None:
        """Why the present content is not in force, if it is not."""
        return self.unusable or self.pending


class MachineCheck(NamedTuple):
    """What Tailscale's list of machines last showed of those that entries lead to."""

    checked: float | None = None
    """When the list was last read; ``None`` until it was."""
    problems: tuple[Diagnostic, ...] = ()
    error: ErrorRecord | None = None
    """Why it could not be read since."""


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
    """How often each kind of event has happened since the start."""

    connections: int = 0
    connection_failures: int = 0
    snapshots_trusted: int = 0
    snapshots_untrusted: int = 0
    worker_errors: int = 0
    writes: int = 0
    write_errors: int = 0


class StatusEvent(Protocol):
    """What the status needs of an event; :mod:`ctsdns_traefik.daemon.events` has them."""

    @property
    def counter(self) -> str:
        """The field of :class:`Counters` that counts it, ``""`` for none."""

    def change(self, status: Status, now: float) -> Status:
        """Return the status after it."""


class Status(NamedTuple):
    """What is known about watch."""

    version: str = ""
    pid: int = 0
    started: float = 0.0
    endpoint: str = ""
    """Without what may be secret."""
    output: str = ""
    state: State = State.STARTING
    connected_since: float | None = None
    poll_interval: float | None = None
    """Seconds between two polls; ``None`` for a source that reports changes by itself."""
    last_event: float | None = None
    last_snapshot: float | None = None
    """When the last snapshot came that could be trusted."""
    last_applied: float | None = None
    """When the output was last known to hold what the last trusted snapshot wants."""
    last_write: float | None = None
    routes: Mapping[str, int] = {}
    """What the output holds: how many routes each entrypoint has."""
    refused: tuple[Diagnostic, ...] = ()
    consecutive_failures: int = 0
    """Connections that ended since the last trusted snapshot."""
    last_error: ErrorRecord | None = None
    output_error: ErrorRecord | None = None
    """Why the output does not hold what it should; ``None`` if it does."""
    pending_removal: PendingRemoval | None = None
    hook: Hook | None = None
    traefik: TraefikAnswer | None = None
    access: AccessFile | None = None
    """``None`` if there is no access file."""
    machines: MachineCheck | None = None
    """``None`` unless machines are checked."""
    lease: WriterLease | None = None
    """``None`` for an output that is not shared, and before the first snapshot."""
    counters: Counters = Counters()

    def after(self, event: StatusEvent, now: float) -> Status:
        """Return what is known after an event at a time."""
        status = event.change(self, now)
        return _count(status, event.counter) if event.counter else status

    def with_access(self, **known: ErrorRecord | float | None) -> Status:
        """Return this with other values of :class:`AccessFile`, if there is an access file."""
        return self._replace(access=self.access and self.access._replace(**known))  # type: ignore[arg-type]


def _count(status: Status, counter: str) -> Status:
    more = getattr(status.counters, counter) + 1
    return status._replace(counters=status.counters._replace(**{counter: more}))


def summarize(status: Status) -> str:
    """Return the state of watch in one line, for people."""
    routes, refused = sum(status.routes.values()), count_entries(status.refused)
    parts: list[str] = [status.state, f"{routes} route{'' if routes == 1 else 's'}"]
    if status.last_snapshot is not None:
        parts.append(f"last snapshot {time_to_text(status.last_snapshot)[11:19]} UTC")
    if refused:
        parts.append(f"{refused} entr{'y' if refused == 1 else 'ies'} refused")
    if status.machines and status.machines.problems:
        number = len(status.machines.problems)
        parts.append(f"{number} entr{'y leads' if number == 1 else 'ies lead'} to no live machine")
    if status.lease and status.lease.role is Role.STANDBY:
        parts.append(f"standing by for {status.lease.holder}")
    if status.pending_removal:
        parts.append(f"a removal of {len(status.pending_removal.removed)} routes waits")
    if status.access and status.access.error:
        parts.append(f"the access file is not in force: {status.access.error.message}")
    if status.output_error:
        parts.append(status.output_error.message)
    elif status.state is not State.CONNECTED and status.last_error:
        parts.append(status.last_error.message)
    return "; ".join(parts)
