"""Traefik's API: its lists of routers and services, read page by page within bounds.

No redirect is followed, so a password in the URL goes nowhere else, and no proxy of the
environment is used. Certificates are always verified.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik.core.releases import Release, release_in
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.source import Endpoint, HttpError, Response, endpoint_from, http_get

PER_PAGE = 1_000
"""Routers or services in one answer."""

ANSWER_WITHIN = 10.0
"""Seconds that one answer may take."""

RELEASE_WITHIN, RELEASE_EVERY, RELEASE_AGAIN = 1.0, 30.0, 5.0
"""Seconds that an answer about the release may take, and until it is asked for again."""

LARGEST_ANSWER = 64 * 1024 * 1024
MOST_PAGES = 1_000

_NOT_TRAEFIK = "its answer is not that of Traefik's API"

_CAUSES = {
    401: ": it asks for credentials; set them in the URL, https://user:password@...",
    403: ": it refuses these credentials",
    404: ": no API of Traefik is there; it has to be on (api), and the URL stands before /api",
}


class ApiError(Exception):
    """The API gives no usable answer; the text says why, in one line."""


class Page(NamedTuple):
    """An answer's JSON, and the number of the page that follows (1 if none does)."""

    content: Any
    next_page: int


def traefik_api_from(url: str) -> TraefikApi:
    """Return the API whose URL before ``/api`` is given; raise :class:`SettingsError` without it.

    A Traefik with a private certificate is trusted as other programs do: by what the system
    trusts, or SSL_CERT_FILE.
    """
    trusted = ssl.get_default_verify_paths()
    endpoint = endpoint_from(
        url,
        ca_file=next((Path(each) for each in (trusted.cafile, trusted.capath) if each), None),
        what="Traefik's API",
        like="http://127.0.0.1:8080",
    )
    if urlsplit(endpoint.url).query:
        raise SettingsError("the URL of Traefik's API has a query: it takes none")
    return TraefikApi(endpoint)


class TraefikApi:
    """One Traefik's API; its text holds no secret."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._release: Release | None = None
        self._ask_at = 0.0

    def __str__(self) -> str:
        return str(self._endpoint)

    @property
    def in_the_clear(self) -> bool:
        """Whether a password goes unencrypted over networks between the machines."""
        return self._endpoint.in_the_clear

    def get(self, path: str, within: float = ANSWER_WITHIN) -> Page:
        """Send a GET request for a path below the API's; raise :class:`ApiError`."""
        url = f"{self._endpoint.url.rstrip('/')}{path}"
        try:
            response = http_get(
                replace(self._endpoint, url=url),
                headers=[("Accept", "application/json")],
                seconds=within,
                largest=LARGEST_ANSWER,
                proxies=False,
            )
        except HttpError as why:
            raise ApiError(str(why)) from why
        if fault := _fault(response):
            raise ApiError(fault)
        try:
            following = int(response.headers.get("X-Next-Page", 0))
            return Page(json.loads(response.body), following)
        except (ValueError, RecursionError) as why:
            raise ApiError(_NOT_TRAEFIK) from why

    def version(self) -> str:
        """Return Traefik's version; raise :class:`SettingsError` if it gives no answer."""
        content = self._content("/api/version")
        return str(content.get("Version")) if isinstance(content, dict) else ""

    def release(self) -> Release | None:
        """Return the release by its last answer, which may be older than now by a while.

        ``None`` until it has answered.
        """
        if time.monotonic() >= self._ask_at:
            with suppress(ApiError):
                content = self.get("/api/version", RELEASE_WITHIN).content
                version = content.get("Version") if isinstance(content, dict) else ""
                self._release = release_in(str(version)) or self._release
            self._ask_at = time.monotonic() + (RELEASE_EVERY if self._release else RELEASE_AGAIN)
        return self._release

    def entrypoints(self) -> dict[str, Any]:
        """Return the entrypoints by name, each as a static configuration has it.

        Raise :class:`SettingsError` if Traefik gives no answer.
        """
        content = self._content("/api/entrypoints")
        try:
            return dict(_items(content))
        except ApiError as why:
            raise SettingsError(f"Traefik's API at {self}: {why}") from why

    def _content(self, path: str) -> Any:
        try:
            return self.get(path).content
        except ApiError as why:
            raise SettingsError(f"Traefik's API at {self}: {why}") from why

    def read(
        self, kind: str, provider: str, check_stop: Callable[[], None] = lambda: None
    ) -> dict[str, dict[str, Any]]:
        """Return ``http/routers`` or another kind of one provider, by the name in its document.

        ``check_stop`` is called before each page. Raise :class:`ApiError`.
        """
        found: dict[str, dict[str, Any]] = {}
        suffix, page, following = f"@{provider}", 0, 1
        while page < following <= MOST_PAGES:
            check_stop()
            page = following
            answer = self.get(f"/api/{kind}?per_page={PER_PAGE}&page={page}")
            for name, item in _items(answer.content):
                if name.endswith(suffix):
                    found[name.removesuffix(suffix)] = item
            following = answer.next_page
        return found


def _fault(response: Response) -> str | None:
    """Return why an answer is not what was asked for, ``None`` if it may be."""
    if response.status != HTTPStatus.OK:
        return f"it answers {response.status}{_CAUSES.get(response.status, '')}"
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        return "it answers with an HTML page, not as Traefik's API does"
    return None


def _items(content: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk a page of routers or services with their names; raise :class:`ApiError` for others."""
    for item in content if isinstance(content, list) else [None]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise ApiError(_NOT_TRAEFIK)
        yield item["name"], item
