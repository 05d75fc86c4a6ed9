"""The loop: follow the endpoint for ever, and hand each snapshot to the keeper of the file."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

from ctsdns_traefik.core.policy import (
    HostsMap,
    SnapshotError,
    hosts_of_snapshot,
    message_of_error,
)
from ctsdns_traefik.core.sse import retry_delay
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.daemon.events import Journal
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import CheckRefused, OutputError, Standby
from ctsdns_traefik.signals import Expired, Interrupts, Reconnect
from ctsdns_traefik.source import Endpoint, Event, StreamError, open_stream

Connect = Callable[[Endpoint], AbstractContextManager[Iterator[Event]]]


class Watch:
    """Follows one endpoint, and survives whatever it does."""

    def __init__(
        self,
        endpoint: Endpoint,
        keeper: Reconciler,
        interrupts: Interrupts,
        *,
        delay: float,
        connect: Connect = open_stream,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        journal: Journal | None = None,
        beside: AbstractContextManager[object] | None = None,
    ) -> None:
        """Take what to follow, what keeps the file, and the seconds between two connections.

        ``beside`` runs while the endpoint is followed, in a thread of its own.
        """
        self._endpoint = endpoint
        self._keeper = keeper
        self._interrupts = interrupts
        self._delay = delay
        self._connect = connect
        self._sleep = sleep
        self._chance = chance
        self._journal = journal or Journal()
        self._beside = beside or nullcontext()
        self._asked = 0.0
        """Seconds that the server wants between connections, until one delivers."""

    def run(self) -> NoReturn:
        """Prepare the file, then connect, follow and wait by turns until a signal says stop.

        Raise :class:`OutputError` if the file cannot be prepared, later only :class:`Stop`.
        """
        self._keeper.begin()
        self._journal.prepared()
        with self._beside:
            while True:
                self._connect_once()

    def _connect_once(self) -> None:
        """Connect, follow and wait; SIGHUP ends that early."""
        try:
            with self._interrupts.armed():
                reason = self._follow()
                delay = retry_delay(self._delay, self._asked, self._chance())
                self._journal.failed(reason, delay)
                self._sleep(delay)
        except Reconnect:
            self._journal.told_to_reconnect()

    def _follow(self) -> str:
        """Make one connection and follow it to its end; say how it ended."""
        asked, delivered = 0.0, False
        state = f"cannot connect to {self._endpoint}"
        self._journal.connecting()
        try:
            with self._connect(self._endpoint) as events:
                state = f"disconnected from {self._endpoint}"
                self._journal.connected(self._endpoint)
                for event in events:
                    asked = asked if event.retry is None else event.retry
                    delivered = delivered or bool(event.data)
                    hosts = self._hosts_in(event)
                    del event  # megabytes, and needed no more
                    if hosts is not None:
                        self._apply(hosts)
                    del hosts
            reason = "the stream ended"
        except StreamError as why:
            asked = max(asked, why.retry_after)
            reason = str(why)
        except (Exception, Expired) as defect:  # noqa: BLE001  (nothing may end the process)
            reason = f"internal error, please report it: {defect!r}"
        self._asked = asked if delivered else max(asked, self._asked)
        return f"{state}: {reason}"

    def _hosts_in(self, event: Event) -> HostsMap | None:
        """Return the hosts of a snapshot that can be trusted; tell about all else."""
        if not event.data:
            return None
        if event.name == "machines-snapshot":
            try:
                return hosts_of_snapshot(event.data)
            except SnapshotError as why:
                self._journal.distrusted(why)
        elif event.name == "error":
            self._journal.heard_error(shown(message_of_error(event.data)))
        else:
            self._journal.heard(shown(event.name))
        return None

    def _apply(self, hosts: HostsMap) -> None:
        self._journal.trusted()
        try:
            self._keeper.apply(hosts)
        except CheckRefused as why:
            self._journal.check_refused(why)
        except Standby as why:
            self._journal.standing_by(why)
        except OutputError as why:
            self._journal.unwritable(why)
        else:
            self._journal.applied()
