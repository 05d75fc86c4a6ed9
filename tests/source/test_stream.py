"""One connection to a real server: what comes out of it, and when."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Feed,
    ScriptedEndpoint,
    chunk,
    event,
    sending,
)
from support.streams import body_of, end_of, events_in, open_stream
from support.worker import StandInWorker

from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.stream import Event

CLOSED = "the endpoint closed the stream"
CAPTURED = ["worker-stream.txt", "worker-stream-error.txt"]
FRAMINGS = [
    pytest.param(STREAM, id="close-delimited"),
    pytest.param(CHUNKED_STREAM, id="chunked"),
]


def compressed(head: bytes) -> bytes:
    """Return the head of an answer whose body is compressed."""
    return head.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"


def test_captured_bytes_of_the_worker_as_on_the_wire(data: Path) -> None:
    """The worker's own bytes, chunks and missing last chunk included, give its events."""
    wire = (data / "worker-stream-chunked.txt").read_bytes()
    with ScriptedEndpoint(sending(wire)) as server:
        events, error = end_of(endpoint_from(server.url))
    assert events == events_in(body_of(data / "worker-stream.txt"))
    assert [event.name for event in events] == ["connected", *["machines-snapshot"] * 4]
    assert str(error) == "the connection broke off"


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_bytes_close_delimited(data: Path, name: str) -> None:
    """Each event of the worker comes out unchanged when only the connection's end ends the body."""
    body = body_of(data / name)
    with ScriptedEndpoint(sending(STREAM, body)) as server:
        events, error = end_of(endpoint_from(server.url))
    assert events == events_in(body)
    assert str(error) == CLOSED


@pytest.mark.parametrize("name", CAPTURED)
@pytest.mark.parametrize("size", [1, 7, 1000, 100_000], ids=lambda size: f"chunks-of-{size}")
def test_captured_bytes_in_other_chunks(data: Path, name: str, size: int) -> None:
    """However a proxy cuts the body into chunks, the events are the same."""
    body = body_of(data / name)
    chunks = [chunk(body[start : start + size]) for start in range(0, len(body), size)]
    with ScriptedEndpoint(sending(CHUNKED_STREAM + b"".join(chunks) + chunk(b""))) as server:
        events, error = end_of(endpoint_from(server.url))
    assert events == events_in(body)
    assert str(error) == CLOSED


@pytest.mark.parametrize("head", FRAMINGS)
def test_gzip_body_is_decoded(data: Path, head: bytes) -> None:
    """A body that a proxy has compressed gives the same events."""
    body = body_of(data / "worker-stream.txt")
    with Feed(compressed(head)) as feed, ScriptedEndpoint(feed) as server:
        feed.send(gzip.compress(body))
        feed.close()
        events, _ = end_of(endpoint_from(server.url))
    assert events == events_in(body)


@pytest.mark.parametrize("head", FRAMINGS)
def test_event_comes_out_while_the_connection_stays_open(head: bytes) -> None:
    """An event does not wait for the next one, nor for the end of the connection."""
    with (
        Feed(head) as feed,
        ScriptedEndpoint(feed) as server,
        open_stream(endpoint_from(server.url)) as events,
    ):
        for number in range(3):
            feed.send(event("machines-snapshot", {"number": number}))
            assert next(events) == Event("machines-snapshot", b'{"number":%d}' % number)


@pytest.mark.parametrize("head", FRAMINGS)
def test_compressed_event_comes_out_while_the_connection_stays_open(head: bytes) -> None:
    """An event that a compressing proxy has flushed does not wait for more either."""
    press = zlib.compressobj(wbits=31)
    with (
        Feed(compressed(head)) as feed,
        ScriptedEndpoint(feed) as server,
        open_stream(endpoint_from(server.url)) as events,
    ):
        for number in range(3):
            data = press.compress(event("machines-snapshot", {"number": number}))
            feed.send(data + press.flush(zlib.Z_SYNC_FLUSH))
            assert next(events) == Event("machines-snapshot", b'{"number":%d}' % number)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "close-delimited"])
def test_worker_that_serves_a_policy(data: Path, *, chunked: bool) -> None:
    """A worker greets, then sends its first snapshot at once."""
    with (
        StandInWorker(data / "policy.hujson", 3600, chunked=chunked) as worker,
        open_stream(endpoint_from(worker.endpoint)) as events,
    ):
        assert next(events) == Event("connected", b'{"message":"SSE stream established"}')
        first = next(events)
    assert first.name == "machines-snapshot"
    assert b'"_web_http_3000._tcp.server1.wan.example.com":"100.64.0.1"' in first.data


@pytest.mark.parametrize("head", FRAMINGS)
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"event: machines-snapshot\ndata: {}", id="in-a-line"),
        pytest.param(b"event: machines-snapshot\ndata: {}\n", id="before-the-blank-line"),
    ],
)
def test_cut_off_event_never_comes_out(head: bytes, rest: bytes) -> None:
    """What the end of the connection has cut off is no event, unlike what came before it."""
    with Feed(head) as feed, ScriptedEndpoint(feed) as server:
        feed.send(b"data: whole\n\n", rest)
        feed.close()
        events, _ = end_of(endpoint_from(server.url))
    assert events == [Event("message", b"whole")]


def test_large_event_comes_out_whole() -> None:
    """An event of several megabytes, more than any buffer on the way holds, is one event."""
    hosts = {f"_web_http_80._tcp.a{number}.example.com": "100.64.0.1" for number in range(50_000)}
    sent = event("machines-snapshot", {"acl": {"hosts": hosts}})
    with ScriptedEndpoint(sending(CHUNKED_STREAM + chunk(sent) + chunk(b""))) as server:
        events, _ = end_of(endpoint_from(server.url))
    assert events == events_in(sent)
