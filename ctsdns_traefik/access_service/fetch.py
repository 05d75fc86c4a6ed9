"""The team's keys over HTTP: one request, bounded in time and size.

A service that answers Traefik fetches in its request threads, where no signal can end a call that
hangs. So another thread does the work, and is left to itself if it takes too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus

import requests
import urllib3.exceptions

from ctsdns_traefik import __version__
from ctsdns_traefik.access_service.jwks import KeysUnavailable
from ctsdns_traefik.source import Endpoint, explain_failure

CONNECT_TIMEOUT = 3.0
"""Seconds to wait for a connection, TLS included."""

READ_TIMEOUT = 5.0
"""Seconds that the server may be silent."""

DEADLINE = 8.0
"""Seconds that everything may take, looking up the name included."""

LARGEST_ANSWER = 256 * 1024
"""Bytes of an answer at most; Cloudflare's has some five thousand."""

MOST_HANGING = 4
"""Requests that may hang at a time, each in a thread that nobody waits for any more."""

_PIECE = 64 * 1024
_TOO_SLOW = "it does not answer in time"

_hanging = threading.BoundedSemaphore(MOST_HANGING)


def fetch_keys(endpoint: Endpoint, seconds: float = DEADLINE) -> bytes:
    """Return what the endpoint answers; raise :class:`.KeysUnavailable` with the reason.

    Redirects are not followed: the keys are where the issuer has them, or nowhere.
    """
    until = time.monotonic() + seconds
    return _within(seconds, lambda: _request(endpoint, until))


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Do some work in a thread of its own, and wait for it only so long."""
    if not _hanging.acquire(blocking=False):
        raise KeysUnavailable("earlier requests still hang")
    outcome: Future[bytes] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as why:  # noqa: BLE001  (it goes to whoever waits)
            outcome.set_exception(why)
        finally:
            _hanging.release()

    threading.Thread(target=run, name="fetch", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError as why:
        raise KeysUnavailable(_TOO_SLOW) from why


def _request(endpoint: Endpoint, until: float) -> bytes:
    with requests.Session() as session, _explained(endpoint):
        # Redirects are not followed, but requests would read the body of one without a bound.
        session.get_redirect_target = _nowhere  # type: ignore[method-assign]
        with session.get(
            endpoint.url,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"ctsdns-traefik-access/{__version__}",
            },
            auth=_as_they_are,
            verify=str(endpoint.ca_file) if endpoint.ca_file else True,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code != HTTPStatus.OK:
                raise KeysUnavailable(f"it answers {response.status_code}")
            return _read(response, until)


def _read(response: requests.Response, until: float) -> bytes:
    """Read the body as it is sent: a compressed one, which nobody asked for, is no JSON."""
    body = b""
    while piece := response.raw.read1(_PIECE, decode_content=False):
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise KeysUnavailable(f"its answer is larger than {LARGEST_ANSWER} bytes")
        if time.monotonic() > until:
            raise KeysUnavailable(_TOO_SLOW)
    return body


def _nowhere(resp: requests.Response) -> None:
    """Say that a response leads nowhere else."""


def _as_they_are(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave the headers alone: with any authentication set, requests does not ask ~/.netrc."""
    return request


@contextmanager
def _explained(endpoint: Endpoint) -> Iterator[None]:
    """Turn the errors of the libraries into one line."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise KeysUnavailable(explain_failure(error, endpoint)) from error
