"""The relay: the policy's service entries as an event stream, byte for byte as the worker's.

A follower cannot delay another: what it has not read yet stays in its own buffer, the events
themselves are shared by all, and one that has fallen behind gets the last event alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from tornado.iostream import IOStream, StreamClosedError

from ctsdns_traefik.core.policy import HostsMap

COMMENT_INTERVAL = 15.0
"""Seconds between comments, so that silence means that the hub is gone."""

STALLED = 60.0
"""Seconds in which a follower has to read a piece of what was sent to it."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\n\r\n"
)
_UNCHUNKED_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Connection: close\r\n\r\n"
)
_CONNECTED = b'event: connected\ndata: {"message":"SSE stream established"}\nid: '
_COMMENT = b":\n\n"
_JOINED = 4 * 1024
"""Bytes up to which an event is copied for each follower, so that it is one packet."""

_PIECE = 64 * 1024
"""Bytes of an event that one follower gets before the next one does."""


def snapshot_event(hosts: HostsMap) -> bytes:
    """Frame the service entries of a hosts map as a snapshot, all but the number at its end."""
    entries = {name: value for name, value in hosts.items() if name.startswith("_")}
    try:
        data = _to_json(entries)
    except ValueError:  # a number that is too large for JSON; such an entry is refused anyway
        texts = {name: value if isinstance(value, str) else None for name, value in entries.items()}
        data = _to_json(texts)
    return b'event: machines-snapshot\ndata: {"machines":[],"acl":{"hosts":%b}}\nid: ' % data


def error_event(message: str) -> bytes:
    """Frame why there is no snapshot as the worker does, all but the number at its end."""
    data = _to_json({"event": "machines-snapshot", "message": message})
    return b"event: error\ndata: %b\nid: " % data


def _to_json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


class _Follower:
    """One connection of the relay, and the number of its next event."""

    def __init__(
        self,
        stream: IOStream,
        is_allowed: Callable[[], bool],
        *,
        chunked: bool,
        clock: Callable[[], float],
    ) -> None:
        self.is_allowed = is_allowed
        self._stream = stream
        self._chunked = chunked
        self._clock = clock
        self._number = 0
        self._behind: bytes | None = None
        self._pieces: Iterator[bytes | memoryview] = iter(())
        self._sending_since: float | None = None

    def send(self, event: bytes) -> None:
        """Send an event, or have it wait, in place of any other, until the last one is read."""
        if self._sending_since is not None:
            self._behind = event
            return
        tail = b"%d\n\n" % self._number
        self._number += 1
        self._write(event, tail)

    def comment(self) -> None:
        """Send a comment, unless something is on its way."""
        if self._sending_since is None:
            self._write(_COMMENT, b"")

    def is_stalled(self, now: float) -> bool:
        """Return whether what was sent has not been read for too long."""
        return self._sending_since is not None and now - self._sending_since > STALLED

    def close(self) -> None:
        """Close the connection at once."""
        self._stream.close()

    def _write(self, event: bytes, tail: bytes) -> None:
        head, end = b"", b""
        if self._chunked:
            head, end = b"%x\r\n" % (len(event) + len(tail)), b"\r\n"
        if len(event) <= _JOINED:
            self._pieces = iter((head + event + tail + end,))
        else:
            self._pieces = chain((head,), _pieces_of(event), (tail + end,))
        self._write_piece()

    def _write_piece(self) -> None:
        """Write the next piece once the last one is out, so that followers take turns."""
        piece = next(self._pieces, None)
        if piece is not None:
            self._sending_since = self._clock()
            with suppress(StreamClosedError):
                self._stream.write(piece).add_done_callback(self._sent)
            return
        self._sending_since = None
        behind, self._behind = self._behind, None
        if behind is not None:
            self.send(behind)

    def _sent(self, written: Any) -> None:
        if not written.cancelled() and written.exception() is None:  # it is not closed
            self._write_piece()


def _pieces_of(event: bytes) -> Iterator[memoryview]:
    """Yield an event in pieces, which all followers share."""
    for at in range(0, len(event), _PIECE):
        yield memoryview(event)[at : at + _PIECE]


class Relay:
    """Sends each accepted policy to all followers; for the server's thread alone.

    ``failure`` returns why the last policy is too old to be repeated, or an empty text.
    """

    def __init__(self, clock: Callable[[], float], failure: Callable[[], str]) -> None:
        self._clock = clock
        self._failure = failure
        self._followers: set[_Follower] = set()
        self._event: bytes | None = None

    def __len__(self) -> int:
        return len(self._followers)

    def change(self, hosts: HostsMap) -> bool:
        """Send a policy to all followers if it is another than before; return whether it is."""
        event = snapshot_event(hosts)
        if event == self._event:
            return False
        self._event = event
        self._send(event)
        return True

    def follow(self, stream: IOStream, is_allowed: Callable[[], bool], *, chunked: bool) -> None:
        """Take a connection over from HTTP, and send it what there is, for as long as it may."""
        follower = _Follower(stream, is_allowed, chunked=chunked, clock=self._clock)
        self._followers.add(follower)
        stream.set_close_callback(partial(self._followers.discard, follower))
        stream.set_nodelay(True)
        stream.write(_HEAD if chunked else _UNCHUNKED_HEAD)
        follower.send(_CONNECTED)
        follower.send(self._present())

    def repeat(self) -> None:
        """Send the present policy again, or why it is too old for that."""
        failure = self._failure()
        self._send(error_event(failure) if failure else self._present())

    def keep_alive(self) -> None:
        """Send comments, and close connections that are not read, or whose token is gone."""
        now = self._clock()
        for follower in tuple(self._followers):
            if follower.is_stalled(now) or not follower.is_allowed():
                follower.close()
            else:
                follower.comment()

    def close(self) -> None:
        """Close all connections."""
        for follower in tuple(self._followers):
            follower.close()

    def _present(self) -> bytes:
        return self._event or error_event(self._failure() or "this hub has accepted none yet")

    def _send(self, event: bytes) -> None:
        for follower in tuple(self._followers):
            follower.send(event)
