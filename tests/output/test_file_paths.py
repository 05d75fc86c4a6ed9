"""Paths that are not simply a file: links, folders, pipes, nothing at all; and what is left."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.base import Outcome, WriteResult
from ctsdns_traefik.output.file import (
    read_if_there,
    remove_leftovers,
    require_writable,
    write_if_changed,
)


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
    assert write_if_changed(path, b"new\n") == WriteResult(Outcome.REPLACED)
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
    assert write_if_changed(path, b"new\n") == WriteResult(Outcome.CREATED)
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
    """Make a named pipe that nothing reads."""
    os.mkfifo(path)
    return path


def make_file_above(path: Path) -> Path:
    """Make a file where a folder should be."""
    path.write_bytes(b"a file\n")
    return path / "dynamic.yml"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(make_folder, "it is a directory", id="directory"),
        pytest.param(make_pipe, "it is not a regular file", id="named-pipe"),
        pytest.param(lambda _: Path(os.devnull), "it is not a regular file", id="device"),
        pytest.param(make_loop, "too many levels of symbolic links", id="loop-of-links"),
        pytest.param(make_file_above, "not a directory", id="through-a-file"),
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


@pytest.mark.parametrize("linked", [False, True], ids=["named", "through-a-link"])
@pytest.mark.parametrize(
    ("folder", "argument"),
    [("none/below", "{}/none/below"), ("no folder", "'{}/no folder'")],
    ids=["two-levels", "with-a-space"],
)
def test_missing_folder_is_named_with_the_command_that_makes_it(
    path: Path, folder: str, argument: str, *, linked: bool
) -> None:
    """The error says which folder is missing, and its command, run as it stands, makes the file."""
    missing = path.parent / folder
    target = missing / "dynamic.yml"
    if linked:
        path.symlink_to(target)
        target = path
    for act in (require_writable, lambda path: write_if_changed(path, b"new\n")):
        with pytest.raises(OutputError) as caught:
            act(target)
        reported, _, command = str(caught.value).partition("; make it: ")
        assert reported == f"cannot write {target}: there is no folder {missing}"
        assert command == f"mkdir -p {argument.format(path.parent)}"
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    assert write_if_changed(target, b"new\n").outcome is Outcome.CREATED


def test_path_is_shown_on_one_line(path: Path) -> None:
    """A path with control characters does not break the line of the error."""
    with pytest.raises(OutputError) as caught:
        write_if_changed(path.parent / "a\nb\x1b[31m" / "dynamic.yml", b"new\n")
    assert str(caught.value).isprintable()


def test_leftovers_of_killed_writers_are_removed(path: Path) -> None:
    """Temporary files beside the file go if no process holds them; everything else stays."""
    gone = [path.with_name(f".dynamic.yml.{name}.tmp") for name in ("abcdefgh", "x_1_2_3_")]
    stays = [
        path,
        *map(
            path.with_name,
            (
                ".dynamic.yml.swp",
                ".dynamic.yml.abcdefgh.tmp.bak",
                ".other.yml.abcdefgh.tmp",
                "dynamic.yml.abcdefgh.tmp",
                ".dynamicXyml.abcdefgh.tmp",
                ".dynamic.yml.tmp",
                ".dynamic.yml.notes.tmp",
                ".dynamic.yml.my-notes.tmp",
                ".dynamic.yml.ABCDEFGH.tmp",
                ".dynamic.yml.abcdefghi.tmp",
                ".dynamic.yml.abcdefgh.tmp\n",
            ),
        ),
    ]
    held = path.with_name(".dynamic.yml.held____.tmp")
    for file in (*gone, *stays, held):
        file.write_bytes(b"")
    with held.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        remove_leftovers(path)
        assert sorted(path.parent.iterdir()) == sorted([*stays, held])
    remove_leftovers(path)
    assert sorted(path.parent.iterdir()) == sorted(stays)


def test_only_regular_files_are_leftovers(path: Path) -> None:
    """A folder, a link and a pipe of such a name stay, and the pipe does not hold up the start."""
    folder, link, pipe = (path.with_name(f".dynamic.yml.{each * 8}.tmp") for each in "abc")
    folder.mkdir()
    path.write_bytes(b"{}\n")
    link.symlink_to(path.name)
    os.mkfifo(pipe)
    remove_leftovers(path)
    assert sorted(path.parent.iterdir()) == sorted([path, folder, link, pipe])


def test_leftovers_stand_beside_the_target_of_a_link(path: Path) -> None:
    """With a link it is the target's folder, and the target's name, that is looked at."""
    target = path.parent / "elsewhere" / "real.yml"
    target.parent.mkdir()
    path.symlink_to(target)
    leftover = target.with_name(".real.yml.abcdefgh.tmp")
    leftover.write_bytes(b"")
    remove_leftovers(path)
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["[ab]*.yml", "?.yml", "dynamic[!x].yml", "a.yml", "(a|b).yml"])
def test_name_with_the_letters_of_a_pattern(path: Path, name: str) -> None:
    """A file's name is never taken for a pattern that others match."""
    path = path.with_name(name)
    own, other = path.with_name(f".{name}.abcdefgh.tmp"), path.with_name(".axyml.abcdefgh.tmp")
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
    assert re.fullmatch(r"\.dynamic\.yml\.[a-z0-9_]{8}\.tmp", temporary.name)
    assert path.read_bytes() == b"new\n"
