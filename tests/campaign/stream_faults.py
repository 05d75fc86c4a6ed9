"""Connections that go wrong: what the endpoint does on one, and how watch explains it."""

from __future__ import annotations

import gzip
import socket
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from campaign.live_stage import SHORT_TIMEOUT
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Script,
    answering,
    chunk,
    resetting,
    saying_nothing,
    sending,
    snapshot,
    trickling,
)

IMPATIENT = ("--read-timeout", str(SHORT_TIMEOUT))
JSON = "application/json"
HTML = "text/html; charset=UTF-8"
PAGE = b"<!DOCTYPE html><html><body>" + b"<p>Sorry.</p>" * 500 + b"</body></html>"
GZIP_STREAM = STREAM.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
LARGEST = 64 * 1024 * 1024

POISON = snapshot({"_web_http_80._tcp.poison.b\u00fccher.example.com": "100.64.0.66"})
"""A whole snapshot that would change the file; each fault keeps it from being one."""

AMID_DATA = POISON.index(b'"100.64')
AMID_CHARACTER = POISON.index("\u00fc".encode()) + 1
BEFORE_ID = POISON.index(b"id: ")


class Fault(NamedTuple):
    """One connection that goes wrong."""

    name: str
    script: Script
    line: str
    """A pattern of the log line that explains it."""
    options: tuple[str, ...] = ()
    """Of watch."""


def streaming(head: bytes, piece: bytes, size: int) -> Script:
    """Return a script that sends a head, then a piece again and again up to a size."""

    def play(connection: socket.socket) -> None:
        connection.sendall(head)
        pieces = piece * max(1, 2**18 // len(piece))
        for _ in range(size // len(pieces) + 1):
            connection.sendall(pieces)

    return play


def compressed(pieces: Iterable[bytes]) -> bytes:
    """Compress pieces, one at a time to save memory."""
    press = zlib.compressobj(1, wbits=31)
    return b"".join([*map(press.compress, pieces), press.flush()])


SILENCE = "it was silent for the read timeout of 1.5 s.*; retrying in 0.1 s"
SLOWNESS = "within the read timeout of 1.5 s.*; retrying in 0.1 s"
TRICKLE = "cannot connect to http.*: .*only trickles in; retrying in 0.1 s"
CLOSED = "disconnected from http.*: the endpoint closed the stream; retrying"
BROKEN = "disconnected from http.*: the connection broke off; retrying"
LARGE = r"disconnected from http.*: an event is larger than 67,108,864 bytes; retrying"

SILENCES = [
    Fault("silence at once", saying_nothing, SILENCE, IMPATIENT),
    Fault(
        "silence amid the head",
        sending(b"HTTP/1.1 200 OK\r\nContent-T", then=saying_nothing),
        SILENCE,
        IMPATIENT,
    ),
    Fault("silence after the head", sending(STREAM, then=saying_nothing), SILENCE, IMPATIENT),
    Fault(
        "silence amid an event",
        sending(STREAM, POISON[:AMID_DATA], then=saying_nothing),
        SILENCE,
        IMPATIENT,
    ),
    Fault(
        "silence before the blank line",
        sending(STREAM, POISON[:-1], then=saying_nothing),
        SILENCE,
        IMPATIENT,
    ),
    Fault(
        "silence amid a chunk",
        sending(CHUNKED_STREAM, chunk(POISON)[:AMID_DATA], then=saying_nothing),
        SILENCE,
        IMPATIENT,
    ),
    Fault("body byte by byte", trickling(STREAM + POISON[:AMID_DATA]), SLOWNESS, IMPATIENT),
    Fault(
        "chunks byte by byte",
        trickling(CHUNKED_STREAM + chunk(POISON[:AMID_DATA]), chunk(b"x")),
        SLOWNESS,
        IMPATIENT,
    ),
]

DRIPS = [
    Fault("head byte by byte", trickling(b"HTTP/1.1 200 OK\r\nX: "), TRICKLE, IMPATIENT),
    Fault("chunk size byte by byte", trickling(CHUNKED_STREAM + b"5;"), SLOWNESS, IMPATIENT),
    Fault(
        "error page byte by byte",
        trickling(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9000\r\n\r\n"),
        TRICKLE,
        IMPATIENT,
    ),
]

ENDS = [
    Fault("closed at once", sending(), "it closed the connection without an answer; retrying"),
    Fault("no HTTP", sending(b"SSH-2.0-OpenSSH\r\n"), "it does not speak HTTP; retrying"),
    Fault("closed amid the head", sending(STREAM[:40]), "cannot connect to .*; retrying"),
    Fault("closed after the head", sending(STREAM), CLOSED),
    Fault("closed amid an event", sending(STREAM, POISON[:AMID_DATA]), CLOSED),
    Fault("closed after the data", sending(STREAM, POISON[:BEFORE_ID]), CLOSED),
    Fault("closed before the blank line", sending(STREAM, POISON[:-1]), CLOSED),
    Fault("closed amid a character", sending(STREAM, POISON[:AMID_CHARACTER]), CLOSED),
    Fault("closed amid a chunk", sending(CHUNKED_STREAM, chunk(POISON)[:-30]), BROKEN),
    Fault("closed amid a chunk size", sending(CHUNKED_STREAM, b"1"), BROKEN),
    Fault("closed between chunks", sending(CHUNKED_STREAM, chunk(POISON[:-1])), BROKEN),
    Fault("last chunk too early", sending(CHUNKED_STREAM, chunk(POISON[:-1]), chunk(b"")), CLOSED),
    Fault("bad chunk size", sending(CHUNKED_STREAM, b"zz\r\n", POISON), BROKEN),
    Fault(
        "shorter than its length",
        sending(STREAM[:-2] + b"Content-Length: 100000\r\n\r\n", POISON[:-1]),
        BROKEN,
    ),
    Fault(
        "length amid an event",
        sending(STREAM[:-2] + b"Content-Length: %d\r\n\r\n" % (len(POISON) - 1), POISON),
        CLOSED,
    ),
    Fault("reset at once", resetting, "connection reset by peer; retrying"),
    Fault(
        "reset amid an event",
        sending(STREAM, POISON[:AMID_DATA], then=resetting),
        "connection reset by peer; retrying",
    ),
    Fault("gzip that is none", sending(GZIP_STREAM, POISON), "compressed answer is damaged"),
    Fault("gzip cut off", sending(GZIP_STREAM, gzip.compress(POISON[:-1])[:-20]), CLOSED),
    Fault(
        "more header lines than HTTP allows",
        sending(STREAM[:-2] + b"X-More: 1\r\n" * 300 + b"\r\n", POISON),
        "the connection broke off; retrying",
    ),
    Fault(
        "a header line without an end",
        sending(STREAM[:-2] + b"X: " + b"x" * 100_000),
        "the connection broke off; retrying",
    ),
]


def refusing(status: str, line: str, body: bytes = b"", **headers: str) -> Fault:
    """Return the case of an answer with another status than 200."""
    line = rf"cannot connect to http.*: it answers {status[:3]}\b.*{line}.*"
    return Fault(status, answering(status, body, **headers), line)


def redirecting(status: str, location: str, line: str) -> Fault:
    """Return the case of a redirect, which is not followed."""
    fault = refusing(status, f"a redirect to {line}.*; retrying", Location=location)
    return fault._replace(name=f"{status} to {location}")


ANSWERS = [
    refusing("204 No Content", "nothing to stream"),
    redirecting("301 Moved Permanently", "/api/v2/config", "another path, which is not followed"),
    redirecting("302 Found", "https://other.example.com/login", "other.example.com, which is not"),
    redirecting("302 Found", "https://a.cloudflareaccess.com/x", "the login of Cloudflare Access"),
    redirecting("307 Temporary Redirect", "/api/config", "another path, which is not followed"),
    redirecting("308 Permanent Redirect", "http://[", "what is no URL"),
    refusing("401 Unauthorized", "asks for credentials"),
    refusing("403 Forbidden", "refuses these credentials"),
    refusing("404 Not Found", "no /api/config", b"Not found", Content_Type="text/plain"),
    refusing("429 Too Many Requests", "asked too often; retrying in 1", Retry_After="1"),
    refusing(
        "500 Internal Server Error",
        r"\(Configuration error: no key\)",
        b'{"error":"Configuration error","message":"no key"}',
        Content_Type=JSON,
    ),
    refusing("500 Oops", "; retrying", b'{"error":', Content_Type=JSON),
    refusing("502 Bad Gateway", "does not answer the proxy", PAGE, Content_Type=HTML),
    refusing("503 Service Unavailable", "not available", PAGE, Content_Type=HTML),
    refusing("524 A Timeout Occurred", "Cloudflare in time", PAGE, Content_Type=HTML),
    refusing("404 but a stream", "no /api/config", POISON, Content_Type="text/event-stream"),
    Fault("200 HTML", answering("200 OK", PAGE, Content_Type=HTML), "an HTML page: .*; retrying"),
    Fault(
        "200 JSON",
        answering("200 OK", b'{"error":"Configuration error"}', Content_Type=JSON),
        r"application/json \(Configuration error\), which is no usable policy: .*; retrying",
    ),
    Fault("200 of no type", answering("200 OK", POISON), "content of no type.*; retrying"),
]

SIZES = [
    Fault(
        "an event over the limit",
        streaming(STREAM + b"event: machines-snapshot\ndata: ", b"x", 2 * LARGEST),
        LARGE,
    ),
    Fault(
        "lines for ever without a blank one",
        streaming(STREAM, b"data: " + b"x" * 1000 + b"\n", 2 * LARGEST),
        LARGE,
    ),
    Fault(
        "a compressed event over the limit",
        sending(GZIP_STREAM + compressed([b"data: "] + [bytes(2**20)] * 70)),
        LARGE,
    ),
    Fault(
        "more lines of data than any event has",
        sending(STREAM + b"data:\n" * 1_000_001 + POISON),
        "too many lines; retrying",
    ),
]

CONNECTIONS = [*ENDS, *ANSWERS, *SIZES, *SILENCES, *DRIPS]
