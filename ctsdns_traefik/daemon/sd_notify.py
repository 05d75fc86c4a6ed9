"""The service manager: sd_notify(3), as datagrams to the socket that it names.

Nothing that goes wrong here disturbs anything: a message that cannot be sent at once is lost.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

from ctsdns_traefik.core.status import Status, summarize
from ctsdns_traefik.core.text import printable
from ctsdns_traefik.daemon.events import (
    Connecting,
    Event,
    OutputReady,
    Reconnecting,
    Stopped,
    WatchFailed,
)

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The connection to the service manager; nothing is sent if there is none.

    ``address`` is that of its socket, which is abstract if it starts with ``@``, ``""`` if there is
    no manager; ``watchdog`` the seconds within which it wants each heartbeat.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._last_line = ""
        self._reloading = False
        if address.startswith(("/", "@")):
            with suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)

    def __bool__(self) -> bool:
        return self._socket is not None

    def notify(self, event: Event) -> None:
        """Send what the service manager has to know of an event, if anything."""
        match event:
            case OutputReady():
                self._send("READY=1")
            case Reconnecting():
                now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")
                self._reloading = True
            case Connecting() if self._reloading:
                self._send("READY=1")
                self._reloading = False
            case Stopped() | WatchFailed():
                self._send("STOPPING=1")

    def send_heartbeat(self) -> None:
        """Keep the manager from restarting watch as hung."""
        self._send("WATCHDOG=1")

    def send_status(self, status: Status, _now: float) -> None:
        """Send the state of watch in one line, unless it is the line that was sent last."""
        line = printable(summarize(status))
        if line != self._last_line:
            self._last_line = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        with suppress(OSError, ValueError):
            if self._socket:
                self._socket.sendto(message.encode(), self._address)


def service_manager(environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """Return the service manager that the environment names.

    The variables are removed from it: a command that watch runs must not speak for watch.
    """
    address, timeout, pid = (environment.pop(name, "") for name in _VARIABLES)
    meant = not pid or pid == str(os.getpid())
    digits = timeout.isascii() and timeout.isdigit() and int(timeout[:18]) > 0
    return ServiceManager(address, int(timeout[:18]) / 1e6 if meant and digits else None)
