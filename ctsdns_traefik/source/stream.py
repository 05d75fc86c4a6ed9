"""The event stream: one answer, complete events out.

:mod:`ctsdns_traefik.core.sse.framing` finds whole blocks in what ``response.raw.read1()`` returns
as it comes in; ``sseclient`` reads their fields. The usual ``SSEClient(response)`` waits for 128
bytes at a time, takes quadratic time, and passes on an event that the end of the stream has cut
off.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import (
    SnapshotError,
    SourceText,
    hosts_of_snapshot,
    message_of_error,
)
from ctsdns_traefik.core.sse import (
    EVENT_STREAM,
    Answer,
    OversizedEvent,
    explain_answer,
    read_blocks,
)
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import Reason
from ctsdns_traefik.source.base import (
    Expect,
    OtherEvent,
    Policy,
    Received,
    Untrusted,
    WorkerError,
)
from ctsdns_traefik.source.endpoint import Endpoint, Header
from ctsdns_traefik.source.http_client import (
    LARGEST_ERROR,
    HttpError,
    map_http_errors,
    open_session,
    read_body,
    reason_of,
    retry_after,
    send,
)

if TYPE_CHECKING:
    import requests

LARGEST_EVENT = 64 * 1024 * 1024
"""Bytes of one event at most."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection, TLS included, unless the read timeout is shorter."""

_GRACE = 1.0
"""Seconds by which a limit comes after the time-out that can say more exactly what is wrong."""

_PIECE = 64 * 1024
_MOST_LINES = 1_000_000
_LARGEST_REST = 64 * 1024
_MOST_DIGITS = 12
STREAM_HEADERS = (
    ("Accept", EVENT_STREAM),
    ("Accept-Encoding", "identity"),  # a compressing proxy may hold an event back
    ("Cache-Control", "no-cache"),
)
"""What is asked for where only an event stream is expected."""
_RETRY = re.compile(rb"^retry: ?([0-9]+)$", re.MULTILINE)


class Event(NamedTuple):
    """One event, or a block without data that only sets the reconnection time."""

    name: str
    """The event type; ``message`` if the stream names none."""
    data: bytes
    """As sent, not decoded; ``b""`` if the block dispatches no event."""
    retry: float | None = None
    """Seconds that the server wants a client to wait before it connects again."""


class StreamError(HttpError):
    """The connection cannot be made, or has ended; the server may ask for a pause in seconds."""


def read_received(events: Iterable[Event]) -> Iterator[Received]:
    """Yield what the events mean; an error that ends them gets the last reconnection time."""
    retry = 0.0

    def read(event: Event) -> Received | None:
        nonlocal retry
        retry = retry if event.retry is None else event.retry
        return _meaning(event)

    try:
        # No variable here: it would hold megabytes while a snapshot is being worked on.
        yield from filter(None, map(read, events))
    except StreamError as why:
        why.retry_after = max(why.retry_after, retry)
        raise


def _meaning(event: Event) -> Received | None:
    if not event.data:
        return None
    if event.name == "machines-snapshot":
        try:
            return Policy(hosts_of_snapshot(event.data), SourceText("", event.data))
        except SnapshotError as why:
            return Untrusted(str(why), more=True)
    if event.name == "error":
        return WorkerError(shown(message_of_error(event.data)))
    return OtherEvent(shown(event.name))


_HELD_BACK = (
    ", and nothing has come since it answered 200: a proxy between may hold the stream back, and a"
    " longer timeout does not help; turn its buffering off (nginx: proxy_buffering off)"
)


class Opened:
    """An answer that is no error, its body not read yet."""

    def __init__(
        self,
        response: requests.Response,
        endpoint: Endpoint,
        work: Cancellation,
        clock: Callable[[], float],
        expect: Expect,
    ) -> None:
        self._response = response
        self._endpoint = endpoint
        self._work = work
        self._clock = clock
        self._expect = expect
        self._begun = False
        self.answer = _answer_of(response)
        self.patience = endpoint.read_timeout
        self.etag = response.headers.get("ETag", "")

    @property
    def is_stream(self) -> bool:
        """Whether the content type is that of event streams."""
        return self.answer.media_type == EVENT_STREAM

    def events(self) -> Iterator[Event]:
        """Yield the events as they come.

        Raise :class:`StreamError` when the connection breaks or ends, is silent for longer than
        the read timeout, or is cancelled.
        """
        try:
            with map_http_errors(self._endpoint, StreamError):
                yield from read_events(self._pieces())
        except StreamError as why:
            if why.reason is Reason.TIMEOUT and not self._begun:
                raise StreamError(f"{why}{_HELD_BACK}", reason=why.reason) from why
            raise
        raise StreamError("the endpoint closed the stream", reason=Reason.BROKEN_OFF)

    def body(self, largest: int, seconds: float) -> bytes:
        """Read the body; raise :class:`.HttpError` if it is too large or takes too long."""
        late = HttpError(f"its answer is not whole within {seconds:g} s", reason=Reason.TIMEOUT)
        self._expect(seconds + _GRACE)
        with map_http_errors(self._endpoint), self._work.limit(seconds, late):
            body = read_body(self._response, largest)
            self._work.check()  # a connection that was shut down may look like the end of a body
        return body

    def _pieces(self) -> Iterator[bytes]:
        """Yield what comes in; a line that takes longer than the read timeout is silence too."""
        patience = self.patience
        too_slow = StreamError(
            f"no whole line came within the read timeout of {patience:g} s", reason=Reason.TIMEOUT
        )
        line_began = self._clock()
        while True:
            self._work.check()  # what was received before a shutdown can still be read
            self._expect(patience + _GRACE)
            with self._work.limit(patience + _GRACE, too_slow):
                piece = self._response.raw.read1(_PIECE, decode_content=True)
            if not piece:
                return
            self._begun = True
            if b"\n" in piece or b"\r" in piece:
                line_began = self._clock()
            elif self._clock() - line_began > patience:
                raise too_slow
            yield piece


@contextmanager
def open_answer(
    endpoint: Endpoint,
    headers: Iterable[Header] = STREAM_HEADERS,
    cancellation: Cancellation | None = None,
    clock: Callable[[], float] = time.monotonic,
    expect: Expect = lambda _seconds: None,
) -> Iterator[Opened]:
    """Send a request, and yield the answer before its body is read.

    ``expect`` is called before each wait with the seconds that it may take at most.
    Raise :class:`StreamError` for an answer that is an error, or a web page.
    """
    too_slow = StreamError(
        "it does not answer in time: its answer only trickles in", reason=Reason.TIMEOUT
    )
    timeouts = (_connect_timeout(endpoint), endpoint.read_timeout)
    whole = sum(timeouts) + _GRACE
    with (
        (cancellation or Cancellation()).child() as work,
        open_session(work) as session,
        ExitStack() as stack,
    ):
        expect(whole)
        with map_http_errors(endpoint, StreamError), work.limit(whole, too_slow):
            # At once: a head that is cut by the limit is an answer, and the limit then raises.
            response = stack.enter_context(send(session, endpoint, headers, timeouts))
        if not hasattr(response.raw, "read1"):
            raise StreamError("the urllib3 installed here is too old: upgrade it to 2.2 or newer")
        expect(whole)
        with map_http_errors(endpoint, StreamError), work.limit(whole, too_slow):
            _require_usable(response)
        yield Opened(response, endpoint, work, clock, expect)


def read_events(pieces: Iterable[bytes], largest: int = LARGEST_EVENT) -> Iterator[Event]:
    """Yield the complete events of a stream, each as soon as it is complete.

    Raise :class:`StreamError` for an event larger than ``largest`` bytes.
    """
    try:
        # No variable here: it would hold an event while it is being worked on.
        yield from filter(_is_dispatched, map(parse_block, read_blocks(pieces, largest)))
    except OversizedEvent as why:
        raise StreamError(str(why), reason=Reason.TOO_LARGE) from why


def _is_dispatched(event: Event) -> bool:
    return bool(event.data) or event.retry is not None


def parse_block(block: bytes | bytearray) -> Event:
    """Read the fields of one block, its lines ended by LF.

    The data, megabytes of it, is taken out here; ``sseclient``, which would take seven times its
    size in memory, reads the other fields. Raise :class:`OversizedEvent` for more lines than
    memory is worth, and for other fields so large that ``sseclient``, quadratic in them, would
    take seconds.
    """
    import sseclient  # only a stream needs it

    data, rest = _fields(block)
    if len(rest) > _LARGEST_REST:
        raise OversizedEvent("an event's fields beside its data are too large")
    # A line of data keeps sseclient from dropping the block. ISO 8859-1 takes every byte.
    client = sseclient.SSEClient(iter([b"data: x\n" + rest]), char_enc="iso-8859-1")
    (event,) = client.events()
    return Event(event.event, data, _retry(rest))


def _fields(block: bytes | bytearray) -> tuple[bytes, bytes]:
    """Return the data of a block, and its other lines but for comments and empty ones.

    Raise :class:`OversizedEvent` for too many lines.
    """
    data: list[memoryview] = []  # copied once
    rest: list[memoryview] = []
    view = memoryview(block)
    start = lines = 0
    while (end := block.find(b"\n", start)) >= 0:
        lines += 1
        if lines > _MOST_LINES:
            raise OversizedEvent("an event of that size has too many lines")
        if block.startswith(b"data:", start):
            data.append(view[start + (6 if block.startswith(b" ", start + 5) else 5) : end])
        elif block.startswith(b"data\n", start):
            data.append(view[:0])
        elif not block.startswith((b":", b"\n"), start):
            rest.append(view[start : end + 1])
        start = end + 1
    return b"\n".join(data), b"".join(rest)


def _retry(fields: bytes) -> float | None:
    """Read the last retry field into seconds; all but ASCII digits is to be ignored."""
    found = _RETRY.findall(fields)
    return int(found[-1][:_MOST_DIGITS]) / 1000 if found else None


def _connect_timeout(endpoint: Endpoint) -> float:
    return min(CONNECT_TIMEOUT, endpoint.read_timeout)


def _answer_of(response: requests.Response) -> Answer:
    headers = response.headers
    content_type, location = headers.get("Content-Type", ""), headers.get("Location", "")
    return Answer(response.status_code, content_type, location)


def _require_usable(response: requests.Response) -> None:
    answer = _answer_of(response)
    if answer.status == HTTPStatus.NOT_MODIFIED or explain_answer(answer) is None:
        return
    body = read_body(response, LARGEST_ERROR)
    fault = explain_answer(answer._replace(body=body)) or ""
    raise StreamError(fault, retry_after(response.headers), reason_of(answer.status))
