"""A URL as a source: an event stream that is followed, or a policy or snapshot that is polled.

The content type of one answer decides, at the beginning of each run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http import HTTPStatus

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SourceText, hosts_of_text
from ctsdns_traefik.core.sse import explain_content
from ctsdns_traefik.errors import Reason, SourceError
from ctsdns_traefik.source.base import (
    BY_ITSELF,
    Expect,
    OtherEvent,
    Received,
    Untrusted,
    Wording,
    WorkerError,
)
from ctsdns_traefik.source.endpoint import Endpoint, Header
from ctsdns_traefik.source.http_client import LARGEST_ERROR
from ctsdns_traefik.source.poll import (
    LARGEST_POLICY,
    LONGEST_POLL,
    POLLING,
    Answer,
    NotModified,
    PollSource,
)
from ctsdns_traefik.source.stream import STREAM_HEADERS, Opened, open_answer, read_received

_STREAMING = Wording("connected to", "disconnected from", "cannot connect to")

_ACCEPT = (
    "text/event-stream, application/hujson;q=0.9, application/json;q=0.8, text/plain;q=0.7,"
    " */*;q=0.5"
)


class UrlSource(PollSource):
    """What an http or https URL answers with."""

    def __init__(self, endpoint: Endpoint, interval: float) -> None:
        super().__init__(interval, endpoint.sent)
        self._endpoint = endpoint
        self._is_policy = False
        """Whether the last answer was a policy; before the first, a stream is expected."""
        self._was_policy = False
        """Whether any answer was one: a broken policy is one, too, then."""
        self._is_streaming = False

    def __str__(self) -> str:
        return str(self._endpoint)

    @property
    def wording(self) -> Wording:
        """How the log describes its runs."""
        return POLLING if self._is_policy else _STREAMING

    @property
    def interval(self) -> float | None:
        """Seconds between two polls; ``None`` for a stream."""
        return super().interval if self._is_policy else None

    @contextmanager
    def follow(self, cancellation: Cancellation, expect: Expect) -> Iterator[Iterator[Received]]:
        """Ask once, and follow the stream, or go on polling."""
        with ExitStack() as stack:
            with self.counting():
                opened = stack.enter_context(self._open(self.etag, cancellation, expect))
                first = None if opened.is_stream else self._first(opened)
                self._is_policy = first is not None
                self._was_policy = self._was_policy or self._is_policy
            if first is None:
                self._is_streaming = True
                try:
                    yield map(self._blanked, read_received(opened.events()))
                finally:
                    self._is_streaming = False
                return
        polls = self.polls(first, cancellation, expect)
        del first  # the polls release it when another policy comes
        yield polls

    def refresh(self) -> str:
        """Poll at once, or connect at once in a pause; do nothing during a stream."""
        return BY_ITSELF if self._is_streaming else super().refresh()

    def fetch(self, etag: str, cancellation: Cancellation, expect: Expect) -> Answer | NotModified:
        """Ask for the policy."""
        with self._open(etag, cancellation, expect) as opened:
            if opened.is_stream:
                raise SourceError("it now answers with an event stream", reason=Reason.BROKEN_OFF)
            return _read(opened)

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read the hosts out of a policy or a snapshot."""
        return hosts_of_text(body, is_file=self._was_policy), SourceText(str(self), body)

    def backoff(self, reason: Reason) -> float:
        """Return for how many seconds it is left alone; a stream only as long as it asks for."""
        return super().backoff(reason) if self._is_policy else 0.0

    def _blanked(self, received: Received) -> Received:
        match received:
            case Untrusted() | WorkerError():
                return received._replace(error=self.blank(received.error))
            case OtherEvent(name):
                return OtherEvent(self.blank(name))
        return received

    def _first(self, opened: Opened) -> Received:
        """Return what the first answer of a run means, if it is no event stream.

        What is no policy either is an error, unless a policy has come from here before.
        """
        received = self.received(_read(opened))
        if isinstance(received, Untrusted) and not self._was_policy:
            kind = explain_content(opened.answer._replace(body=self.body[:LARGEST_ERROR]))
            raise SourceError(f"{kind}: {received.error}", reason=Reason.UNTRUSTED_POLICY)
        return received

    def _open(
        self, etag: str, cancellation: Cancellation, expect: Expect
    ) -> AbstractContextManager[Opened]:
        return open_answer(self._endpoint, self._headers(etag), cancellation, expect=expect)

    def _headers(self, etag: str) -> list[Header]:
        """Return what is asked for: a compressing proxy may hold an event of a stream back."""
        headers = {**dict(STREAM_HEADERS), "Accept": _ACCEPT}
        if self._is_policy:
            headers["Accept-Encoding"] = "gzip"
        if etag:
            headers["If-None-Match"] = etag
        return list(headers.items())


def _read(opened: Opened) -> Answer | NotModified:
    if opened.answer.status == HTTPStatus.NOT_MODIFIED:
        return NotModified(opened.etag)
    body = opened.body(LARGEST_POLICY, min(LONGEST_POLL, opened.patience))
    if body.lstrip()[:1] == b"<":  # a web page, even if its label differs
        raise SourceError(explain_content(opened.answer._replace(content_type="text/html")))
    return Answer(body, opened.etag)
