"""The loop: follow the endpoint for ever, and hand each snapshot to the reconciler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

from ctsdns_traefik.cancellation import Cancellation, Cancelled
from ctsdns_traefik.core.policy import (
    HostsMap,
    SnapshotError,
    hosts_of_snapshot,
    message_of_error,
)
from ctsdns_traefik.core.sse import retry_delay
from ctsdns_traefik.core.text import shown
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
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import CheckRefused, OutputError, internal_error
from ctsdns_traefik.signals import Signals
from ctsdns_traefik.source import Endpoint, Event, StreamError, open_stream

Connect = Callable[[Endpoint, Cancellation], AbstractContextManager[Iterator[Event]]]


class Watch:
    """Follows one endpoint, and survives anything that it does.

    ``delay`` is in seconds, between two connections; ``beside`` is a context that is entered while
    the endpoint is followed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        reconciler: Reconciler,
        signals: Signals,
        *,
        delay: float,
        connect: Connect = open_stream,
        chance: Callable[[], float] = random.random,
        publisher: EventPublisher | None = None,
        beside: AbstractContextManager[object] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._reconciler = reconciler
        self._signals = signals
        self._delay = delay
        self._connect = connect
        self._chance = chance
        self._publish = (publisher or EventPublisher()).publish
        self._beside = beside or nullcontext()
        self._requested_delay = 0.0
        """Seconds that the server wants between connections, until one delivers."""

    def run(self) -> NoReturn:
        """Prepare the output, then connect, follow and wait in turn until a signal stops it.

        Raise :class:`OutputError` if the output cannot be prepared, later only :class:`Stop`.
        """
        self._reconciler.prepare()
        self._publish(OutputReady())
        with self._beside:
            while True:
                self._connect_once()

    def _connect_once(self) -> None:
        """Connect, follow and wait; a stop or SIGHUP ends that early, between two steps."""
        with self._signals.attempt() as attempt:
            ending, reason = self._follow(attempt)
            if not attempt.cancelled:
                delay = retry_delay(self._delay, self._requested_delay, self._chance())
                self._publish(ending(reason, delay))
                attempt.pause(delay)
        self._signals.check()
        if self._signals.take_hangup():
            self._publish(Reconnecting("SIGHUP"))

    def _follow(self, attempt: Cancellation) -> tuple[type[Unreachable], str]:
        """Follow one connection to its end; return the kind of that end, and why it came."""
        requested, delivered = 0.0, False
        ending, state = Unreachable, f"cannot connect to {self._endpoint}"
        self._publish(Connecting())
        try:
            with self._connect(self._endpoint, attempt) as events:
                ending, state = Disconnected, f"disconnected from {self._endpoint}"
                self._publish(Connected(str(self._endpoint)))
                for event in events:
                    requested = requested if event.retry is None else event.retry
                    delivered = delivered or bool(event.data)
                    hosts = self._hosts_in(event)
                    del event  # megabytes that are not needed while the snapshot is written
                    if hosts is not None:
                        self._reconcile(hosts)
                    del hosts
                    attempt.check()
            reason = "the stream ended"
        except StreamError as why:
            requested = max(requested, why.retry_after)
            reason = str(why)
        except Cancelled:
            reason = "cancelled"
        except Exception as defect:  # noqa: BLE001  (nothing may end the process)
            reason = internal_error(defect)
        self._requested_delay = requested if delivered else max(requested, self._requested_delay)
        return ending, f"{state}: {reason}"

    def _hosts_in(self, event: Event) -> HostsMap | None:
        """Return the hosts of a snapshot that can be trusted; publish any other event."""
        if not event.data:
            return None
        if event.name == "machines-snapshot":
            try:
                return hosts_of_snapshot(event.data)
            except SnapshotError as why:
                self._publish(SnapshotUntrusted(str(why)))
        elif event.name == "error":
            self._publish(WorkerFailed(shown(message_of_error(event.data))))
        else:
            self._publish(OtherEventReceived(shown(event.name)))
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
