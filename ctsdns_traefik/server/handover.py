"""The handover: what watch knows, passed to the server's thread as immutable values.

Its methods return at once, so that no reader can delay the loop. Of several values in a moment the
server sees only the last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from ctsdns_traefik.core.dynamic import Document
from ctsdns_traefik.core.policy import HostsMap
from ctsdns_traefik.core.status import Status


class State(NamedTuple):
    """All that the server knows."""

    content: bytes | None = None
    """The document as text; ``None`` until there is one that Traefik may have."""
    document: Document | None = None
    """The same as a value."""
    hosts: HostsMap | None = None
    """The last accepted hosts, until the relay has taken them."""
    updated: float | None = None
    """When the loop last was known not to hang, in seconds since 1970."""


class Handover:
    """Holds the last :class:`State`; any thread may call its methods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State()
        self._notify: Callable[[], object] = lambda: None
        self._status: Callable[[], Status] = Status

    def subscribe(self, notify: Callable[[], object]) -> None:
        """Call a function after each change, in its thread; it must return at once."""
        self._notify = notify

    def follow_status(self, get: Callable[[], Status]) -> None:
        """Ask a function for the present status, in the server's thread; it returns at once."""
        self._status = get

    @property
    def status(self) -> Status:
        """The present status."""
        return self._status()

    @property
    def state(self) -> State:
        """The last state."""
        return self._state

    def take_hosts(self) -> HostsMap | None:
        """Return the hosts that have not been taken yet, and forget them: they are megabytes."""
        with self._lock:
            hosts = self._state.hosts
            self._state = self._state._replace(hosts=None)
        return hosts

    def publish_hosts(self, hosts: HostsMap) -> None:
        """Publish the hosts of a trusted snapshot, unless a removal in it is held."""
        self._change(hosts=hosts)

    def publish_document(self, content: bytes, document: Document, *, trusted: bool) -> None:
        """Publish the document that the output holds.

        ``trusted`` is whether it was made of a trusted snapshot in this process. Traefik drops its
        routes for a document without any: one that a new or emptied disk holds is not passed on.
        """
        if trusted or _has_routes(document):
            self._change(content=content, document=document)

    def beat(self, _: Status, now: float) -> None:
        """Note that the loop does not hang; an :data:`.Outlet` of the status reporter."""
        with self._lock:
            self._state = self._state._replace(updated=now)

    def _change(self, **values: object) -> None:
        with self._lock:
            self._state = self._state._replace(**values)  # type: ignore[arg-type]
        self._notify()


def _has_routes(document: Document) -> bool:
    """Return whether a document has a router of an entry; the dashboard's comes from elsewhere."""
    return any(
        router.startswith("router-")
        for section in document.values()
        for router in section.get("routers", {})
    )
