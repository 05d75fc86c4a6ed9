"""The endpoint: one connection, complete events out.

``requests`` connects; :mod:`ctsdns_traefik.core.sse.framing` finds whole blocks in what
``response.raw.read1()`` returns as it comes in; ``sseclient`` reads their fields. The usual
``SSEClient(response)`` waits for 128 bytes at a time, takes quadratic time, and passes on an event
that the end of the stream has cut off.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ctsdns_traefik import __version__
from ctsdns_traefik.core.sse import (
    EVENT_STREAM,
    Answer,
    OversizedEvent,
    explain_answer,
    read_blocks,
)
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, SourceError
from ctsdns_traefik.signals import deadline
from ctsdns_traefik.source.connection_errors import explain_failure
from ctsdns_traefik.source.endpoint import Endpoint, Header

if TYPE_CHECKING:
    import requests

LARGEST_EVENT = 64 * 1024 * 1024
"""Bytes of one event at most."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection, TLS included, unless the read timeout is shorter."""

_GRACE = 1.0
"""Seconds by which a deadline comes after the time-out that can say more exactly what is wrong."""

_NAME_LOOKUP = 60.0
"""Seconds that looking up a name may take; nothing can interrupt it, so nothing bounds it."""

_PIECE = 64 * 1024
_BODY_SHOWN = 16 * 1024
_MOST_LINES = 1_000_000
_LARGEST_REST = 64 * 1024
_MOST_DIGITS = 12
_RETRY = re.compile(rb"^retry: ?([0-9]+)$", re.MULTILINE)


Expect = Callable[[float], None]


class Event(NamedTuple):
    """One event, or a block without data that only sets the reconnection time."""

    name: str
    """The event type; ``message`` if the stream names none."""
    data: bytes
    """As sent, not decoded; ``b""`` if the block dispatches no event."""
    retry: float | None = None
    """Seconds that the server wants a client to wait before it connects again."""


class StreamError(SourceError):
    """The connection cannot be made, or has ended."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        """Take the reason, and the seconds that the server asks to wait."""
        super().__init__(message)
        self.retry_after = retry_after


@contextmanager
def open_stream(
    endpoint: Endpoint,
    clock: Callable[[], float] = time.monotonic,
    expect: Expect = lambda _seconds: None,
) -> Iterator[Iterator[Event]]:
    """Connect, and give the events as they come, until the connection ends.

    ``expect`` is told before each wait how many seconds it may take at most.
    Raise :class:`StreamError` if there is no event stream to be had, and, from the events, when
    it breaks, ends, or is silent for longer than the read timeout. For the main thread only.
    """
    import requests  # it takes a tenth of a second to import

    if endpoint.ca_file:
        _require_certificates(endpoint.ca_file)
    with requests.Session() as session:
        # Redirects are not followed, but requests reads where they lead, and fails on nonsense.
        session.get_redirect_target = _nowhere  # type: ignore[method-assign]
        expect(_NAME_LOOKUP + _longest_answer(endpoint))
        with _explained(endpoint), _answering(endpoint):
            response = session.get(
                endpoint.url,
                auth=_sending(_headers(endpoint)),
                verify=str(endpoint.ca_file) if endpoint.ca_file else True,
                timeout=(_connect_timeout(endpoint), endpoint.read_timeout),
                allow_redirects=False,
                stream=True,
            )
        if not hasattr(response.raw, "read1"):
            raise StreamError("the urllib3 installed here is too old: upgrade it to 2.2 or newer")
        with response:
            expect(_longest_answer(endpoint))
            with _answering(endpoint):
                _require_event_stream(endpoint, response)
            yield _events(endpoint, response, clock, expect)


def load_libraries() -> None:
    """Import what a connection needs; an import that a signal breaks off may not be repeatable."""
    import requests  # noqa: F401
    import sseclient  # noqa: F401


def read_events(pieces: Iterable[bytes], largest: int = LARGEST_EVENT) -> Iterator[Event]:
    """Yield the complete events of a stream, each as soon as it is complete.

    Raise :class:`StreamError` for an event larger than ``largest`` bytes.
    """
    try:
        # No variable here: it would hold an event while its taker is at work on it.
        yield from filter(_says_anything, map(parse_block, read_blocks(pieces, largest)))
    except OversizedEvent as why:
        raise StreamError(str(why)) from why


def _says_anything(event: Event) -> bool:
    return bool(event.data) or event.retry is not None


def parse_block(block: bytes) -> Event:
    """Read the fields of one block, its lines ended by LF.

    The data, megabytes of it, is taken out here; ``sseclient``, which would take seven times its
    size in memory, reads the other fields. Raise :class:`OversizedEvent` for more lines than
    memory is worth, and for other fields so large that ``sseclient``, quadratic in them, would
    take seconds.
    """
    import sseclient  # only a stream needs it

    if block.count(b"\n") > _MOST_LINES:
        raise OversizedEvent("an event of that size has too many lines")
    data, rest = _fields(block)
    if len(rest) > _LARGEST_REST:
        raise OversizedEvent("an event's fields beside its data are too large")
    # A line of data keeps sseclient from dropping the block. ISO 8859-1 takes every byte.
    client = sseclient.SSEClient(iter([b"data: x\n" + rest]), char_enc="iso-8859-1")
    (event,) = client.events()
    return Event(event.event, data, _retry(rest))


def _fields(block: bytes) -> tuple[bytes, bytes]:
    """Return the data of a block, and its other lines but for comments and empty ones."""
    data, rest = [], []
    start = 0
    while (end := block.find(b"\n", start)) >= 0:
        if block.startswith(b"data:", start):
            data.append(block[start + (6 if block.startswith(b" ", start + 5) else 5) : end])
        elif block.startswith(b"data\n", start):
            data.append(b"")
        elif not block.startswith((b":", b"\n"), start):
            rest.append(block[start : end + 1])
        start = end + 1
    return b"\n".join(data), b"".join(rest)


def _retry(fields: bytes) -> float | None:
    """Read the last retry field into seconds; all but ASCII digits is to be ignored."""
    found = _RETRY.findall(fields)
    return int(found[-1][:_MOST_DIGITS]) / 1000 if found else None


def _answering(endpoint: Endpoint) -> AbstractContextManager[None]:
    """Bound the time that connecting and an answer's head may take in all."""
    too_slow = StreamError("it does not answer in time: its answer only trickles in")
    return deadline(_longest_answer(endpoint), too_slow)


def _longest_answer(endpoint: Endpoint) -> float:
    return _connect_timeout(endpoint) + endpoint.read_timeout + _GRACE


def _connect_timeout(endpoint: Endpoint) -> float:
    return min(CONNECT_TIMEOUT, endpoint.read_timeout)


def _headers(endpoint: Endpoint) -> tuple[Header, ...]:
    """Return the headers to send: the user's, as often as they are given, and ours unless given."""
    ours = {
        "Accept": EVENT_STREAM,
        "Accept-Encoding": "identity",  # a compressing proxy may hold an event back
        "Cache-Control": "no-cache",
        "User-Agent": f"ctsdns-traefik/{__version__}",
        **_authorization(endpoint),
    }
    given = {name.lower() for name, _ in endpoint.headers}
    return (
        *((name, value) for name, value in ours.items() if name.lower() not in given),
        *endpoint.headers,
    )


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    try:
        return endpoint.authorization()
    except SettingsError as why:
        raise StreamError(str(why)) from why


def _nowhere(resp: requests.Response) -> None:
    """Say that a response leads nowhere else."""


def _sending(
    headers: Iterable[Header],
) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Return what puts exactly these headers on a request, one line each.

    ``requests`` keeps headers by their names, and so only the last of several. To it this is an
    authentication, and with any set it does not ask ~/.netrc.
    """
    from urllib3 import HTTPHeaderDict

    def send(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers = HTTPHeaderDict(headers)  # type: ignore[assignment]
        return request

    return send


def _require_certificates(path: Path) -> None:
    """Raise :class:`StreamError` with the file's name, which the libraries' errors do not give."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as why:
        raise StreamError(f"{shown(str(path))} holds no certificates to trust") from why
    except OSError as why:
        reason = str(why.strerror).lower()
        raise StreamError(f"cannot read the certificates {shown(str(path))}: {reason}") from why


def _require_event_stream(endpoint: Endpoint, response: requests.Response) -> None:
    headers = response.headers
    answer = Answer(
        response.status_code, headers.get("Content-Type", ""), headers.get("Location", "")
    )
    if explain_answer(answer) is None:
        return
    with _explained(endpoint):
        body = response.raw.read(_BODY_SHOWN, decode_content=True)
    fault = explain_answer(answer._replace(body=body)) or ""
    raise StreamError(fault, _retry_after(headers.get("Retry-After", "")))


def _retry_after(value: str) -> float:
    """Read Retry-After (RFC 9110, section 10.2.3), seconds or a date, into seconds from now."""
    if value.isascii() and value.isdigit():
        return float(value[:_MOST_DIGITS])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _events(
    endpoint: Endpoint, response: requests.Response, clock: Callable[[], float], expect: Expect
) -> Iterator[Event]:
    with _explained(endpoint):
        yield from read_events(_pieces(response, endpoint.read_timeout, clock, expect))
    raise StreamError("the endpoint closed the stream")


def _pieces(
    response: requests.Response, patience: float, clock: Callable[[], float], expect: Expect
) -> Iterator[bytes]:
    """Yield what comes in as it comes; a line that takes longer than patience is silence too."""
    too_slow = StreamError(f"no whole line came within the read timeout of {patience:g} s")
    line_began = clock()
    while True:
        expect(patience + _GRACE)
        with deadline(patience + _GRACE, too_slow):
            piece = response.raw.read1(_PIECE, decode_content=True)
        if not piece:
            return
        if b"\n" in piece or b"\r" in piece:
            line_began = clock()
        elif clock() - line_began > patience:
            raise too_slow
        yield piece


@contextmanager
def _explained(endpoint: Endpoint) -> Iterator[None]:
    """Turn the errors of the libraries into one line; their own texts would show the whole URL."""
    import requests
    import urllib3.exceptions

    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise StreamError(explain_failure(error, endpoint)) from error
