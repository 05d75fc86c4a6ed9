"""Who may ask: the ``Host`` header and the bearer token of a request.

A web page elsewhere can have its own name resolve to this machine's address, and a browser here
would then let it read the answers (DNS rebinding). It cannot choose the ``Host`` header, though.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable
from pathlib import Path

from ctsdns_traefik.bounded_file import read_secret_file
from ctsdns_traefik.core.text import quoted, shown
from ctsdns_traefik.errors import SettingsError, map_os_errors

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/\\ ]+)(:[0-9]{1,5})?")


def is_allowed_host(header: str | None, names: Iterable[str]) -> bool:
    """Return whether a ``Host`` header is an address, localhost, or one of some names."""
    found = _AUTHORITY.fullmatch(header or "")
    if not found:
        return False
    host = found[1].strip("[]").lower().removesuffix(".")
    if host == "localhost" or host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_name_from(text: str) -> str:
    """Read a name of this server; raise :class:`.SettingsError` if no ``Host`` can be that."""
    name = text.strip().lower().removesuffix(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise SettingsError(
            f"{quoted(text)} is not the name of a host, without port, such as hub.internal"
        )
    return name


def has_token(authorization: str | None, tokens: Iterable[str]) -> bool:
    """Return whether an ``Authorization`` header holds one of some tokens.

    As Bearer, or as the password of Basic, since browsers and some tools know only that.
    """
    scheme, _, rest = (authorization or "").partition(" ")
    given = rest.strip()
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode().partition(":")[2]
        except (Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)


class SecretFile:
    """A file with one secret a line, so that a new one can stand beside the old for a while."""

    def __init__(self, path: Path, what: str) -> None:
        """Read it; raise :class:`.SettingsError` if it cannot be used."""
        self._path = path
        self._name = f"the {what} file {shown(str(path))}"
        self.secrets: tuple[str, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read it again; raise :class:`.SettingsError`, and keep the old secrets, if that fails."""
        with map_os_errors(f"cannot read {self._name}", SettingsError):
            text = read_secret_file(self._path)
        secrets = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not secrets:
            raise SettingsError(f"cannot use {self._name}: it is empty; write one secret a line")
        if any(not line.isascii() or not line.isprintable() or " " in line for line in secrets):
            raise SettingsError(
                f"cannot use {self._name}: it has a space or a character outside ASCII"
            )
        self.secrets = secrets
