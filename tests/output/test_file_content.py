"""Comparing a file with a known content: no change is missed, and one that rests is not read."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from ctsdns_traefik.output import file_content
from ctsdns_traefik.output.file_content import FileContent, Signature

OLD, NEW = b"old\n", b"new\n"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with the old content."""
    path = tmp_path / "dynamic.yml"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record how many bytes are read each time."""
    sizes: list[int] = []

    class Recording(FileIO):
        def readall(self) -> bytes:
            content = super().readall()
            sizes.append(len(content))
            return content

    monkeypatch.setattr(file_content, "FileIO", Recording)
    return sizes


def settled(path: Path, clock: Clock) -> FileContent:
    """Return what knows the content of a file without reading it again."""
    content = FileContent(path, clock)
    content.notice_write()
    clock.now += 10.0
    assert content.is_equal(OLD)
    return content


def test_file_at_rest_is_read_once(path: Path, clock: Clock, reads: list[int]) -> None:
    """Once the content was read a while after the write, the file's times and size suffice."""
    content = FileContent(path, clock)
    content.notice_write()
    assert [content.is_equal(OLD) for _ in range(3)] == [True] * 3
    assert len(reads) == 3  # a change within the same tick would leave the same times
    clock.now += 10.0
    assert [content.is_equal(OLD) for _ in range(3)] == [True] * 3
    assert len(reads) == 4


def edit_in_place(path: Path) -> None:
    """Write as many bytes, and set the time of the last change back."""
    before = path.stat()
    path.write_bytes(NEW)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Move another file over it."""
    other = path.with_name("other")
    other.write_bytes(NEW)
    other.rename(path)


def become_a_pipe(path: Path) -> None:
    """Put a pipe in its place, which nothing writes to."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edit_in_place, id="edited-in-place-and-time-set-back"),
        pytest.param(replace, id="replaced"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: path.unlink(), id="removed"),
        pytest.param(become_a_pipe, id="became-a-pipe"),
    ],
)
def test_change_of_a_file_at_rest_is_found(
    path: Path, clock: Clock, change: Callable[[Path], object]
) -> None:
    """No change of a file that is known passes for the content before it."""
    content = settled(path, clock)
    change(path)
    assert not content.is_equal(OLD)


def test_another_content_is_compared(path: Path, clock: Clock) -> None:
    """What is known of a file's content is no answer for another content."""
    content = settled(path, clock)
    assert not content.is_equal(NEW)
    assert content.is_equal(OLD)


@pytest.mark.parametrize(
    ("ctime", "waited"),
    [
        pytest.param(1_700_000_000_123_456_789, 0.05, id="within-a-tick"),
        pytest.param(1_700_000_000_000_000_000, 2.0, id="within-a-coarse-tick"),
    ],
)
def test_change_within_a_tick_of_the_clock_is_found(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, ctime: int, waited: float
) -> None:
    """A second change that leaves the same times and size is found by reading."""
    same = Signature(1, 2, len(OLD), ctime, ctime)
    monkeypatch.setattr(file_content, "_signature_of", lambda _: same)
    content = FileContent(path, clock)
    content.notice_write()
    clock.now += waited
    assert content.is_equal(OLD)
    path.write_bytes(NEW)
    assert not content.is_equal(OLD)
