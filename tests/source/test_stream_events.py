"""The fields of an event stream, as the standard has them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from itertools import repeat

import pytest
from support.endpoints import STREAM, ScriptedEndpoint, sending
from support.streams import end_of

from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.stream import Event, StreamError, read_events

BYTE_ORDER_MARK = "\ufeff".encode()


@pytest.mark.parametrize(
    ("body", "events"),
    [
        pytest.param(b"event: a\ndata: 1\n\n", [Event("a", b"1")], id="line-feed"),
        pytest.param(b"event: a\r\ndata: 1\r\n\r\n", [Event("a", b"1")], id="crlf"),
        pytest.param(b"event: a\rdata: 1\r\r", [Event("a", b"1")], id="carriage-return"),
        pytest.param(b"event: a\r\ndata: 1\n\r", [Event("a", b"1")], id="mixed-line-ends"),
        pytest.param(BYTE_ORDER_MARK + b"data: 1\n\n", [Event("message", b"1")], id="mark-first"),
        pytest.param(
            b"data: 1\n\n" + BYTE_ORDER_MARK + b"data: 2\n\n",
            [Event("message", b"1")],
            id="mark-later-is-part-of-a-name",
        ),
        pytest.param(b"data: 1\n\n", [Event("message", b"1")], id="no-event-name"),
        pytest.param(b"event\ndata: 1\n\n", [Event("message", b"1")], id="empty-event-name"),
        pytest.param(b"event: a\nevent: b\ndata: 1\n\n", [Event("b", b"1")], id="last-name-counts"),
        pytest.param(b"data:1\n\n", [Event("message", b"1")], id="no-space"),
        pytest.param(b"data:  1\n\n", [Event("message", b" 1")], id="two-spaces"),
        pytest.param(b"data: a: b\n\n", [Event("message", b"a: b")], id="colon-in-data"),
        pytest.param(b"data: 1\ndata: 2\n\n", [Event("message", b"1\n2")], id="two-data-lines"),
        pytest.param(b"data\ndata: 2\ndata:\n\n", [Event("message", b"\n2\n")], id="empty-lines"),
        pytest.param(b": alive\n\n: alive\n\n", [], id="comments-alone"),
        pytest.param(b"data: 1\n: no\ndata: 2\n\n", [Event("message", b"1\n2")], id="comment"),
        pytest.param(b"Data: 0\nother: 0\ndata: 1\n\n", [Event("message", b"1")], id="unknown"),
        pytest.param(b"event: a\nid: 7\n\n", [], id="no-data"),
        pytest.param(b"\n\n\n\ndata: 1\n\n\n\n\n", [Event("message", b"1")], id="blank-lines"),
        pytest.param(b"data: 1\n\ndata: 2\n", [Event("message", b"1")], id="last-one-cut-off"),
        pytest.param(b"data: \xff\xc3\n\n", [Event("message", b"\xff\xc3")], id="not-utf-8"),
        pytest.param(
            "data: a\v\f\x1c\x85\u2028b\n\n".encode(),
            [Event("message", "a\v\f\x1c\x85\u2028b".encode())],
            id="separators-that-end-no-line",
        ),
        pytest.param(b"retry: 3000\n\n", [Event("message", b"", 3.0)], id="retry-alone"),
        pytest.param(b"retry: 250\ndata: 1\n\n", [Event("message", b"1", 0.25)], id="retry-too"),
        pytest.param(
            b"retry: 1000\nretry: 3000\n\n", [Event("message", b"", 3.0)], id="last-retry-counts"
        ),
        pytest.param(b"retry: soon\n\n", [], id="retry-in-words"),
        pytest.param(b"retry: -1\ndata: 1\n\n", [Event("message", b"1")], id="retry-negative"),
        pytest.param(b"retry: 1.5\ndata: 1\n\n", [Event("message", b"1")], id="retry-fraction"),
        pytest.param("retry: ٣\ndata: 1\n\n".encode(), [Event("message", b"1")], id="retry-arabic"),
        pytest.param(b"retry\ndata: 1\n\n", [Event("message", b"1")], id="retry-empty"),
    ],
)
def test_events_of_a_body(body: bytes, events: list[Event]) -> None:
    """A body sent by a real server gives the events that the standard says."""
    with ScriptedEndpoint(sending(STREAM, body)) as server:
        assert end_of(endpoint_from(server.url))[0] == events


def test_retry_of_too_many_digits_costs_nothing() -> None:
    """A retry time too long to compute with is a long one, and its event comes out."""
    (event,) = read_events([b"retry: " + b"9" * 5000 + b"\ndata: 1\n\n"])
    assert event.data == b"1"
    assert event.retry is not None
    assert 10**6 < event.retry < float("inf")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_cuts_between_pieces_do_not_matter(end: bytes) -> None:
    """Wherever the network cuts the bytes in two, or in single bytes, the events are the same."""
    lines = ["event: a", "data: São", "", ": comment", "data: 1", "data: 2", "retry: 1000", "", ""]
    body = BYTE_ORDER_MARK + end.join(line.encode() for line in lines)
    events = [Event("a", "São".encode()), Event("message", b"1\n2", 1.0)]
    for cut in range(len(body) + 1):
        assert list(read_events([body[:cut], body[cut:]])) == events
    assert list(read_events(body[at : at + 1] for at in range(len(body)))) == events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_event_comes_out_with_the_first_byte_that_ends_it(end: bytes) -> None:
    """No byte behind the blank line is waited for, though CR could be half of CRLF."""
    pieces = iter([b"data: 1" + end + end[:1], b"never read"])
    assert next(read_events(pieces)) == Event("message", b"1")
    assert next(pieces) == b"never read"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"data: ", b"x" * 100], id="endless"),
        pytest.param([b"data: ", b"x" * 100, b"\n\n"], id="in-pieces"),
        pytest.param([b"data: " + b"x" * 100 + b"\n\n"], id="in-one-piece"),
        pytest.param([b"data: x\n" * 20], id="in-lines"),
        pytest.param([b": x\n" * 20], id="of-comments"),
    ],
)
def test_oversized_event_ends_the_stream(pieces: list[bytes]) -> None:
    """An event larger than the largest is an error, after the events that came before it."""
    events = read_events([b"data: first\n\n", *pieces], largest=64)
    assert next(events) == Event("message", b"first")
    with pytest.raises(StreamError, match="larger than 64 bytes"):
        next(events)


def test_event_without_an_end_does_not_fill_the_memory() -> None:
    """Of bytes that never end no more than the largest event is kept."""
    taken = 0

    def endless() -> bytes:
        nonlocal taken
        taken += 1000
        return b"x" * 1000

    with pytest.raises(StreamError, match="larger than 10,000 bytes"):
        list(read_events((endless() for _ in repeat(None)), largest=10_000))
    assert taken <= 11_000


def test_events_up_to_the_largest_come_out() -> None:
    """The limit is one event's: any number of events that keep to it come out."""
    body = b"data: " + b"x" * 56 + b"\n\n"
    assert len(body) == 64
    assert list(read_events([body] * 5, largest=64)) == [Event("message", b"x" * 56)] * 5


@pytest.mark.parametrize(
    ("line", "number", "why"),
    [
        pytest.param(b"data\n", 1_000_001, "too many lines", id="lines-of-data"),
        pytest.param(b"event: x\n", 10_000, "fields beside its data", id="other-fields"),
    ],
)
def test_event_of_too_many_lines_ends_the_stream(line: bytes, number: int, why: str) -> None:
    """An event that would take minutes, or all memory, to put together is an error."""
    with pytest.raises(StreamError, match=why):
        list(read_events([line * number + b"\n"]))


def test_comments_never_make_an_event_too_large() -> None:
    """Comments, which some servers send for a day to keep a connection open, are passed over."""
    body = b": still here\n" * 100_000 + b"event: x\ndata: 1\n\n"
    assert list(read_events([body])) == [Event("x", b"1")]


def test_blank_lines_between_events_are_nothing() -> None:
    """More than one blank line behind an event, as in a capture of chunks, starts no other."""
    body = b"event: x\ndata: 1\n\n\n\n2f\nevent: y\ndata: 2\n\n"
    assert list(read_events([body])) == [Event("x", b"1"), Event("y", b"2")]
