"""Events that go wrong on a good connection, and good ones in every form that a stream may have."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import NamedTuple

from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Script,
    chunk,
    event,
    saying_nothing,
    sending,
)

DEPTH = 10_000
MISTRUST = "WARNING the policy cannot be trusted, the output stays: "
REPORT = "WARNING the worker reports an error: "
POISON_HOSTS = b'{"_web_http_80._tcp.poison.example.com":"100.64.0.66"}'


class BadEvent(NamedTuple):
    """One event that must change nothing."""

    name: str
    sent: bytes
    line: str
    """A pattern of the log line that explains it."""


class Form(NamedTuple):
    """One unusual way to send a good snapshot."""

    name: str
    script: Callable[[bytes], Script]
    """Makes of an event what to play."""


def framed(data: bytes) -> bytes:
    """Frame data as a snapshot, whatever it is."""
    return b"event: machines-snapshot\ndata: %b\nid: 1\n\n" % data


def mistrusted(data: bytes, line: str) -> BadEvent:
    """Return the case of a snapshot with data that is not to be trusted."""
    return BadEvent(line, framed(data), MISTRUST + line)


def wrapped(hosts: bytes) -> bytes:
    """Return a snapshot's data with some text for its hosts."""
    return b'{"machines":[],"acl":{"hosts":%b}}' % hosts


POISON_DATA = wrapped(POISON_HOSTS)

WRONG_TYPES = {
    b"[]": "a list",
    b"null": "null",
    b"7": "a number",
    b'"text"': "text",
}

SHAPES = [
    *(mistrusted(text, f"it is {name}, not an object") for text, name in WRONG_TYPES.items()),
    *(
        mistrusted(b'{"acl":%b,"hosts":%b}' % (text, POISON_HOSTS), f"acl is {name}, not an object")
        for text, name in WRONG_TYPES.items()
    ),
    *(
        mistrusted(wrapped(text), f"acl.hosts is {name}, not an object")
        for text, name in WRONG_TYPES.items()
        if name != "null"  # that is no hosts
    ),
    mistrusted(b'{"machines":[],"hosts":%b}' % POISON_HOSTS, "acl is missing"),
    mistrusted(b"{}", "acl is missing"),
    mistrusted(b'{"acl":%b,"acl":null}' % POISON_DATA, "acl is null, not an object"),
]

TEXTS = [
    mistrusted(POISON_DATA[:-1], "it is not JSON: "),
    mistrusted(POISON_DATA[:-10], "it is not JSON: line .*: the text has no closing quote"),
    mistrusted(POISON_DATA + b"}", "it is not JSON: line .*: there is something after the end"),
    mistrusted(
        POISON_DATA + POISON_DATA, "it is not JSON: line .*: there is something after the end"
    ),
    mistrusted(b"// comment" + POISON_DATA, "it is not JSON: line .*: a value is missing"),
    mistrusted(b"<html>", "it is not JSON: line .*: a value is missing"),
    mistrusted(b" ", "it is empty|it is not JSON: .*: a value is missing"),
    mistrusted(POISON_DATA.replace(b"poison", b"poi\xffson"), "it is not UTF-8: invalid start"),
    mistrusted(POISON_DATA.replace(b"poison", b"poi\xc3son"), "it is not UTF-8: invalid contin"),
    mistrusted(POISON_DATA + b"\xe2\x82", "it is not UTF-8: unexpected end of data"),
    mistrusted(POISON_DATA.decode().encode("utf-16"), "it is not UTF-8: "),
    mistrusted(b"\xef\xbb\xbf" + POISON_DATA, "it is not JSON: "),
    mistrusted(b"\0" + POISON_DATA, "it is not JSON: "),
    mistrusted(b"[" * DEPTH, "it is not usable JSON: it is nested too deep"),
    mistrusted(
        POISON_DATA.replace(b"[]", b"[" * DEPTH + b"]" * DEPTH),
        "it is not usable JSON: it is nested too deep",
    ),
    mistrusted(
        b'{"acl":' * DEPTH + POISON_DATA + b"}" * DEPTH,
        "it is not usable JSON: it is nested too deep",
    ),
]

REPORTS = [
    BadEvent(
        "error",
        event("error", {"event": "machines-snapshot", "message": "Tailscale API error: 500"}),
        f"{REPORT}Tailscale API error: 500$",
    ),
    BadEvent("error that is a snapshot", event("error", json.loads(POISON_DATA)), REPORT),
    BadEvent("error in text", b"event: error\ndata: out of order\n\n", f"{REPORT}out of order$"),
    BadEvent("error not in UTF-8", b"event: error\ndata: \xff\xfe\n\n", REPORT),
    BadEvent("error nested deep", b"event: error\ndata: " + b"[" * DEPTH + b"\n\n", REPORT),
    BadEvent("long error", event("error", {"message": "x" * 10**6}), rf"{REPORT}x{{397}}\.\.\.$"),
    BadEvent("error of lines", event("error", {"message": "a\nb\x1b[31m"}), rf"{REPORT}a\\nb\\x1b"),
]

BAD_EVENTS = [*SHAPES, *TEXTS, *REPORTS]

BAD_VALUES: list[object] = [
    *(None, 0, 10**30, ["127.0.0.1"], {"address": "127.0.0.1"}, [[[[]]]], "", "localhost"),
    *("127.0.0.1:80", "10.0.0.0/8", "fe80::1%eth0", "127.0.0.1\n", "{{ env }}", "\ud800"),
]
"""What is no address: the entry that has it is refused, and no other."""

MORE_BAD_VALUES: list[object] = [
    *(True, -1, 1.5, [], {}, " ", "300.0.0.1", "0.0.0.0", "\x00", "`", "x" * 100_000),
]
"""The like, for full campaigns."""


def whole(change: Callable[[bytes], bytes], head: bytes = STREAM) -> Callable[[bytes], Script]:
    """Return what plays an event, changed, in one piece."""
    return lambda sent: sending(head + change(sent), then=saying_nothing)


def pieces(cut: Callable[[bytes], list[bytes]], head: bytes = STREAM) -> Callable[[bytes], Script]:
    """Return what plays an event in pieces."""
    return lambda sent: sending(head, *cut(sent), then=saying_nothing)


def bytes_of(sent: bytes) -> list[bytes]:
    """Cut an event into its bytes."""
    return [sent[place : place + 1] for place in range(len(sent))]


def compressed(wbits: int) -> Callable[[bytes], list[bytes]]:
    """Return what compresses an event so that it can be read before the end of the stream."""

    def compress(sent: bytes) -> list[bytes]:
        press = zlib.compressobj(wbits=wbits)
        return [press.compress(sent) + press.flush(zlib.Z_SYNC_FLUSH)]

    return compress


def encoded(name: bytes) -> bytes:
    """Return the head of a stream with a content encoding."""
    return STREAM[:-2] + b"Content-Encoding: %b\r\n\r\n" % name


def data_changed(change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Return what changes the JSON text of an event."""

    def changed(sent: bytes) -> bytes:
        return framed(change(sent.split(b"\n")[1].removeprefix(b"data: ").decode()).encode())

    return changed


def over_lines(sent: bytes) -> bytes:
    """Set the JSON of an event over several data lines."""
    text = json.dumps(json.loads(sent.split(b"\n")[1].removeprefix(b"data: ")), indent=2)
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: machines-snapshot\n{lines}\n".encode()


def repeated_keys(text: str) -> str:
    """Let every key of importance come twice: the last one counts."""
    text = text.replace('"hosts":{', '"hosts":null,"hosts":{"laptop":1,"laptop":"100.64.0.9",')
    return text.replace('"acl":', '"acl":[],"acl":')


MEDIA = b"text/event-stream"
CHUNKED = [
    Form("chunked", pieces(lambda sent: [chunk(sent)], CHUNKED_STREAM)),
    Form("a chunk a byte", pieces(lambda sent: list(map(chunk, bytes_of(sent))), CHUNKED_STREAM)),
    Form("chunks byte by byte", pieces(lambda sent: bytes_of(chunk(sent)), CHUNKED_STREAM)),
    Form(
        "chunk extensions",
        whole(lambda sent: chunk(sent).replace(b"\r\n", b';name="value"\r\n', 1), CHUNKED_STREAM),
    ),
]

HEADS = [
    Form("until closed", whole(bytes)),
    Form("until closed, byte by byte", pieces(bytes_of)),
    Form("gzip", pieces(compressed(31), encoded(b"gzip"))),
    Form("gzip byte by byte", pieces(lambda s: bytes_of(compressed(31)(s)[0]), encoded(b"gzip"))),
    Form("deflate", pieces(compressed(15), encoded(b"deflate"))),
    Form("charset", whole(bytes, STREAM.replace(MEDIA, MEDIA + b";charset=UTF-8"))),
    Form("type in capitals", whole(bytes, STREAM.replace(MEDIA, MEDIA.upper()))),
    Form("HTTP/1.0", whole(bytes, STREAM.replace(b"HTTP/1.1", b"HTTP/1.0"))),
    Form("100 Continue first", whole(bytes, b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM)),
]

LINES = [
    Form("byte order mark", whole(lambda sent: b"\xef\xbb\xbf" + sent)),
    Form("CRLF", whole(lambda sent: sent.replace(b"\n", b"\r\n"))),
    Form(
        "CRLF in pieces",
        pieces(lambda s: s.replace(b"\n", b"\r\n").replace(b"\r", b"\r\0").split(b"\0")),
    ),
    Form("CR", whole(lambda sent: sent.replace(b"\n", b"\r") + b": after\r")),
    Form("mixed line ends", whole(lambda sent: sent.replace(b"\n", b"\r", 1))),
    Form("comments", whole(lambda sent: b": one\n:\n\n:two\n" + sent.replace(b"\n", b"\n:x\n", 1))),
    Form("heartbeats", whole(lambda sent: b":\n\n" * 1000 + sent + b"\n" * 1000)),
    Form("retry", whole(lambda sent: b"retry: 100\n\n" + sent)),
    Form("retry of nonsense", whole(lambda sent: b"retry: soon\n\nretry: -1\n" + sent)),
    Form("several data lines", whole(over_lines)),
    Form("no space after the colon", whole(lambda sent: sent.replace(b": ", b":", 2))),
    Form("data first", whole(lambda s: b"\n".join([*s.split(b"\n")[1::-1], b"", b""]))),
    Form("unknown events", whole(lambda sent: event("dns-records", {"acl": 1}) * 100 + sent)),
    Form("event of no name", whole(lambda sent: b"data: %b\n\n" % POISON_DATA + sent)),
    Form("event name of other case", whole(lambda s: framed(POISON_DATA).replace(b"m", b"M") + s)),
    Form("unknown fields", whole(lambda sent: b"x: 1\ny\n: \n" + b"\xff\xfe: 1\n" + sent)),
    Form("name without data", whole(lambda sent: b"event: machines-snapshot\n\n" + sent)),
]

TEXT_FORMS = [
    Form("repeated keys", whole(data_changed(repeated_keys))),
    Form("all escaped", whole(data_changed(lambda text: text.replace("_", r"\u005f")))),
    Form("lone surrogate", whole(data_changed(lambda text: text.replace("[]", r'["\ud800"]')))),
    Form("no number", whole(data_changed(lambda text: text.replace("[]", "[NaN, 1e999]")))),
    Form("white space", whole(data_changed(lambda text: text.replace(",", " \t , ")))),
    Form("machines of no kind", whole(data_changed(lambda text: text.replace("[]", "null")))),
]

FORMS = [*CHUNKED, *HEADS, *LINES, *TEXT_FORMS]
