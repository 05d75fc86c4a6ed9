"""The parts of a forwardAuth request: its token, the audiences to check, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ctsdns_traefik.access_service.tokens import Refused
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError

Environ = Mapping[str, Any]
"""The variables of a WSGI request (PEP 3333)."""

HEADER = "HTTP_CF_ACCESS_JWT_ASSERTION"
COOKIE = "CF_Authorization"

_MOST_AUDIENCES = 100


def token_of(environ: Environ) -> str | Refused:
    """Return the one token of a request; the cookie's counts only where there is no header.

    Several are refused: a client that adds one must not choose which is verified. A server
    joins headers of the same name by commas, which no token holds.
    """
    header = environ.get(HEADER)
    if header is not None:
        return Refused("there are several tokens in headers") if "," in header else header
    cookies = _cookies(environ.get("HTTP_COOKIE", ""))
    if not cookies:
        return Refused("there is no token")
    return cookies[0] if len(set(cookies)) == 1 else Refused("there are several tokens in cookies")


def _cookies(header: str) -> list[str]:
    """Return the values of all cookies of the token's name (RFC 6265, section 4.2.1)."""
    pairs = (pair.partition("=") for pair in header.split(";"))
    return [value.strip(" \t") for name, _, value in pairs if name.strip(" \t") == COOKIE]


def audiences_of(query: str, allowed: frozenset[str]) -> frozenset[str]:
    """Return the audiences to check a token for: those of the query, or else all that are allowed.

    Raise :class:`.SettingsError` if there are none, one that is not allowed, or anything else in
    the query: a misspelt ``aud`` would accept a token for any allowed audience.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_AUDIENCES
        )
    except ValueError as why:
        if query:
            raise SettingsError("its query is malformed") from why
        pairs = []
    if any(name != "aud" or not value for name, value in pairs):
        raise SettingsError("its query holds something other than aud=AUD")
    asked = frozenset(value for _, value in pairs)
    if allowed and not asked <= allowed:
        raise SettingsError("its query has an audience that --audience does not allow")
    if not asked | allowed:
        raise SettingsError("it names no audience to check tokens for; write /verify?aud=AUD")
    return asked or allowed


def place_of(environ: Environ) -> str:
    """Return the host and path requested from Traefik, without the query: it may hold secrets."""
    host = environ.get("HTTP_X_FORWARDED_HOST", "-")
    path = environ.get("HTTP_X_FORWARDED_URI", "").partition("?")[0]
    return shown(f"{host}{path}")
