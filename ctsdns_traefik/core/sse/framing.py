"""Pieces of bytes to whole blocks of Server-Sent Events, in time linear in their size.

A stream is blocks of lines, each ended by a blank line; lines end with LF, CRLF or CR, and a byte
order mark may come first (WHATWG HTML, section 9.2.5, "Parsing an event stream"):

    event: machines-snapshot
    data: {"machines":[...],"acl":{...}}
    id: 1

What a stream leaves behind its last blank line is cut off, and is never passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class OversizedEvent(Exception):
    """An event is larger than it may be."""


def read_blocks(pieces: Iterable[bytes], largest: int) -> Iterator[bytes]:
    """Yield each block as soon as it is complete, blank line included, its lines ended by LF.

    Raise :class:`OversizedEvent` once there are more than ``largest`` bytes, line ends included,
    before a blank line.
    """
    buffer = bytearray()
    mark = _BYTE_ORDER_MARK
    for piece in _with_line_feeds(pieces):
        searched = max(0, len(buffer) - 1)
        buffer += piece
        # Most pieces of a large event are without, and one byte is found far faster than two.
        while b"\n" in piece and (end := buffer.find(b"\n\n", searched)) >= 0:
            _require_at_most(largest, end + 1)
            yield _taken(buffer, end + 2).removeprefix(mark)
            mark, searched = b"", 0
        _require_at_most(largest, len(buffer))


def _taken(buffer: bytearray, size: int) -> bytes:
    """Take bytes off the front, so that nobody holds them but who asked for them."""
    with memoryview(buffer) as view:
        front = bytes(view[:size])
    del buffer[:size]
    return front


def _require_at_most(largest: int, size: int) -> None:
    if size > largest:
        raise OversizedEvent(f"an event is larger than {largest:,} bytes")


def _with_line_feeds(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Turn every line end into LF, also a CRLF that two pieces share."""
    after_return = False
    for piece in pieces:
        if not piece:
            continue
        rest = piece[1:] if after_return and piece.startswith(b"\n") else piece
        after_return = piece.endswith(b"\r")
        yield rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in rest else rest
