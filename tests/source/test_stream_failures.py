"""Connections that fail: each an error of one line with its likely cause."""

from __future__ import annotations

import gc
import time
from itertools import count
from pathlib import Path

import pytest
from local import free_ports
from support.backends import banner_backend
from support.certificates import Authority
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Feed,
    Script,
    ScriptedEndpoint,
    chunk,
    resetting,
    saying_nothing,
    sending,
    trickling,
    unanswering,
)
from support.streams import end_of, open_stream

from ctsdns_traefik.source import stream
from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.stream import Event

COMPRESSED = STREAM.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
MEASURED = STREAM.removesuffix(b"\r\n") + b"Content-Length: 100\r\n\r\n"
FIRST = b"data: first\n\n"
SILENCE = "the read timeout of 1 s"
"""In the reasons of those who wait for it: what comes before the silence has as much time."""


def read_timeout(reason: str) -> float:
    """Return the read timeout of a connection that fails for a reason."""
    return 1.0 if SILENCE in reason or "trickles" in reason else 60.0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(sending(), "it closed the connection without an answer", id="no-answer"),
        pytest.param(resetting, "connection reset by peer", id="reset"),
        pytest.param(sending(b"SSH-2.0-OpenSSH\r\n"), "it does not speak HTTP", id="no-http"),
        pytest.param(
            saying_nothing, "it was silent for the read timeout of 1 s", id="silence-at-once"
        ),
        pytest.param(
            sending(b"HTTP/1.1 200 OK\r\nContent-T", then=saying_nothing),
            "it was silent for the read timeout of 1 s",
            id="silence-amid-the-head",
        ),
        pytest.param(
            trickling(b"HTTP/1.1 200 OK\r\nX: "),
            "it does not answer in time: its answer only trickles in",
            id="one-byte-at-a-time-of-the-head",
        ),
        pytest.param(
            trickling(b"HTTP/1.1 500 Oops\r\nContent-Length: 9999\r\n\r\n"),
            "it does not answer in time: its answer only trickles in",
            id="one-byte-at-a-time-of-a-wrong-answer",
        ),
    ],
)
def test_no_answer(script: Script, reason: str) -> None:
    """A connection that fails before there is a whole answer gives the reason, and is closed."""
    with ScriptedEndpoint(script) as server:
        timeout = read_timeout(reason)
        events, error = end_of(endpoint_from(server.url, read_timeout=timeout))
    assert (events, str(error)) == ([], reason)
    gc.collect()  # a connection that is still open is a warning, and so an error


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(sending(STREAM, FIRST), "the endpoint closed the stream", id="end"),
        pytest.param(
            sending(CHUNKED_STREAM, chunk(FIRST), then=saying_nothing),
            "it was silent for the read timeout of 1 s",
            id="silence",
        ),
        pytest.param(
            sending(CHUNKED_STREAM, chunk(FIRST), b"5\r\nda", then=saying_nothing),
            "it was silent for the read timeout of 1 s",
            id="silence-amid-a-chunk",
        ),
        pytest.param(
            trickling(STREAM + FIRST),
            "no whole line came within the read timeout of 1 s",
            id="one-byte-at-a-time",
        ),
        pytest.param(
            trickling(CHUNKED_STREAM + chunk(FIRST), b"0"),
            "no whole line came within the read timeout of 1 s",
            id="one-byte-at-a-time-of-a-chunk's-size",
        ),
        pytest.param(
            sending(CHUNKED_STREAM, chunk(FIRST)), "the connection broke off", id="no-last-chunk"
        ),
        pytest.param(
            sending(CHUNKED_STREAM, chunk(FIRST), b"zz\r\n"),
            "the connection broke off",
            id="bad-chunk-size",
        ),
        pytest.param(
            sending(MEASURED, FIRST), "the connection broke off", id="shorter-than-its-length"
        ),
    ],
)
def test_stream_that_breaks(script: Script, reason: str) -> None:
    """A stream that fails gives the events before that, then the reason."""
    with ScriptedEndpoint(script) as server:
        timeout = read_timeout(reason)
        events, error = end_of(endpoint_from(server.url, read_timeout=timeout))
    assert (events, str(error)) == ([Event("message", b"first")], reason)


def test_reset_amid_the_stream() -> None:
    """A reset while the stream is open ends it."""
    with ScriptedEndpoint(sending(CHUNKED_STREAM, then=resetting)) as server:
        _, error = end_of(endpoint_from(server.url))
    assert str(error) == "connection reset by peer"


def test_damaged_compression() -> None:
    """A body that is not compressed as its head says ends the stream."""
    with ScriptedEndpoint(sending(COMPRESSED, FIRST)) as server:
        _, error = end_of(endpoint_from(server.url))
    assert str(error) == "its compressed answer is damaged"


def test_heartbeats_are_no_silence() -> None:
    """Whole lines, be they comments, keep a connection alive beyond the read timeout."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        open_stream(endpoint_from(server.url), clock=count(step=60).__next__) as events,
    ):
        for number in range(5):
            feed.send(b": alive\n", b"data: %d\n" % number, b"\n")
            assert next(events).data == b"%d" % number


def test_refused_connection() -> None:
    """A port that nothing listens on refuses the connection."""
    (port,) = free_ports(1)
    _, error = end_of(endpoint_from(f"http://127.0.0.1:{port}/api/config"))
    assert str(error) == "connection refused"


def test_unanswered_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer is given up on after the read timeout, if that is short."""
    monkeypatch.setattr(stream, "CONNECT_TIMEOUT", 60.0)
    began = time.monotonic()
    with unanswering() as url:
        _, error = end_of(endpoint_from(url, read_timeout=0.4))
    assert str(error) == "it does not answer: connecting timed out"
    assert time.monotonic() - began < stream.CONNECT_TIMEOUT / 2


def test_name_that_does_not_resolve() -> None:
    """A name that is nowhere is named."""
    _, error = end_of(endpoint_from("http://worker.invalid/api/config?key=s3cret"))
    assert str(error) == "the name worker.invalid does not resolve"


def test_trusted_certificate(authority: Authority) -> None:
    """With the authority's certificate as CA file the stream opens."""
    tls = authority.server_context("127.0.0.1")
    with ScriptedEndpoint(sending(STREAM, FIRST), tls=tls) as server:
        events, _ = end_of(endpoint_from(server.url, ca_file=authority.ca_file))
    assert events == [Event("message", b"first")]


@pytest.mark.parametrize(
    ("names", "trusted", "part"),
    [
        pytest.param(
            "127.0.0.1",
            False,
            "issuer certificate; for an authority of your own set --ca-file",
            id="untrusted",
        ),
        pytest.param("other.example.com", True, "'127.0.0.1'; write the URL", id="wrong-name"),
    ],
)
def test_certificate_that_cannot_be_trusted(
    authority: Authority, names: str, part: str, *, trusted: bool
) -> None:
    """A certificate of an unknown authority, or for another name, ends it before any request."""
    tls = authority.server_context(names)
    ca_file = authority.ca_file if trusted else None
    with ScriptedEndpoint(sending(STREAM, FIRST), tls=tls) as server:
        events, error = end_of(endpoint_from(server.url, ca_file=ca_file))
    assert str(error).startswith("its certificate cannot be trusted: ")
    assert part in str(error)
    assert (events, server.requests) == ([], [])


def test_certificate_that_has_expired(authority: Authority) -> None:
    """The line has what helps: another certificate or another clock, not another authority."""
    tls = authority.server_context("127.0.0.1", days=-0.5)
    with ScriptedEndpoint(sending(STREAM, FIRST), tls=tls) as server:
        _, error = end_of(endpoint_from(server.url, ca_file=authority.ca_file))
    assert str(error) == (
        "its certificate cannot be trusted: certificate has expired; renew it, or set the clock of"
        " this machine if that is wrong"
    )


def test_tls_to_a_server_without() -> None:
    """A server that speaks plain HTTP on its port is named as such, without its secrets."""
    with banner_backend(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        url = f"https://me:s3cret@127.0.0.1:{port}/api/config"
        _, error = end_of(endpoint_from(f"{url}?key=s3cret"))
    assert str(error) == "it speaks plain HTTP; write http in place of https"


def test_tls_handshake_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that leaves the handshake unanswered is not reported to be silent for longer."""
    monkeypatch.setattr(stream, "CONNECT_TIMEOUT", 0.4)
    with ScriptedEndpoint(saying_nothing) as server:
        _, error = end_of(endpoint_from(server.url.replace("http:", "https:")))
    assert "90" not in str(error)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no-certificate"])
def test_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """A CA file that is missing or holds no certificate is blamed by name."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with ScriptedEndpoint(sending(STREAM)) as server:
        url = server.url.replace("http:", "https:")
        _, error = end_of(endpoint_from(url, ca_file=ca_file))
    assert str(ca_file) in str(error)


@pytest.mark.parametrize("head", [STREAM, CHUNKED_STREAM], ids=["closed-at-the-end", "chunked"])
def test_stream_that_is_silent_from_its_start(head: bytes) -> None:
    """An answer of 200 without one byte of a stream is what a proxy that buffers makes of it."""
    with ScriptedEndpoint(sending(head, then=saying_nothing)) as server:
        events, error = end_of(endpoint_from(server.url, read_timeout=1.0))
    assert events == []
    assert str(error).startswith("it was silent for the read timeout of 1 s, and nothing has come")
    assert "nginx: proxy_buffering off" in str(error)
