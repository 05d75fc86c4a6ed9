"""Traefik's API: its lists of routers and services, read page by page within bounds.

No redirect is followed, so a password in the URL goes nowhere else, and no proxy of the
environment is used. Certificates are always verified.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.source import Endpoint, endpoint_from

PER_PAGE = 1_000
"""Routers or services in one answer."""

ANSWER_WITHIN = 10.0
"""Seconds that one answer may take."""

LARGEST_ANSWER = 64 * 1024 * 1024
MOST_PAGES = 1_000

_GRACE = 0.2
"""Seconds by which the cut comes after the time-out, which says more exactly what is wrong."""

_PIECE = 64 * 1024
_REDIRECTION = 3

_CAUSES = {
    401: ": it asks for credentials; set them in the URL, https://user:password@...",
    403: ": it refuses these credentials",
    404: ": no API of Traefik is there; it has to be on (api), and the URL stands before /api",
}


class ApiError(Exception):
    """The API gives no answer that can be used; the text says why, in one line."""


class Page(NamedTuple):
    """What the API answers, and the number of the page that follows (1 if none does)."""

    content: Any
    next_page: int


def traefik_api_from(url: str) -> TraefikApi:
    """Take the URL that stands before ``/api``; raise :class:`SettingsError`, without the URL."""
    endpoint = endpoint_from(url, what="Traefik's API", like="http://127.0.0.1:8080")
    if urlsplit(endpoint.url).query:
        raise SettingsError("the URL of Traefik's API has a query: it takes none")
    return TraefikApi(endpoint)


class TraefikApi:
    """One Traefik's API; its text holds no secret."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Take where it is, and how to get in."""
        parts = urlsplit(endpoint.url)
        self._endpoint = endpoint
        self._connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")

    def __str__(self) -> str:
        return str(self._endpoint)

    @property
    def in_the_clear(self) -> bool:
        """Tell whether a password goes unencrypted over networks between the machines."""
        return self._endpoint.in_the_clear

    def get(self, path: str, within: float = ANSWER_WITHIN) -> Page:
        """Ask for a path below the API's; raise :class:`ApiError`."""
        headers = {"Accept": "application/json", **self._endpoint.authorization()}
        with self._explained(within):
            connection = self._connection(self._endpoint.host, self._port, timeout=within)
            with _cut_off(connection, within):
                connection.request("GET", f"{self._prefix}{path}", headers=headers)
                with connection.getresponse() as response:
                    body = _read(response)
                    return Page(json.loads(body), int(response.headers.get("X-Next-Page", 0)))

    def read(
        self, kind: str, provider: str, heed: Callable[[], None] = lambda: None
    ) -> dict[str, dict[str, Any]]:
        """Return ``http/routers`` or another kind of one provider, by the name in its document.

        ``heed`` is called before each page. Raise :class:`ApiError`.
        """
        found: dict[str, dict[str, Any]] = {}
        suffix, page, following = f"@{provider}", 0, 1
        while page < following <= MOST_PAGES:
            heed()
            page = following
            answer = self.get(f"/api/{kind}?per_page={PER_PAGE}&page={page}")
            for name, item in _items(answer.content):
                if name.endswith(suffix):
                    found[name.removesuffix(suffix)] = item
            following = answer.next_page
        return found

    @contextmanager
    def _explained(self, within: float) -> Iterator[None]:
        from ctsdns_traefik.source import explain_failure

        try:
            yield
        except TimeoutError as why:
            raise ApiError(f"it does not answer within {within:g} s") from why
        except (OSError, http.client.HTTPException) as why:
            raise ApiError(explain_failure(why, self._endpoint)) from why
        except (ValueError, RecursionError) as why:
            raise ApiError("its answer is not that of Traefik's API") from why


def _fault(response: http.client.HTTPResponse) -> str | None:
    """Say why an answer is not what was asked for; ``None`` if it may be."""
    if response.status == HTTPStatus.OK:
        if response.headers.get_content_type() == "text/html":
            return "it answers with an HTML page, not as Traefik's API does"
        return None
    if response.status // 100 == _REDIRECTION:
        return f"it answers {response.status}, a redirect, which is not followed"
    return f"it answers {response.status}{_CAUSES.get(response.status, '')}"


@contextmanager
def _cut_off(connection: http.client.HTTPConnection, within: float) -> Iterator[None]:
    """Connect, and cut the connection if this context takes too long; raise :class:`ApiError`.

    A time-out bounds one read, not an answer that trickles in, its head least of all.
    """
    with closing(connection):
        connection.connect()
        cut = threading.Event()
        timer = threading.Timer(within + _GRACE, _cut, (connection.sock, cut))
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as why:
            if cut.is_set():
                raise ApiError("its answer takes too long") from why
            raise
        finally:
            timer.cancel()


def _cut(connection: socket.socket, cut: threading.Event) -> None:
    cut.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse) -> bytes:
    """Read an answer, but not without end; raise :class:`ApiError`."""
    if fault := _fault(response):
        raise ApiError(fault)
    body = bytearray()
    while piece := response.read1(_PIECE):
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise ApiError(f"it answers with more than {LARGEST_ANSWER >> 20} MiB")
    return bytes(body)


def _items(content: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk a page of routers or services with their names; raise :class:`ApiError` for others."""
    for item in content if isinstance(content, list) else [None]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise ApiError("its answer is not that of Traefik's API")
        yield item["name"], item
