"""Pieces of bytes to whole blocks, however the stream is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.sse import framing
from ctsdns_traefik.core.sse.framing import OversizedEvent, read_blocks

LARGEST = 2**20
MARK = b"\xef\xbb\xbf"


def blocks_of(*pieces: bytes) -> list[bytes]:
    """Return the blocks of a stream that comes in these pieces."""
    return [bytes(block) for block in read_blocks(pieces, LARGEST)]


def single_bytes(stream: bytes) -> list[bytes]:
    """Cut a stream into single bytes."""
    return [stream[at : at + 1] for at in range(len(stream))]


def cut(stream: bytes, ends: list[int]) -> list[bytes]:
    """Cut a stream at places that may repeat or lie beyond its end."""
    places = [0, *sorted(ends), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(
    "pieces_of", [pytest.param(lambda whole: [whole], id="whole"), single_bytes]
)
@pytest.mark.parametrize(
    ("stream", "blocks"),
    [
        pytest.param(b"data: a\n\n", [b"data: a\n\n"], id="lf"),
        pytest.param(b"data: a\r\n\r\n", [b"data: a\n\n"], id="crlf"),
        pytest.param(b"data: a\r\r", [b"data: a\n\n"], id="cr"),
        pytest.param(b"data: a\n\r\n", [b"data: a\n\n"], id="lf-and-crlf"),
        pytest.param(b"data: a\r\n\r", [b"data: a\n\n"], id="crlf-and-cr"),
        pytest.param(b"data: a\r\n\n", [b"data: a\n\n"], id="crlf-and-lf"),
        pytest.param(b"data: a\n\r", [b"data: a\n\n"], id="lf-and-cr"),
        pytest.param(b"event: e\rdata: a\r\r", [b"event: e\ndata: a\n\n"], id="two-lines"),
        pytest.param(b"a\n\nb\n\n", [b"a\n\n", b"b\n\n"], id="two-blocks"),
        pytest.param(b"a\r\n\r\nb\r\rc\n\n", [b"a\n\n", b"b\n\n", b"c\n\n"], id="mixed-line-ends"),
        pytest.param(b"a\n\n\nb\n\n", [b"a\n\n", b"\nb\n\n"], id="blank-line-between"),
        pytest.param(b"a\n\n\n\nb\n\n", [b"a\n\n", b"\n\n", b"b\n\n"], id="blank-block-between"),
        pytest.param(b"\na\n\n", [b"\na\n\n"], id="blank-line-first"),
        pytest.param(b"a\n\nb", [b"a\n\n"], id="cut-off-in-a-line"),
        pytest.param(b"a\n\nb\n", [b"a\n\n"], id="cut-off-before-the-blank-line"),
        pytest.param(b"a\n\nb\r\n", [b"a\n\n"], id="cut-off-after-crlf"),
        pytest.param(b"a\r\n", [], id="one-line"),
        pytest.param(b"", [], id="nothing"),
        pytest.param(MARK + b"a\n\n", [b"a\n\n"], id="byte-order-mark"),
        pytest.param(
            MARK + b"a\n\n" + MARK + b"b\n\n", [b"a\n\n", MARK + b"b\n\n"], id="two-marks"
        ),
        pytest.param(MARK[:2] + b"a\n\n", [MARK[:2] + b"a\n\n"], id="part-of-a-mark"),
        pytest.param(b"\xff\x00\xe2\x80\xa8\n\n", [b"\xff\x00\xe2\x80\xa8\n\n"], id="any-byte"),
    ],
)
def test_blocks_of_a_stream(
    stream: bytes, blocks: list[bytes], pieces_of: Callable[[bytes], list[bytes]]
) -> None:
    """A block ends with a blank line, and what comes after the last one is cut off."""
    assert blocks_of(*pieces_of(stream)) == blocks


@pytest.mark.parametrize(
    ("pieces", "blocks"),
    [
        pytest.param([b"a\r", b"\n\r", b"\nb\n\n"], [b"a\n\n", b"b\n\n"], id="crlf-over-pieces"),
        pytest.param([b"a\r", b"", b"\nb\n\n"], [b"a\nb\n\n"], id="empty-piece-in-crlf"),
        pytest.param([b"a\n", b"\n"], [b"a\n\n"], id="blank-line-over-pieces"),
        pytest.param([MARK[:1], MARK[1:2], MARK[2:], b"a\n\n"], [b"a\n\n"], id="mark-over-pieces"),
        pytest.param([b"", b"a\n\n", b""], [b"a\n\n"], id="empty-pieces"),
    ],
)
def test_blocks_of_pieces(pieces: list[bytes], blocks: list[bytes]) -> None:
    """Pieces may end anywhere, in a line end and in the byte order mark too."""
    assert blocks_of(*pieces) == blocks


STREAMS = st.lists(
    st.sampled_from([b"data: a", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", MARK, b"\xff", b"x"]),
    max_size=30,
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 100), max_size=20))
def test_pieces_make_no_difference(stream: bytes, ends: list[int]) -> None:
    """Any cut of a stream gives the blocks of the whole."""
    assert blocks_of(*cut(stream, ends)) == blocks_of(stream)


@given(STREAMS)
def test_blocks_join_to_the_stream(stream: bytes) -> None:
    """Blocks are the stream with its line ends as LF, up to its last blank line."""
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix(MARK)
    blocks = blocks_of(stream)
    rest = text.removeprefix(b"".join(blocks))
    assert b"".join(blocks) + rest == text
    assert b"\n\n" not in rest
    assert {block.find(b"\n\n") - len(block) for block in blocks} <= {-2}


def test_block_comes_as_soon_as_it_is_complete() -> None:
    """A block is there before the next piece is asked for."""
    asked = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"a\n\nb", b"\r\n\r", b"\nc"):
            asked.append(piece)
            yield piece

    blocks = read_blocks(pieces(), LARGEST)
    assert [(bytes(next(blocks)), len(asked)) for _ in range(2)] == [(b"a\n\n", 1), (b"b\n\n", 2)]


def test_captured_chunks(data: Path) -> None:
    """The chunks that a worker was seen to send give the blocks of the stream in one piece."""
    _, _, body = (data / "worker-stream-chunked.txt").read_bytes().partition(b"\r\n\r\n")
    chunks = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    names = [block.partition(b"\n")[0] for block in blocks_of(*chunks)]
    assert names == [b"event: connected", *[b"event: machines-snapshot"] * 4]
    assert blocks_of(b"".join(chunks)) == blocks_of(*chunks)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"x" * 60, b"x" * 60], id="in-two-pieces"),
        pytest.param([b"x"] * 120, id="in-single-bytes"),
        pytest.param([b"a\n\n" + b"x" * 120], id="after-a-block"),
        pytest.param([b"x\n" * 60], id="in-many-lines"),
        pytest.param([b"x" * 120 + b"\n\n"], id="complete-in-one-piece"),
    ],
)
def test_oversized_event_is_refused(pieces: list[bytes]) -> None:
    """More bytes than allowed without a blank line end the stream, however they come."""
    with pytest.raises(OversizedEvent, match="larger than 100 bytes"):
        list(read_blocks(pieces, 100))


def test_many_small_events_are_not_oversized() -> None:
    """What counts is the size of an event, not of a piece or of the stream."""
    assert list(read_blocks([b"a\n\n" * 60] * 3, 100)) == [b"a\n\n"] * 180


class CountingBuffer(bytearray):
    """A buffer that counts the bytes in which it searches."""

    searched = 0

    def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
        """Search as a bytearray does."""
        found = super().find(what, start)
        CountingBuffer.searched += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"x"] * 20_000 + [b"\n\n"], id="one-event-in-single-bytes"),
        pytest.param([b"x" * 100] * 2000 + [b"\n\n"], id="one-event-in-small-pieces"),
        pytest.param([b"x\n\n" * 7000], id="many-events-in-one-piece"),
    ],
)
def test_work_is_linear(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """No byte is searched more than a few times, however many pieces or events there are."""
    monkeypatch.setattr(CountingBuffer, "searched", 0)
    monkeypatch.setattr(framing, "bytearray", CountingBuffer, raising=False)
    blocks = list(read_blocks(pieces, LARGEST))
    assert b"".join(blocks) == b"".join(pieces)
    assert 0 < CountingBuffer.searched <= 3 * len(b"".join(pieces))
