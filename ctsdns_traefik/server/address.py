"""Where the server listens: an address and port, or a Unix socket."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.core.text import quoted, shown
from ctsdns_traefik.errors import OutputError, SettingsError, listen_fault

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_LARGEST_PORT = 65535
_SOCKET_UMASK = 0o117
"""A Unix socket may be used by its owner and group."""

_FORM = "is not ADDRESS:PORT, [ADDRESS]:PORT, PORT or unix:PATH, such as 127.0.0.1:9280"


class ListenAddress(NamedTuple):
    """An address and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine can connect."""
        return self.path is not None or ipaddress.ip_address(self.host).is_loopback

    def as_bound(self, listener: socket.socket) -> ListenAddress:
        """Return it with the port that the system has chosen in place of 0."""
        return self if self.path else self._replace(port=listener.getsockname()[1])

    def __str__(self) -> str:
        if self.path:
            return f"unix:{shown(str(self.path))}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen_address_from(text: str) -> ListenAddress:
    """Read ``ADDRESS:PORT``, ``PORT``, ``unix:PATH`` or an absolute path.

    Without an address it is the loopback one. Raise :class:`.SettingsError` for anything else.
    """
    if text.startswith(("/", "unix:")):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise SettingsError(f"{quoted(text)} is not unix:/ and an absolute path")
        return ListenAddress(path=Path(path))
    found = re.fullmatch(
        r"(?:(?:\[(?P<six>[^]]*)\]|(?P<host>[^:[\]]*)):)?(?P<port>[0-9]{1,5})", text
    )
    if not found or int(found["port"]) > _LARGEST_PORT:
        raise SettingsError(f"{quoted(text)} {_FORM}")
    host = found["six"] if found["six"] is not None else found["host"]
    return ListenAddress(_address(host or LOOPBACK, text), int(found["port"]))


def _address(host: str, text: str) -> str:
    try:
        return LOOPBACK if host == "localhost" else str(ipaddress.ip_address(host))
    except ValueError:
        raise SettingsError(f"{quoted(text)} {_FORM}; a name is not an address") from None


def open_listener(address: ListenAddress) -> socket.socket:
    """Listen on an address, without blocking.

    Raise :class:`.OutputError` if it is taken or not this machine's.
    """
    try:
        listener = _listen_on_path(address.path) if address.path else _listen_on_port(address)
    except OSError as why:
        raise OutputError(listen_fault(str(address), address.port, why)) from why
    listener.setblocking(False)
    return listener


def close_listener(address: ListenAddress) -> None:
    """Remove what a listener leaves behind: the file of a Unix socket."""
    if address.path:
        with suppress(OSError):
            address.path.unlink()


def _listen_on_port(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    both = address.host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(
        (address.host, address.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
    )


def _listen_on_path(path: Path) -> socket.socket:
    _remove_abandoned(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(_SOCKET_UMASK)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _remove_abandoned(path: Path) -> None:
    """Remove a socket that a killed process left; raise :class:`OSError` if it is in use."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
