"""A followed file: what counts as a change of it, and when."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ctsdns_traefik import followed_file
from ctsdns_traefik.followed_file import Content, FollowedFile

STEADY = 0.4
OLD, NEW = b"old", b"new"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Followed:
    """A file that is followed, and a clock."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.path = path
        path.write_bytes(OLD)
        self.file = FollowedFile(path, STEADY, clock=self.clock)
        assert self.settled() == Content(OLD)

    def settled(self) -> Content | None:
        """Return what is found at once or after a while."""
        first = self.file.read_change()
        self.clock.now += 1.1 * STEADY
        return first or self.file.read_change()


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    (tmp_path / "real").mkdir()
    return Followed(tmp_path / "real" / "policy.hujson")


def test_content_counts_once_it_stays(followed: Followed) -> None:
    """Content that changes between readings does not count, that of the last reading does, once."""
    for number in range(5):
        followed.path.write_bytes(NEW[:number])
        assert followed.file.read_change() is None
        followed.clock.now += 0.9 * STEADY
    followed.path.write_bytes(NEW)
    assert followed.settled() == Content(NEW)
    assert followed.settled() is None


def test_content_that_changes_back_is_no_change(followed: Followed) -> None:
    """What was there for a moment only is not reported, nor is what is written again unchanged."""
    followed.path.write_bytes(NEW)
    assert followed.file.read_change() is None
    followed.path.write_bytes(OLD)
    assert followed.settled() is None


def test_rename_over_it_with_the_same_times(followed: Followed) -> None:
    """Another file in its place counts, though size and time of change are the old ones."""
    long_ago = time.time() - 1000
    os.utime(followed.path, (long_ago, long_ago))
    assert followed.settled() is None
    other = followed.path.with_name("other")
    other.write_bytes(NEW)
    os.utime(other, (long_ago, long_ago))
    other.rename(followed.path)
    assert followed.settled() == Content(NEW)


def test_change_in_place_that_keeps_size_and_time(followed: Followed) -> None:
    """A change counts that left size and modification time as they were."""
    long_ago = time.time() - 1000
    os.utime(followed.path, (long_ago, long_ago))
    assert followed.settled() is None
    for content in (NEW, OLD, NEW):
        followed.path.write_bytes(content)
        os.utime(followed.path, (long_ago, long_ago))
        assert followed.settled() == Content(content)


def test_changes_so_soon_after_each_other_that_their_times_are_the_same(followed: Followed) -> None:
    """The later of two changes within one tick of the file system's clock counts."""
    for number in range(20):
        followed.path.write_bytes(b"%03d" % number)
        followed.file.read_change()
        followed.path.write_bytes(b"%03d" % (number + 500))
        assert followed.settled() == Content(b"%03d" % (number + 500))


def test_content_is_read_only_when_it_may_have_changed(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was not touched for a while costs no reading, however often it is asked for."""
    long_ago = time.time() - 1000
    os.utime(followed.path, (long_ago, long_ago))
    assert followed.settled() is None
    monkeypatch.setattr(followed_file, "Content", lambda *_: pytest.fail("it was read"))
    for _ in range(10):
        assert followed.settled() is None
    os.utime(followed.path)
    with pytest.raises(pytest.fail.Exception, match="it was read"):
        followed.settled()


def test_links_are_followed(tmp_path: Path) -> None:
    """A change below a link counts, and so does a link that leads to another file or folder."""
    for name, content in (("one", OLD), ("two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy").write_bytes(content)
    data, link = tmp_path / "..data", tmp_path / "policy"
    data.symlink_to("one")
    link.symlink_to("..data/policy")
    clock = Clock()
    file = FollowedFile(link, STEADY, known=OLD, clock=clock)

    def settled() -> Content | None:
        assert file.read_change() is None
        clock.now += 1.1 * STEADY
        return file.read_change()

    swapped = tmp_path / "..data_tmp"
    swapped.symlink_to("two")
    swapped.rename(data)  # as Kubernetes does
    assert settled() == Content(NEW)
    (tmp_path / "two" / "policy").write_bytes(b"third")
    assert settled() == Content(b"third")


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ("nothing", "no such file or directory"),
        ("directory", "is a directory"),
        ("pipe", "it is not a regular file"),
        ("loop", "too many levels of symbolic links"),
        ("large", "it is larger than 64 MiB"),
    ],
)
def test_file_that_cannot_be_read(followed: Followed, there: str, reason: str) -> None:
    """What is no file is reported once, with its path and why, and its return is a change."""
    for _ in range(2):
        followed.path.unlink()
        if there == "directory":
            followed.path.mkdir()
        elif there == "pipe":
            os.mkfifo(followed.path)
        elif there == "loop":
            followed.path.symlink_to(followed.path)
        elif there == "large":
            followed.path.touch()
            os.truncate(followed.path, (64 << 20) + 1)
        open_before = len([*Path("/dev/fd").iterdir()])
        expected = Content(None, reason)
        assert followed.settled() == expected
        assert followed.settled() is None
        assert len([*Path("/dev/fd").iterdir()]) == open_before
        followed.path.rmdir() if there == "directory" else followed.path.unlink(missing_ok=True)
        followed.path.write_bytes(OLD)
        assert followed.settled() == Content(OLD)


def test_file_that_is_away_for_a_moment(followed: Followed) -> None:
    """A file that an editor moves away and writes anew is a change only if its content differs."""
    followed.path.unlink()
    assert followed.file.read_change() is None
    followed.path.write_bytes(OLD)
    assert followed.settled() is None
