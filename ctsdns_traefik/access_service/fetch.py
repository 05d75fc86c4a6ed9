"""The team's keys over HTTP: one request, bounded in time and size."""

from __future__ import annotations

from http import HTTPStatus

from ctsdns_traefik import __version__
from ctsdns_traefik.access_service.jwks import KeysUnavailable
from ctsdns_traefik.source import Endpoint, HttpError, http_get

LIMIT = 8.0
"""Seconds that everything may take, looking up the name included."""

LARGEST_ANSWER = 256 * 1024
"""Bytes of an answer at most; Cloudflare's has some five thousand."""

_HEADERS = (
    ("Accept", "application/json"),
    ("User-Agent", f"ctsdns-traefik-access/{__version__}"),
)


def fetch_keys(endpoint: Endpoint, seconds: float = LIMIT) -> bytes:
    """Return what the endpoint answers; raise :class:`.KeysUnavailable` with the reason.

    Redirects are not followed: the keys are where the issuer has them, or nowhere.
    """
    try:
        answer = http_get(endpoint, headers=_HEADERS, seconds=seconds, largest=LARGEST_ANSWER)
    except HttpError as why:
        raise KeysUnavailable(str(why)) from why
    if answer.status != HTTPStatus.OK:
        raise KeysUnavailable(f"it answers {answer.status}")
    return answer.body
