"""Polls that go wrong: what the source answers to one, and how watch explains it.

Row for row as in :mod:`campaign.stream_faults` and :mod:`campaign.event_faults`, by whole policies.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import NamedTuple

from campaign.stream_faults import (
    HTML,
    IMPATIENT,
    JSON,
    LARGEST,
    PAGE,
    Fault,
    compressed,
    streaming,
)
from support.endpoints import (
    Script,
    answering,
    chunk,
    resetting,
    saying_nothing,
    sending,
    trickling,
)

TEXT = "text/plain; charset=utf-8"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
"""The head of an answer that only the end of the connection ends."""

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
DEPTH = 10_000

POISON_HOSTS = '{"_web_http_80._tcp.poison.b\u00fccher.example.com": "100.64.0.66"}'.encode()
POISON = b'// a policy\n{"hosts": %b,}\n' % POISON_HOSTS
"""A whole policy that would change the file; each fault keeps it from being one."""

CUT = POISON.index(b'"100.64')
AMID_CHARACTER = POISON.index("\u00fc".encode()) + 1

FAILED = "cannot read the policy from .*: "
AGAIN = ".*; retrying in"
MISTRUST = "WARNING the policy cannot be trusted, the output stays: "


def failing(name: str, script: Script, line: str, *options: str) -> Fault:
    """Return the case of a poll that brings no policy."""
    return Fault(name, script, f"WARNING {FAILED}{line}{AGAIN}", options)


def whole(body: bytes, head: bytes = OPEN) -> Script:
    """Return a script that answers with a body."""
    return sending(head + body)


def with_length(length: int, body: bytes) -> bytes:
    """Return an answer whose body is of another length than it announces."""
    return OPEN[:-2] + b"Content-Length: %d\r\n\r\n" % length + body


def encoded(name: bytes, body: bytes) -> bytes:
    """Return an answer with a content encoding."""
    return OPEN[:-2] + b"Content-Encoding: %b\r\n\r\n" % name + body


LATE = "(it does not answer|it was silent for|its answer is not whole)"

SILENCES = [
    failing("silence at once", saying_nothing, LATE, *IMPATIENT),
    failing(
        "silence amid the head",
        sending(b"HTTP/1.1 200 OK\r\nContent-T", then=saying_nothing),
        LATE,
        *IMPATIENT,
    ),
    failing("silence after the head", sending(OPEN, then=saying_nothing), LATE, *IMPATIENT),
    failing(
        "silence amid the policy",
        sending(OPEN, POISON[:CUT], then=saying_nothing),
        LATE,
        *IMPATIENT,
    ),
    failing(
        "silence after a policy without its end",
        sending(OPEN, POISON, then=saying_nothing),
        LATE,
        *IMPATIENT,
    ),
    failing(
        "silence amid a chunk",
        sending(CHUNKED, chunk(POISON)[:-9], then=saying_nothing),
        LATE,
        *IMPATIENT,
    ),
    failing(
        "silence before the last chunk",
        sending(CHUNKED, chunk(POISON), then=saying_nothing),
        LATE,
        *IMPATIENT,
    ),
    failing("body byte by byte", trickling(OPEN + POISON, b" "), LATE, *IMPATIENT),
    failing(
        "chunks byte by byte", trickling(CHUNKED + chunk(POISON), chunk(b" ")), LATE, *IMPATIENT
    ),
    failing("head byte by byte", trickling(b"HTTP/1.1 200 OK\r\nX: "), LATE, *IMPATIENT),
    failing("chunk size byte by byte", trickling(CHUNKED + b"5;"), LATE, *IMPATIENT),
    failing(
        "error page byte by byte",
        trickling(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9000\r\n\r\n"),
        LATE,
        *IMPATIENT,
    ),
]

BROKEN = "the connection broke off"
DAMAGED = "its compressed answer is damaged"

ENDS = [
    failing("closed at once", sending(), "it closed the connection without an answer"),
    failing("no HTTP", sending(b"SSH-2.0-OpenSSH\r\n"), "it does not speak HTTP"),
    Fault("closed amid the head", sending(OPEN[:40]), "WARNING "),
    failing("shorter than its length", sending(with_length(10**5, POISON)), BROKEN),
    failing(
        "closed amid a character", sending(with_length(10**5, POISON[:AMID_CHARACTER])), BROKEN
    ),
    failing("closed amid a chunk", sending(CHUNKED, chunk(POISON)[:-9]), BROKEN),
    failing("closed amid a chunk size", sending(CHUNKED, b"1"), BROKEN),
    failing("closed before the last chunk", sending(CHUNKED, chunk(POISON)), BROKEN),
    failing("bad chunk size", sending(CHUNKED, b"zz\r\n", POISON), BROKEN),
    failing("reset at once", resetting, "connection reset by peer"),
    failing(
        "reset amid the policy",
        sending(OPEN, POISON[:CUT], then=resetting),
        "connection reset by peer",
    ),
    failing("gzip that is none", sending(encoded(b"gzip", POISON)), DAMAGED),
    Fault("gzip cut off", sending(encoded(b"gzip", gzip.compress(POISON)[:-30])), "WARNING "),
    failing(
        "gzip with a wrong checksum",
        sending(encoded(b"gzip", gzip.compress(POISON)[:-8] + b"checksum")),
        DAMAGED,
    ),
    failing(
        "more header lines than HTTP allows",
        sending(OPEN[:-2] + b"X-More: 1\r\n" * 300 + b"\r\n", POISON),
        BROKEN,
    ),
    failing("a header line without an end", sending(OPEN[:-2] + b"X: " + b"x" * 100_000), BROKEN),
]


def refusing(status: str, line: str, body: bytes = b"", **headers: str) -> Fault:
    """Return the case of an answer with another status than 200."""
    return failing(status, answering(status, body, **headers), rf".*\b{status[:3]}\b.*{line}")


def redirecting(status: str, location: str) -> Fault:
    """Return the case of a redirect, which is not followed."""
    fault = refusing(status, "redirect", POISON, Location=location)
    return fault._replace(name=f"{status} to {location}")


ANSWERS = [
    refusing("204 No Content", ""),
    refusing("206 Partial Content", "", POISON[:CUT], Content_Type=TEXT),
    refusing("304 Not Modified", "", ETag='"another"'),
    redirecting("301 Moved Permanently", "/other"),
    redirecting("302 Found", "https://other.example.com/login"),
    redirecting("303 See Other", "https://a.cloudflareaccess.com/x"),
    redirecting("307 Temporary Redirect", "/api/config"),
    redirecting("308 Permanent Redirect", "http://["),
    refusing("400 Bad Request", "", b'{"message":"no"}', Content_Type=JSON),
    refusing("401 Unauthorized", "", b'{"message":"API token invalid"}', Content_Type=JSON),
    refusing("403 Forbidden", "", b'{"message":"no scope"}', Content_Type=JSON),
    refusing("404 Not Found", "", b"Not found", Content_Type=TEXT),
    refusing("404 but a policy", "", POISON, Content_Type=TEXT),
    refusing("410 Gone", "", PAGE, Content_Type=HTML),
    refusing("429 Too Many Requests", "", Retry_After="1"),
    refusing("500 Internal Server Error", "", b'{"message":"oops"}', Content_Type=JSON),
    refusing("500 Oops", "", b'{"error":', Content_Type=JSON),
    refusing("500 but a policy", "", POISON, Content_Type=TEXT),
    refusing("502 Bad Gateway", "", PAGE, Content_Type=HTML),
    refusing("503 Service Unavailable", "", PAGE, Content_Type=HTML, Retry_After="1"),
    refusing("504 Gateway Timeout", "", b'{"message":"took too long"}', Content_Type=JSON),
    refusing("524 A Timeout Occurred", "", PAGE, Content_Type=HTML),
    Fault("200 HTML", answering("200 OK", PAGE, Content_Type=HTML), "WARNING "),
]

SIZES = [
    failing("a policy over the limit", streaming(OPEN, b" ", 2 * LARGEST), ".*larger than 64 MiB"),
    failing(
        "chunks over the limit",
        streaming(CHUNKED, chunk(b" " * 1000), 2 * LARGEST),
        ".*larger than 64 MiB",
    ),
    failing(
        "a compressed policy over the limit",
        sending(encoded(b"gzip", compressed([b" " * 2**20] * 70))),
        ".*larger than 64 MiB",
    ),
]

CONNECTIONS = [*ENDS, *ANSWERS, *SIZES, *SILENCES]


class BadPolicy(NamedTuple):
    """A whole answer that must change nothing."""

    name: str
    body: bytes
    line: str
    """A pattern of what the log says of it; ``""`` if that depends on the source."""


BAD_POLICIES = [
    BadPolicy("empty", b"", "empty"),
    BadPolicy("white space", b" \n\t", "empty"),
    BadPolicy("a list", b"[]", "a list, not an object"),
    BadPolicy("null", b"null", "null, not an object"),
    BadPolicy("a number", b"7", "a number, not an object"),
    BadPolicy("text", b'"text"', "text, not an object"),
    *(
        BadPolicy(f"hosts is {name}", b'{"hosts": %b, "acls": []}' % text, "hosts is .*not an obj")
        for name, text in {
            "a list": b"[]",
            "a number": b"7",
            "text": b'"x"',
            "true": b"true",
        }.items()
    ),
    BadPolicy("cut off", POISON[:CUT], "line 2, column"),
    BadPolicy("cut off before its end", POISON.rstrip()[:-1], "line 2, column"),
    BadPolicy("cut off amid a character", POISON[:AMID_CHARACTER], "line 2, column"),
    BadPolicy("two documents", POISON + POISON, "line 4"),
    BadPolicy("a brace too many", POISON + b"}", "line 3"),
    BadPolicy("a comma too many", POISON.replace(b",}", b",,}"), "line 2, column"),
    BadPolicy("no comma", POISON.replace(b'"hosts"', b'"acls": [] "hosts"'), "line 2, column"),
    BadPolicy("shell comment", b"# a policy\n" + POISON, "line 1, column 1"),
    BadPolicy("comment without an end", POISON + b"/* ", "line 3"),
    BadPolicy("single quotes", POISON.replace(b'"', b"'"), "line 2, column 2"),
    BadPolicy("name without quotes", POISON.replace(b'"hosts"', b"hosts"), "line 2, column 2"),
    BadPolicy("NaN", POISON.replace(b'"hosts"', b'"x": NaN, "hosts"'), "line 2"),
    BadPolicy("control character", POISON.replace(b"poison", b"poi\x01son"), "line 2, column"),
    BadPolicy("byte order mark", b"\xef\xbb\xbf" + POISON, "byte order mark"),
    BadPolicy("UTF-16", POISON.decode().encode("utf-16"), ""),
    BadPolicy("bad UTF-8 in a comment", POISON.replace(b"a policy", b"a p\xf6licy"), "UTF-8"),
    BadPolicy("NUL in front", b"\0" + POISON, "line 1, column 1"),
    BadPolicy("lists nested deep", b"[" * DEPTH, ""),
    BadPolicy("nested deep", b'{"acls":' * DEPTH + b"{}" + b"}" * DEPTH, "nested too deep"),
    BadPolicy("YAML", b"hosts:\n  a: 100.64.0.1\n", "line 1, column 1"),
    BadPolicy("page that is called text", PAGE, ""),
]

ERRORS = [
    BadPolicy("error as JSON", b'{"message": "internal error"}', ""),
    BadPolicy("another error as JSON", b'{"code": 5, "message": "no", "details": []}', ""),
]
"""Errors that come with status 200; their lines depend on the source."""


class Form(NamedTuple):
    """One unusual way to send a good policy."""

    name: str
    script: Callable[[bytes], Script]
    """Makes of a body what to play."""


def bytes_of(body: bytes) -> list[bytes]:
    """Cut a body into its bytes."""
    return [body[at : at + 1] for at in range(len(body))]


def typed(kind: str) -> Form:
    """Return the form of an answer with a content type."""
    return Form(kind, lambda body: answering("200 OK", body, Content_Type=kind))


FORMS = [
    Form("until closed", whole),
    Form("until closed, byte by byte", lambda body: sending(OPEN, *bytes_of(body))),
    Form("chunked", lambda body: sending(CHUNKED, chunk(body), chunk(b""))),
    Form(
        "a chunk a byte",
        lambda body: sending(CHUNKED, *map(chunk, bytes_of(body)), chunk(b"")),
    ),
    Form("gzip", lambda body: sending(encoded(b"gzip", gzip.compress(body)))),
    Form("deflate", lambda body: sending(encoded(b"deflate", zlib.compress(body)))),
    Form("HTTP/1.0", lambda body: whole(body, OPEN.replace(b"HTTP/1.1", b"HTTP/1.0"))),
    Form("100 Continue first", lambda body: whole(body, b"HTTP/1.1 100 Continue\r\n\r\n" + OPEN)),
    *map(typed, ("application/json", "application/hujson", "TEXT/PLAIN", "text/plain")),
]


class Text(NamedTuple):
    """One unusual way to write a good policy."""

    name: str
    change: Callable[[bytes], bytes]


def plain(policy: bytes) -> bytes:
    """Write a policy as JSON without comments."""
    lines = policy.decode().splitlines()[1:]
    return json.dumps(
        json.loads("\n".join(lines).replace(",\n  }", "\n  }").replace("},\n", "}\n"))
    ).encode()


TEXTS = [
    Text("plain JSON", plain),
    Text("CRLF", lambda policy: policy.replace(b"\n", b"\r\n")),
    Text("Hosts", lambda policy: policy.replace(b'"hosts"', b'"Hosts"')),
    Text("comments", lambda policy: policy.replace(b":", b"/* here */:").replace(b"{", b"{//\n")),
    Text("all escaped", lambda policy: policy.replace(b"_", rb"\u005f")),
    Text("other members", lambda policy: policy.replace(b"{", b'{"acls": [], "grants": [],', 1)),
    Text("hosts twice", lambda policy: policy.replace(b'"hosts"', b'"hosts": {}, "hosts"')),
    Text("bad UTF-8 in a string", lambda policy: policy.replace(b"{", b'{"x": "\xff",', 1)),
]
