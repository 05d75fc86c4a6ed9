"""The endpoint: where snapshots come from and how to get in, with its secrets out of sight."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from ctsdns_traefik.bounded_file import read_secret_file
from ctsdns_traefik.core.entries import TAILNET_RANGES
from ctsdns_traefik.core.text import in_quotes, quoted, shown
from ctsdns_traefik.errors import SettingsError, map_os_errors
from ctsdns_traefik.settings import READ_TIMEOUT
from ctsdns_traefik.source.secrets import SentSecrets

_TAILNET = tuple(map(ipaddress.ip_network, TAILNET_RANGES))
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

BAD_CHARACTER = "has a space or a control character: write %20 for a space"
BAD_AUTHORITY = (
    "has a bad host or port: write a port from 1 to 65535, and an IPv6 address in brackets"
)
_LIKE = "https://git.example.com/policy.hujson, nor tailscale:, headscale+https://HOST or a file"

Header = tuple[str, str]

OnAnswer = Callable[[Mapping[str, str]], None]
"""Called with the headers of each answer, errors included."""


@dataclass(frozen=True)
class Endpoint:
    """Where snapshots come from, and how to get in; its text and repr hold no secret."""

    url: str = field(repr=False)
    """Without user and password; the query may hold a secret."""
    host: str
    headers: tuple[Header, ...] = field(default=(), repr=False)
    credentials: str | None = field(default=None, repr=False)
    """``user:password`` from the URL, for ``Authorization: Basic``."""
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    """``None`` if the key stands in the certificate's file."""
    read_timeout: float = READ_TIMEOUT.default
    on_answer: OnAnswer | None = field(default=None, repr=False, compare=False)
    sent: SentSecrets = field(default_factory=SentSecrets, repr=False, compare=False)
    """What was sent as a secret, by this endpoint and those that :meth:`at` returns."""

    @property
    def in_the_clear(self) -> bool:
        """Whether what may be secret goes unencrypted over networks between the machines.

        Loopback addresses leave no machine, and a tailnet encrypts what goes over it.
        """
        query = urlsplit(self.url).query
        secrets = (self.headers, self.credentials, self.token, self.token_file, query)
        return any(secrets) and not self.is_protected

    @property
    def is_protected(self) -> bool:
        """Whether nothing between the machines can read what is sent."""
        return urlsplit(self.url).scheme == "https" or is_private(self.host)

    def at(self, path: str) -> Endpoint:
        """Return the same endpoint with a path appended to that of its URL, which has no query."""
        return replace(self, url=self.url + path)

    def authorization(self) -> dict[str, str]:
        """Build the Authorization header, if any; the token file is read anew each time.

        Raise :class:`SettingsError` if it cannot be used.
        """
        token = read_token(self.token_file) if self.token_file else self.token
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self.credentials is not None:
            basic = b64encode(self.credentials.encode()).decode()
            return {"Authorization": f"Basic {basic}"}
        return {}

    def __str__(self) -> str:
        """Show the URL without what may be secret: user, password, query and fragment."""
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))


def endpoint_from(
    url: str,
    *,
    headers: Iterable[Header] = (),
    token: str | None = None,
    token_file: Path | None = None,
    ca_file: Path | None = None,
    read_timeout: float = READ_TIMEOUT.default,
    what: str = "the source",
    like: str = _LIKE,
) -> Endpoint:
    """Build an endpoint from what the user set; errors call it ``what``.

    Raise :class:`SettingsError`, whose message never repeats the URL, since it may hold a password.
    """
    if in_quotes(url):
        raise SettingsError(f"the URL of {what} is in quotes: write it without")
    if not url.isprintable() or " " in url:
        raise SettingsError(f"the URL of {what} {BAD_CHARACTER}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as why:
        raise SettingsError(f"the URL of {what} {BAD_AUTHORITY}") from why
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{what} is not a URL like {like}")
    user_info, at, _ = parts.netloc.rpartition("@")
    authority = f"[{host}]" if ":" in host else host
    if port is not None:
        authority += f":{port}"
    return Endpoint(
        url=urlunsplit(parts._replace(netloc=authority, fragment="")),
        host=host,
        headers=tuple(headers),
        credentials=_credentials(user_info) if at else None,
        token=token_from(token) if token is not None else None,
        token_file=token_file,
        ca_file=ca_file,
        read_timeout=read_timeout,
    )


def read_token(path: Path) -> str:
    """Read a token from a file; raise :class:`SettingsError` if it cannot be used."""
    name = f"the token file {shown(str(path))}"
    with map_os_errors(f"cannot read {name}", SettingsError):
        text = read_secret_file(path)
    try:
        return token_from(text)
    except SettingsError as why:
        raise SettingsError(f"cannot use {name}: {why}") from why


def is_private(host: str) -> bool:
    """Return whether a host is this machine, or by its address or name in a tailnet."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".ts.net"))
    return address.is_loopback or any(address in network for network in _TAILNET)


def _credentials(user_info: str) -> str:
    """Return ``user:password`` from a URL, the password empty if there is none."""
    user, _, password = user_info.partition(":")
    return f"{unquote(user)}:{unquote(password)}"


def header_from(text: str) -> Header:
    """Read ``Name: value``; raise :class:`SettingsError`, which never repeats the value."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise SettingsError("a header is not of the form 'Name: value'")
    if not _HEADER_VALUE.fullmatch(value):
        raise SettingsError(f"the value of header {quoted(name)} has a forbidden character")
    return name, value


def token_from(text: str) -> str:
    """Read a bearer token, white space around it dropped; raise :class:`SettingsError`."""
    token = text.strip()
    if in_quotes(token):
        raise SettingsError("it is in quotes: write it without")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("it is empty, or has a space or a character outside ASCII")
    return token
