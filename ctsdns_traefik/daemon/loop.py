"""The loop: follow the source for ever, and hand each policy to the reconciler."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

from ctsdns_traefik.cancellation import Cancellation, Cancelled
from ctsdns_traefik.core.policy import HostsMap
from ctsdns_traefik.core.sse import retry_delay
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import (
    Connected,
    Connecting,
    Disconnected,
    OtherEventReceived,
    OutputReady,
    Reconnecting,
    SnapshotTrusted,
    SnapshotUntrusted,
    Unreachable,
    WorkerFailed,
    WriteFailed,
    WriteRefused,
)
from ctsdns_traefik.daemon.machine_checker import MachineChecker
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import CheckRefused, OutputError, Reason, SourceError, internal_error
from ctsdns_traefik.signals import Signals
from ctsdns_traefik.source import (
    MachineList,
    OtherEvent,
    Policy,
    Received,
    Source,
    Untrusted,
    WorkerError,
)


class Watch:
    """Follows one source, and survives anything that it does.

    ``delay`` is in seconds, between two runs; ``beside`` is a context that is entered while the
    source is followed.
    """

    def __init__(
        self,
        source: Source,
        reconciler: Reconciler,
        signals: Signals,
        *,
        delay: float,
        chance: Callable[[], float] = random.random,
        publisher: EventPublisher | None = None,
        beside: AbstractContextManager[object] | None = None,
    ) -> None:
        self._source = source
        self._reconciler = reconciler
        self._signals = signals
        self._delay = delay
        self._chance = chance
        self._publisher = publisher or EventPublisher()
        self._publish = self._publisher.publish
        self._beside = beside or nullcontext()
        self._checker = MachineChecker(self._publish)
        self._untrusted: Untrusted | None = None
        """The last policy that could not be trusted."""
        self._requested_delay = 0.0
        """Seconds that the source wants between runs, until one delivers."""

    def run(self) -> NoReturn:
        """Prepare the output, then follow the source and wait in turn until a signal stops it.

        Raise :class:`OutputError` if the output cannot be prepared, later only :class:`Stop`.
        """
        self._reconciler.prepare()
        self._publish(OutputReady())
        with self._beside:
            while True:
                self._follow_once()

    def _follow_once(self) -> None:
        """Follow and wait; a stop or SIGHUP ends that early, between two steps."""
        with self._signals.attempt() as attempt:
            ending, error, reason = self._follow(attempt)
            if not attempt.cancelled:
                delay = retry_delay(self._delay, self._requested_delay, self._chance())
                self._publish(ending(error, delay, reason))
                self._source.pause(attempt, delay)
        self._signals.check()
        if self._signals.take_hangup():
            self._publish(Reconnecting("SIGHUP"))

    def _follow(self, attempt: Cancellation) -> tuple[type[Unreachable], str, str]:
        """Follow one run to its end; return the kind of that end, why it came, and its reason."""
        source = self._source
        requested, delivered = 0.0, False
        ending, state = Unreachable, source.wording.failed
        self._publish(Connecting())
        try:
            with source.follow(attempt, self._publisher.expect) as run:
                ending, state = Disconnected, source.wording.ended
                self._publish(Connected(str(source), source.wording.begun, source.interval))
                for received in run:
                    delivered = True
                    hosts = self._hosts_in(received)
                    del received  # megabytes that are not needed while the output is written
                    if hosts is not None:
                        self._reconcile(hosts)
                    del hosts
                    attempt.check()
            error, reason = "the source ended", Reason.BROKEN_OFF
        except SourceError as why:
            requested, error, reason = why.retry_after, str(why), why.reason
        except Cancelled:
            error, reason = "cancelled", Reason.BROKEN_OFF
        except Exception as defect:  # noqa: BLE001  (nothing may end the process)
            error, reason = internal_error(defect), Reason.INTERNAL
        self._requested_delay = requested if delivered else max(requested, self._requested_delay)
        return ending, f"{state} {source}: {error}", reason

    def _hosts_in(self, received: Received) -> HostsMap | None:
        """Return the hosts of a policy that can be trusted; publish anything else."""
        match received:
            case Policy():
                self._untrusted = None
                self._checker.hosts = received.hosts
                return received.hosts
            case MachineList():
                self._checker.check(received)
            case Untrusted():
                repeated, self._untrusted = received is self._untrusted, received
                self._publish(SnapshotUntrusted(received.error, repeated=repeated))
            case WorkerError():
                self._publish(WorkerFailed(received.error))
            case OtherEvent():
                self._publish(OtherEventReceived(received.name))
        return None

    def _reconcile(self, hosts: HostsMap) -> None:
        self._publish(SnapshotTrusted())
        try:
            self._reconciler.reconcile(hosts)
        except OutputError as why:
            # A stop ends the check command, and the connection to a store that does not answer.
            self._signals.check()
            refused = isinstance(why, CheckRefused)
            self._publish(WriteRefused(str(why)) if refused else WriteFailed(str(why)))
        if self._publisher.status.pending_removal:
            self._source.confirm()
