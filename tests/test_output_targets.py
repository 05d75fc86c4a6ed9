"""Paths that are not simply a file: links, folders, pipes, nothing at all; and what is left."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output import (
    read_if_there,
    remove_leftovers,
    require_writable,
    write_if_changed,
)
from ctsdns_traefik.target import Outcome, Written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a folder of its own."""
    return tmp_path / "dynamic.yml"


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_link_stays_and_its_target_is_replaced(path: Path, *, relative: bool) -> None:
    """A symbolic link, through another too, is still one afterwards, and leads to the new file."""
    target = path.parent / "elsewhere" / "real.yml"
    target.parent.mkdir()
    target.write_bytes(b"old\n")
    target.chmod(0o640)
    inode = target.stat().st_ino
    between = path.with_name("between.yml")
    between.symlink_to("elsewhere/real.yml" if relative else target)
    path.symlink_to(between.name if relative else between)
    assert write_if_changed(path, b"new\n") == Written(Outcome.REPLACED)
    assert (path.is_symlink(), between.is_symlink(), target.is_symlink()) == (True, True, False)
    assert (path.read_bytes(), target.stat().st_ino != inode) == (b"new\n", True)
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(target.parent.iterdir()) == [target]


def test_dangling_link_gets_its_target(path: Path) -> None:
    """A link to a file that does not exist makes that file."""
    target = path.with_name("real.yml")
    path.symlink_to(target)
    assert read_if_there(path) is None
    require_writable(path)
    assert write_if_changed(path, b"new\n") == Written(Outcome.CREATED)
    assert (path.is_symlink(), target.read_bytes()) == (True, b"new\n")


def test_link_in_the_way_to_the_file(path: Path) -> None:
    """A folder may be reached through a link."""
    (path.parent / "real").mkdir()
    (path.parent / "link").symlink_to("real")
    write_if_changed(path.parent / "link" / "dynamic.yml", b"new\n")
    assert (path.parent / "real" / "dynamic.yml").read_bytes() == b"new\n"
    assert (path.parent / "link").is_symlink()


def make_loop(path: Path) -> Path:
    """Make two links that lead to each other."""
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)
    return path


def make_folder(path: Path) -> Path:
    """Make a folder where the file is to be."""
    path.mkdir()
    return path


def make_pipe(path: Path) -> Path:
    """Make a named pipe that nobody reads."""
    os.mkfifo(path)
    return path


def make_file_above(path: Path) -> Path:
    """Make a file where a folder should be."""
    path.write_bytes(b"a file\n")
    return path / "dynamic.yml"


def link_to_nowhere(path: Path) -> Path:
    """Make a link into a folder that does not exist."""
    path.symlink_to("no-such-folder/dynamic.yml")
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(make_folder, "it is a directory", id="directory"),
        pytest.param(make_pipe, "it is not a regular file", id="named-pipe"),
        pytest.param(lambda _: Path(os.devnull), "it is not a regular file", id="device"),
        pytest.param(make_loop, "too many levels of symbolic links", id="loop-of-links"),
        pytest.param(make_file_above, "not a directory", id="through-a-file"),
        pytest.param(
            lambda path: path / "dynamic.yml", "no such file or directory", id="missing-folder"
        ),
        pytest.param(link_to_nowhere, "no such file or directory", id="link-to-missing-folder"),
    ],
)
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda path: write_if_changed(path, b"new\n"), id="write"),
        pytest.param(require_writable, id="require-writable"),
    ],
)
def test_target_that_cannot_be_written(
    path: Path, make: Callable[[Path], Path], reason: str, act: Callable[[Path], object]
) -> None:
    """Such a target is refused at once, with its path and the reason, and nothing is made."""
    target = make(path)
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(OutputError) as caught:
        act(target)
    assert str(caught.value) == f"cannot write {target}: {reason}"
    assert sorted(path.parent.rglob("*")) == before


def test_path_is_shown_on_one_line(path: Path) -> None:
    """A path with control characters does not break the line of the error."""
    with pytest.raises(OutputError) as caught:
        write_if_changed(path.parent / "a\nb\x1b[31m" / "dynamic.yml", b"new\n")
    assert str(caught.value).isprintable()


def test_leftovers_of_killed_writers_are_removed(path: Path) -> None:
    """Temporary files beside the file go if nobody holds them; everything else stays."""
    gone = [path.with_name(f".dynamic.yml.{name}.tmp") for name in ("abc", "x_1")]
    stays = [
        path,
        *map(
            path.with_name,
            (
                ".dynamic.yml.swp",
                ".dynamic.yml.tmp.bak",
                ".other.yml.abc.tmp",
                "dynamic.yml.abc.tmp",
                ".dynamicXyml.abc.tmp",
            ),
        ),
    ]
    held = path.with_name(".dynamic.yml.held.tmp")
    for file in (*gone, *stays, held):
        file.write_bytes(b"")
    with held.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        remove_leftovers(path)
        assert sorted(path.parent.iterdir()) == sorted([*stays, held])
    remove_leftovers(path)
    assert sorted(path.parent.iterdir()) == sorted(stays)


def test_leftovers_stand_beside_the_target_of_a_link(path: Path) -> None:
    """With a link it is the target's folder, and the target's name, that is looked at."""
    target = path.parent / "elsewhere" / "real.yml"
    target.parent.mkdir()
    path.symlink_to(target)
    leftover = target.with_name(".real.yml.abc.tmp")
    leftover.write_bytes(b"")
    remove_leftovers(path)
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["[ab]*.yml", "?.yml", "dynamic[!x].yml"])
def test_name_with_the_letters_of_a_pattern(path: Path, name: str) -> None:
    """A file's name is never taken for a pattern that others match."""
    path = path.with_name(name)
    own, other = path.with_name(f".{name}.x.tmp"), path.with_name(".a.yml.x.tmp")
    for file in (own, other):
        file.write_bytes(b"")
    remove_leftovers(path)
    assert list(path.parent.iterdir()) == [other]


def test_leftovers_in_a_missing_folder_are_none(path: Path) -> None:
    """Where there is no folder there is nothing to remove, and no error."""
    remove_leftovers(path / "below" / "dynamic.yml")
    assert not path.exists()


def test_temporary_file_is_recognised_as_a_leftover(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a write makes beside the file is what a later start would remove; Traefik loads none."""
    seen: set[Path] = set()
    flush = os.fsync

    def look_and_flush(descriptor: int) -> None:
        seen.update(path.parent.iterdir())
        remove_leftovers(path)  # it is locked, and has to survive this
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", look_and_flush)
    write_if_changed(path, b"new\n")
    (temporary,) = seen - {path}
    assert re.fullmatch(r"\.dynamic\.yml\..+\.tmp", temporary.name)
    assert path.read_bytes() == b"new\n"
