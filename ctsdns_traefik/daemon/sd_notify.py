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

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Tells the service manager what it wants to know; silent if there is none."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        """Take the address of its socket, and the seconds within which it wants each sign of life.

        An address that starts with ``@`` is abstract; ``""`` means there is no manager.
        """
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._said = ""
        if address.startswith(("/", "@")):
            with suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)

    def __bool__(self) -> bool:
        return self._socket is not None

    def ready(self) -> None:
        """Say that watch runs, or has taken up what it was told to."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that watch begins anew; :meth:`ready` has to follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that watch is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life, which keeps the manager from starting watch anew."""
        self._send("WATCHDOG=1")

    def show(self, status: Status, _now: float) -> None:
        """Say in one line how watch is doing, if it is not what was said before."""
        line = printable(summarize(status))
        if line != self._said:
            self._said = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        with suppress(OSError, ValueError):
            if self._socket:
                self._socket.sendto(message.encode(), self._address)


def service_manager(environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """Return the service manager that the environment names.

    The variables are taken out of it: what watch starts has no business with the manager.
    """
    address, timeout, pid = (environment.pop(name, "") for name in _VARIABLES)
    meant = not pid or pid == str(os.getpid())
    digits = timeout.isascii() and timeout.isdigit() and int(timeout[:18]) > 0
    return ServiceManager(address, int(timeout[:18]) / 1e6 if meant and digits else None)
