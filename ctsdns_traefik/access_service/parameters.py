"""Read the service's options: text of the command line and the environment to values."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ctsdns_traefik.access_service import defaults as settings
from ctsdns_traefik.core.entries import LARGEST_PORT
from ctsdns_traefik.core.text import quoted
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from ctsdns_traefik.source import Endpoint

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+", re.IGNORECASE)
_LISTEN = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+|localhost)):(?P<port>[0-9]{1,5})")
_AUDIENCE = re.compile(r"[!-~]{1,200}")


def read_team_domain(text: str) -> str:
    """Read the domain of a team at Cloudflare: a name of several labels, without ``https://``."""
    if not _DOMAIN.fullmatch(text):
        raise SettingsError(f"{quoted(text)} is not a domain like myteam.cloudflareaccess.com")
    return text.lower()


def read_listen_address(text: str) -> tuple[str, int]:
    """Read ``ADDRESS:PORT``, IPv6 in brackets; port 0 is any that is free."""
    found = _LISTEN.fullmatch(text)
    host = (found["v6"] or found["v4"]) if found else ""
    if not found or not _is_address(host) or int(found["port"]) > LARGEST_PORT:
        raise SettingsError(f"{quoted(text)} is not ADDRESS:PORT, such as 127.0.0.1:4180")
    return host, int(found["port"])


def read_audience(text: str) -> str:
    """Read the audience tag of an Access application, which has no spaces."""
    if not _AUDIENCE.fullmatch(text):
        raise SettingsError(f"{quoted(text)} is not an audience tag, which has 64 hex digits")
    return text


def read_leeway(text: str) -> float:
    """Read a number of seconds from zero to a few minutes."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= settings.MOST_LEEWAY:
        most = f"{settings.MOST_LEEWAY:g}"
        raise SettingsError(f"{quoted(text)} is not a number of seconds from 0 to {most}")
    return seconds


def keys_endpoint(url: str | None, team_domain: str, ca_file: Path | None) -> Endpoint:
    """Build the endpoint of the keys: the team's own unless another is named.

    Raise :class:`.SettingsError` for one that others on the way could forge.
    """
    from ctsdns_traefik.source import endpoint_from, require_certificates

    url = url or f"https://{team_domain}{settings.KEYS_PATH}"
    like = "https://example.com/certs"
    endpoint = endpoint_from(url, ca_file=ca_file, what="the key server", like=like)
    if endpoint.credentials is not None:
        raise SettingsError("the URL of the key server has a user or password: remove it")
    if urlsplit(endpoint.url).scheme != "https" and not _is_loopback(endpoint.host):
        raise SettingsError("keys without TLS could be forged: use https for the key server")
    if ca_file:
        require_certificates(ca_file)
    return endpoint


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
