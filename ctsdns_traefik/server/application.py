"""What the server answers, apart from the event stream of the relay."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from ctsdns_traefik.core.durations import LONGEST_HUB_WAIT, milliseconds_from
from ctsdns_traefik.core.status import Health, allowed_age, judge, metrics_to_text, status_to_text
from ctsdns_traefik.server.guard import SecretFile, has_token, is_allowed_host
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.representation import Answer, Representation, text_answer
from ctsdns_traefik.server.webhook import SIGNATURE, WebhookError, reports_saved_policy, verify

if TYPE_CHECKING:
    from ctsdns_traefik.server.page import Page

DOCUMENT, RELAY, WEBHOOK = "/traefik.json", "/api/config", "/webhook"
SCRIPT_PATH = "/page.js"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_READ = ("GET", "HEAD")
_FRESH = (("Cache-Control", "no-cache"),)
_HTML = "text/html; charset=utf-8"
_PAGE_INTERVAL = 1.0
"""Seconds for which a page is served that was made, however many ask for it."""

_LONGEST_REPLAY = 1024
"""Webhooks that are remembered; each is good for five minutes."""

_REFUSAL_INTERVAL = 3600.0
"""Seconds for which a reason to refuse webhooks is not reported again: anybody can cause it."""

_JSON = re.compile(rb'\s*\{\s*["}]')
"""How a document in JSON begins, and none in YAML but the empty one, which is both."""


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names match case-insensitively."""
    body: bytes = b""
    query: str = ""

    @property
    def wait(self) -> float | None:
        """For how many seconds the answer may wait for a change; ``None`` if that is no duration.

        As in Consul's blocking queries (``?wait=3s``); at most :data:`LONGEST_HUB_WAIT`.
        """
        if "wait" not in self.query:
            return 0.0
        given = parse_qs(self.query, keep_blank_values=True).get("wait", ["0s"])
        milliseconds = milliseconds_from(given[-1])
        return None if milliseconds is None else min(milliseconds / 1000, LONGEST_HUB_WAIT)


@dataclass(frozen=True)
class Settings:
    """Who may ask what."""

    tokens: SecretFile | None = None
    names: frozenset[str] = frozenset()
    """Of this server, beside its addresses and localhost."""
    webhook: SecretFile | None = None
    max_age: float = 120.0
    """Seconds that the last trusted snapshot may be old, as for ``--health``."""
    any_host: bool = False
    """Whether ``Host`` does not matter, as on a Unix socket, which no browser reaches."""


class Application:
    """Answers requests from the last state of a handover; for the server's thread alone.

    ``refresh`` has the loop read the policy at once; ``refuse`` gets why a webhook was refused.
    """

    def __init__(
        self,
        handover: Handover,
        settings: Settings,
        *,
        refresh: Callable[[], object] = lambda: None,
        refuse: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._handover = handover
        self._settings = settings
        self._refresh = refresh
        self._refuse = refuse
        self._clock = clock
        self._made: tuple[bytes, Representation] | None = None
        self._pages: Page | None = None
        self._page_made: tuple[float, Representation] | None = None
        self._seen: dict[bytes, None] = {}
        """Digests of the webhooks that have come."""
        self._refused: dict[str, float] = {}
        """When each reason to refuse webhooks was reported."""
        self._paths: Mapping[str, Callable[[Request], Answer]] = {
            DOCUMENT: self._document,
            "/healthz": self._health,
            "/readyz": self._health,
            "/metrics": self._metrics,
            "/": self._page,
            SCRIPT_PATH: self._script,
        }

    def check(self, request: Request) -> Answer | None:
        """Return the answer to a request that is refused by its head alone."""
        settings, headers = self._settings, request.headers
        if not settings.any_host and not is_allowed_host(headers.get("Host"), settings.names):
            return text_answer(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this Host is no address and no name given with --listen-host",
            )
        if request.path == WEBHOOK and settings.webhook:
            return self._check_webhook(request)
        if settings.tokens and not has_token(headers.get("Authorization"), settings.tokens.secrets):
            challenges = (
                ("WWW-Authenticate", f'{kind} realm="ctsdns-traefik"')
                for kind in ("Bearer", "Basic")
            )
            return text_answer(HTTPStatus.UNAUTHORIZED, "a token is needed", *challenges)
        if request.path not in self._paths and request.path != RELAY:
            return text_answer(HTTPStatus.NOT_FOUND, "there is nothing here")
        if request.path == DOCUMENT and request.wait is None:
            return text_answer(HTTPStatus.BAD_REQUEST, "wait takes a duration such as 3s or 500ms")
        return _require_method(request, _READ)

    def _check_webhook(self, request: Request) -> Answer | None:
        wrong = _require_method(request, ("POST",))
        if wrong is None and not request.headers.get(SIGNATURE):
            return self._unsigned(WebhookError("it is not signed"))
        return wrong

    def answer(self, request: Request) -> Answer:
        """Answer a request that :meth:`check` has let pass."""
        if request.path == WEBHOOK:
            return self._webhook(request)
        return self._paths[request.path](request)

    def why_stale(self) -> str:
        """Return why the last policy is too old to be passed on again, ``""`` if it is not."""
        status = self._handover.status
        if status.last_snapshot is None:
            return "this hub has had no trusted snapshot yet"
        age = self._clock() - status.last_snapshot
        if age <= allowed_age(self._settings.max_age, status.poll_interval):
            return ""
        error = f"; its last error: {status.last_error.message}" if status.last_error else ""
        return f"this hub's last trusted snapshot is {age:.0f} s old{error}"

    @property
    def version(self) -> str:
        """Which document is served, ``""`` as long as there is none."""
        document = self._represent()
        return document.digest if document else ""

    def seconds_to_wait(self, request: Request, *, had: bool) -> float:
        """Return for how long a document may wait for another; 0 if it is news to the client.

        ``had`` is whether its connection has had the document. What the client names counts more:
        a proxy may use one connection for several.
        """
        if request.path != DOCUMENT or request.method == "HEAD":
            return 0.0
        if "If-None-Match" in request.headers:
            had = self._document(request).status == HTTPStatus.NOT_MODIFIED
        return (request.wait or 0.0) if had else 0.0

    def _document(self, request: Request) -> Answer:
        document = self._represent()
        if document is None:
            retry = ("Retry-After", "1")
            text = "there is no document yet: no trusted snapshot has come"
            return text_answer(HTTPStatus.SERVICE_UNAVAILABLE, text, retry)
        headers = request.headers
        return document.answer(headers.get("Accept-Encoding"), headers.get("If-None-Match"))

    def _represent(self) -> Representation | None:
        """Return the document as it goes over the wire, made once."""
        content = self._handover.state.content
        if content is None:
            return None
        if self._made is None or self._made[0] is not content:
            # A file of an earlier run may be in another format than --format.
            kind = "application/json" if _JSON.match(content) else "application/yaml"
            self._made = content, Representation(content, kind, _FRESH)
        return self._made[1]

    def _health(self, _: Request) -> Answer:
        health = self._judge()
        status = HTTPStatus.OK if health.well else HTTPStatus.SERVICE_UNAVAILABLE
        return text_answer(status, health.why, *_FRESH)

    def _judge(self) -> Health:
        """Judge the status as ``--health`` does the status file."""
        state = self._handover.state
        if state.updated is None:
            return Health(False, "unhealthy: watch is starting")
        text = status_to_text(self._handover.status, state.updated).encode()
        return judge(text, self._clock(), self._settings.max_age)

    def _page(self, request: Request) -> Answer:
        """Answer with the page, which is made at most once in :data:`_PAGE_INTERVAL`."""
        from ctsdns_traefik.server.page import POLICY, Page  # most watches show none

        now = self._clock()
        self._pages = self._pages or Page(SCRIPT_PATH)
        if self._page_made is None or not 0 <= now - self._page_made[0] < _PAGE_INTERVAL:
            text = self._pages.render(self._handover, self._judge())
            policy = ("Content-Security-Policy", POLICY)
            self._page_made = now, Representation(text, _HTML, (*_FRESH, policy))
        headers = request.headers
        return self._page_made[1].answer(
            headers.get("Accept-Encoding"), headers.get("If-None-Match")
        )

    def _script(self, _: Request) -> Answer:
        from ctsdns_traefik.server.page import SCRIPT

        return Answer(HTTPStatus.OK, SCRIPT.encode(), "text/javascript; charset=utf-8", _FRESH)

    def _metrics(self, _: Request) -> Answer:
        state = self._handover.state
        text = metrics_to_text(self._handover.status, state.updated or self._clock())
        return Answer(HTTPStatus.OK, text.encode(), _METRICS, _FRESH)

    def _webhook(self, request: Request) -> Answer:
        signature = request.headers.get(SIGNATURE)
        try:
            digest = verify(signature, request.body, self._webhook_secrets(), self._clock())
        except WebhookError as why:
            return self._unsigned(why)
        try:
            saved = reports_saved_policy(request.body)
        except WebhookError as why:
            return text_answer(HTTPStatus.BAD_REQUEST, f"refused: {why}")
        if not self._is_replayed(digest):
            self._refused.clear()
            if saved:
                self._refresh()
        return Answer(HTTPStatus.NO_CONTENT, content_type="")

    def _webhook_secrets(self) -> tuple[str, ...]:
        return self._settings.webhook.secrets if self._settings.webhook else ()

    def _is_replayed(self, digest: bytes) -> bool:
        """Return whether a webhook came before, whichever party recorded it."""
        if digest in self._seen:
            return True
        self._seen[digest] = None
        while len(self._seen) > _LONGEST_REPLAY:
            del self._seen[next(iter(self._seen))]
        return False

    def _unsigned(self, why: WebhookError) -> Answer:
        now, reason = self._clock(), str(why)
        if not 0 <= now - self._refused.get(reason, math.inf) < _REFUSAL_INTERVAL:
            self._refused[reason] = now
            self._refuse(reason)
        return text_answer(HTTPStatus.UNAUTHORIZED, f"refused: {why}")


def _require_method(request: Request, methods: Iterable[str]) -> Answer | None:
    if request.method in methods:
        return None
    allow = ("Allow", ", ".join(methods))
    return text_answer(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allow[1]}", allow)
