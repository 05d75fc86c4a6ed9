"""Split a byte stream into whole blocks of Server-Sent Events, in time linear in their size.

A stream is blocks of lines, each ended by a blank line; lines end with LF, CRLF or CR, and a byte
order mark may come first (WHATWG HTML, section 9.2.5, "Parsing an event stream"):

    event: machines-snapshot
    data: {"machines":[...],"acl":{...}}
    id: 1

An event that the end of the stream cuts off is never yielded. ``sseclient`` alone would yield it,
reads 128 bytes at a time and takes quadratic time for a large event. Bytes are not decoded here:
the snapshot reader rejects bad UTF-8 itself, for a file as for an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class OversizedEvent(Exception):
    """Reject an event that is larger than allowed."""


def read_blocks(pieces: Iterable[bytes], largest: int) -> Iterator[bytearray]:
    """Yield each block, with its blank line, as soon as it is complete; line ends become LF.

    Raise :class:`OversizedEvent` after more than ``largest`` bytes without a blank line.
    """
    buffer = bytearray()
    mark = _BYTE_ORDER_MARK
    for piece in _with_line_feeds(pieces):
        searched = max(0, len(buffer) - 1)
        buffer += piece
        # Most pieces of a large event have no LF, and one byte is found far faster than two.
        while b"\n" in piece and (end := buffer.find(b"\n\n", searched)) >= 0:
            _require_at_most(largest, end + 1)
            taken = [buffer]
            buffer = _split(buffer, end + 2)
            if mark and taken[0].startswith(mark):
                del taken[0][: len(mark)]
            yield taken.pop()  # a variable would keep megabytes while they are worked on
            mark, searched = b"", 0
        _require_at_most(largest, len(buffer))


def _split(buffer: bytearray, size: int) -> bytearray:
    rest = buffer[size:]
    del buffer[size:]
    return rest


def _require_at_most(largest: int, size: int) -> None:
    if size > largest:
        raise OversizedEvent(f"an event is larger than {largest:,} bytes")


def _with_line_feeds(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Convert every line end to LF, also a CRLF that is split between two pieces."""
    after_return = False
    for piece in pieces:
        if not piece:
            continue
        rest = piece[1:] if after_return and piece.startswith(b"\n") else piece
        after_return = piece.endswith(b"\r")
        yield rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in rest else rest
