"""The address of a store and the credentials for it, which no text of it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ctsdns_traefik.bounded_file import read_secret_file
from ctsdns_traefik.core.text import quoted, shown
from ctsdns_traefik.errors import SettingsError, map_os_errors
from ctsdns_traefik.source import BAD_AUTHORITY, BAD_CHARACTER, is_private

SCHEMES = ("redis", "rediss")
DEFAULT_PORT = 6379
DEFAULT_ROOT = "traefik"

_EXAMPLE = "redis://127.0.0.1:6379/0?rootKey=traefik"
_WRITE = f"write it like {_EXAMPLE}"
_ROOT = re.compile(r"[A-Za-z0-9._:-]+")
_DATABASE = re.compile("/?|/[0-9]{1,4}")


@dataclass(frozen=True)
class Address:
    """Where the store is, and the credentials for it; its text and repr hold no secret."""

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    root: str = DEFAULT_ROOT
    tls: bool = False
    ca_file: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None

    @property
    def in_the_clear(self) -> bool:
        """Return whether a password would cross a network in the clear that is not private."""
        return not self.tls and bool(self.password or self.password_file) and not self._private

    @property
    def _private(self) -> bool:
        return is_private(self.host)

    def read_password(self) -> str | None:
        """Return the password, from its file if there is one, read anew each time.

        Raise :class:`SettingsError` if the file cannot be used.
        """
        if self.password_file is None:
            return self.password
        name = f"the password file {shown(str(self.password_file))}"
        with map_os_errors(f"cannot read {name}", SettingsError):
            password = read_secret_file(self.password_file).strip("\r\n")
        if not password:
            raise SettingsError(f"cannot use {name}: it is empty")
        return password

    def __str__(self) -> str:
        """Show the URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{host}:{self.port}/{self.database}?rootKey={self.root}"


def is_store_url(text: str) -> bool:
    """Return whether an output is a store's URL, even a malformed one, and not a path."""
    return (
        re.match(r"(rediss?|valkeys?|unix):|[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None
    )


def address_from(
    url: str,
    *,
    password: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
) -> Address:
    """Build an address from what the user set.

    The password's file wins over the password that is given, and that over the one in the URL.
    Raise :class:`SettingsError`, whose message never repeats what may be the password.
    """
    parts, port = _split(url)
    if not _DATABASE.fullmatch(parts.path):
        raise SettingsError(f"the path in the URL of the store is no database's number: {_WRITE}")
    user_info, _, _ = parts.netloc.rpartition("@")
    user, colon, in_url = user_info.partition(":")
    tls = parts.scheme == "rediss"
    if ca_file and not tls:
        raise SettingsError("--store-ca-file needs a store with TLS: write rediss://")
    return Address(
        host=parts.hostname or "",
        port=port,
        database=int(parts.path.strip("/") or 0),
        root=_root_in(parts.query),
        tls=tls,
        ca_file=ca_file,
        user=unquote(user) or None,
        password=password or (unquote(in_url) if colon else None) or None,
        password_file=password_file,
    )


def _split(url: str) -> tuple[SplitResult, int]:
    if not url.isprintable() or " " in url:
        raise SettingsError(f"the URL of the store {BAD_CHARACTER}")
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError as why:
        raise SettingsError(f"the URL of the store {BAD_AUTHORITY}") from why
    if parts.scheme not in SCHEMES or not parts.hostname or not port or parts.fragment:
        raise SettingsError(f"the store is not a URL like {_EXAMPLE}, or rediss:// for TLS")
    return parts, port


def _root_in(query: str) -> str:
    root = DEFAULT_ROOT
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "rootKey":
            raise SettingsError(f"the URL of the store has a query other than rootKey: {_WRITE}")
        root = value
    if not _ROOT.fullmatch(root):
        raise SettingsError(
            f"the rootKey {quoted(root)} has a character other than letters, digits and . _ : -"
        )
    return root
