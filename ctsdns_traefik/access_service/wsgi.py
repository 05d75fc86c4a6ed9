"""The application (PEP 3333): Traefik's question in, a status and two headers out.

Every failure is another status than 2xx, which Traefik returns to the client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ctsdns_traefik.access_service.jwks import KeysUnavailable
from ctsdns_traefik.access_service.keys import KeyCache
from ctsdns_traefik.access_service.request import Environ, audiences_of, place_of, token_of
from ctsdns_traefik.access_service.tokens import Expectations, Identity, Refused, verify
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

log = logging.getLogger(__name__)

Header = tuple[str, str]


class Response(NamedTuple):
    """A status, which is its own text, and headers."""

    status: HTTPStatus
    headers: tuple[Header, ...] = ()


_UNAUTHORIZED = Response(HTTPStatus.UNAUTHORIZED, (("WWW-Authenticate", "Bearer"),))
_UNAVAILABLE = Response(HTTPStatus.SERVICE_UNAVAILABLE)
_FAULT = Response(HTTPStatus.INTERNAL_SERVER_ERROR)


class Application:
    """Answers whether a request may pass; for any number of threads.

    The audiences of ``expected`` are those that a request may ask for at all.
    """

    def __init__(
        self, keys: KeyCache, expected: Expectations, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._expected = expected
        self._clock = clock

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; a defect of this program lets nothing pass."""
        try:
            response = self._route(environ)
        except Exception as defect:  # noqa: BLE001  (its text may hold what the request held)
            log.error("internal error, please report it: %s", type(defect).__name__)  # noqa: TRY400
            response = _FAULT
        status = response.status
        body = f"{status.phrase}\n".encode()
        start_response(
            f"{status.value} {status.phrase}",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                *response.headers,
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _route(self, environ: Environ) -> Response:
        match environ["PATH_INFO"]:
            case "/verify":
                return self._judge(environ)
            case "/healthz" if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
                return Response(HTTPStatus.OK) if self._keys.are_usable() else _UNAVAILABLE
            case "/healthz":
                return Response(HTTPStatus.METHOD_NOT_ALLOWED, (("Allow", "GET, HEAD"),))
        return Response(HTTPStatus.NOT_FOUND)

    def _judge(self, environ: Environ) -> Response:
        place = place_of(environ)
        try:
            verdict = self._verify(environ)
        except SettingsError as why:
            log.error("refused %s: the forwardAuth address is wrong: %s", place, why)  # noqa: TRY400
            return _FAULT
        except KeysUnavailable as why:
            log.warning("refused %s: the team's keys are not available: %s", place, why)
            return _UNAVAILABLE
        if isinstance(verdict, Refused):
            log.info("refused %s: %s", place, verdict.reason)
            return _UNAUTHORIZED
        log.debug("passed %s for %s", place, verdict.user)
        headers = (("X-Auth-User", verdict.user), ("X-Auth-Subject", verdict.subject))
        return Response(HTTPStatus.OK, headers)

    def _verify(self, environ: Environ) -> Identity | Refused:
        audiences = audiences_of(environ.get("QUERY_STRING", ""), self._expected.audiences)
        token = token_of(environ)
        if isinstance(token, Refused):
            return token
        expected = replace(self._expected, audiences=audiences)
        return verify(token, self._keys.find, expected, self._clock())
