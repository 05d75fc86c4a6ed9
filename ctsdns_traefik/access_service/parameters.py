"""The types of the service's options: text of the command line and the environment to values."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from ctsdns_traefik.access_service import defaults as settings
from ctsdns_traefik.core.entries import LARGEST_PORT
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from ctsdns_traefik.source import Endpoint

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+", re.IGNORECASE)
_LISTEN = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+|localhost)):(?P<port>[0-9]{1,5})")
_AUDIENCE = re.compile(r"[!-~]{1,200}")


class TeamDomain(click.ParamType):  # type: ignore[type-arg]
    """The domain of a team at Cloudflare."""

    name = "domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a name of several labels, without ``https://``."""
        if not _DOMAIN.fullmatch(value):
            self.fail(f"{value!r} is not a domain like myteam.cloudflareaccess.com", param, ctx)
        return str(value).lower()


class Listen(click.ParamType):  # type: ignore[type-arg]
    """An address to listen on."""

    name = "address:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Read ``ADDRESS:PORT``, IPv6 in brackets; port 0 is any that is free."""
        if isinstance(value, tuple):
            return value
        found = _LISTEN.fullmatch(value)
        host = (found["v6"] or found["v4"]) if found else ""
        if not found or not _is_address(host) or int(found["port"]) > LARGEST_PORT:
            self.fail(f"{value!r} is not of the form ADDRESS:PORT, 127.0.0.1:4180", param, ctx)
        return host, int(found["port"])


class Audience(click.ParamType):  # type: ignore[type-arg]
    """The audience tag of an Access application; several in the environment stand in a row."""

    name = "aud"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a tag without spaces."""
        if not _AUDIENCE.fullmatch(value):
            self.fail(f"{value!r} is not an audience tag", param, ctx)
        return str(value)


class Leeway(click.ParamType):  # type: ignore[type-arg]
    """Seconds by which clocks may differ."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number from zero to a few minutes."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= settings.MOST_LEEWAY:
            most = f"{settings.MOST_LEEWAY:g}"
            self.fail(f"{value!r} is not a number from 0 to {most}", param, ctx)
        return seconds


def keys_endpoint(url: str | None, team_domain: str, ca_file: Path | None) -> Endpoint:
    """Build the endpoint of the keys: the team's own unless another is named.

    Raise :class:`.SettingsError` for one that others on the way could forge.
    """
    from ctsdns_traefik.source import endpoint_from, require_certificates

    url = url or f"https://{team_domain}{settings.KEYS_PATH}"
    try:
        endpoint = endpoint_from(url, ca_file=ca_file)
    except SettingsError as why:
        raise SettingsError("the keys' URL is not a URL like https://example.com/certs") from why
    if endpoint.credentials is not None:
        raise SettingsError("the keys' URL holds a password, which is not used: keys are public")
    if urlsplit(endpoint.url).scheme != "https" and not _is_loopback(endpoint.host):
        raise SettingsError("the keys' URL is not https: a machine on the way could forge keys")
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
