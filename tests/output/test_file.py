"""The file on disk: when it changes, and what of it stays."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ctsdns_traefik.output.base import Outcome, WriteResult
from ctsdns_traefik.output.file import read_if_there, require_writable, write_if_changed

STRANGER = 12345
"""A user and a group that own nothing here."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change a file's owner")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a folder of its own."""
    return tmp_path / "dynamic.yml"


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask-000", "umask-022", "umask-077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    former = os.umask(request.param)
    yield
    os.umask(former)


def mode_of(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def identity_of(path: Path) -> tuple[int, int, int]:
    """Return what any change to a file would change, to its mode and owner too."""
    is_now = path.stat()
    return is_now.st_ino, is_now.st_mtime_ns, is_now.st_ctime_ns


@pytest.mark.usefixtures("_umask")
def test_new_file_is_readable_for_all(path: Path) -> None:
    """A new file gets mode 0644 whatever the umask, so that Traefik can read it."""
    assert write_if_changed(path, b"new\n") == WriteResult(Outcome.CREATED)
    assert (path.read_bytes(), mode_of(path)) == (b"new\n", 0o644)


def test_unchanged_file_is_left_alone(path: Path) -> None:
    """A file that holds the content already keeps its inode and its times."""
    path.write_bytes(b"same\n")
    os.utime(path, ns=(1, 1))
    before = identity_of(path)
    assert write_if_changed(path, b"same\n") == WriteResult(Outcome.UNCHANGED)
    assert identity_of(path) == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"old\n", b"new\n", id="other-text"),
        pytest.param(b"", b"{}\n", id="from-empty"),
        pytest.param(b"{}\n", b"", id="to-empty"),
        pytest.param(b"{}", b"{}\n", id="one-line-end"),
        pytest.param(b"x" * 100_000, b"{}\n", id="much-shorter"),
        pytest.param(b"\xff\xfe", b"{}\n", id="not-text"),
    ],
)
def test_changed_file_is_replaced(path: Path, old: bytes, new: bytes) -> None:
    """Another content comes as another file, and nothing else is left in the folder."""
    path.write_bytes(old)
    with path.open("rb") as opened:
        assert write_if_changed(path, new) == WriteResult(Outcome.REPLACED)
        assert opened.read() == old
        assert os.fstat(opened.fileno()).st_ino != path.stat().st_ino
    assert path.read_bytes() == new
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o755], ids=oct)
@pytest.mark.usefixtures("_umask")
def test_mode_is_kept(path: Path, mode: int) -> None:
    """The permissions that somebody gave the file outlive the content."""
    path.write_bytes(b"old\n")
    path.chmod(mode)
    write_if_changed(path, b"new\n")
    assert (path.read_bytes(), mode_of(path)) == (b"new\n", mode)


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o2755], ids=oct)
def test_owner_and_group_are_kept(path: Path, mode: int) -> None:
    """The file stays that of whom it was given to, with its mode."""
    path.write_bytes(b"old\n")
    os.chown(path, STRANGER, STRANGER + 1)
    path.chmod(mode)
    assert write_if_changed(path, b"new\n") == WriteResult(Outcome.REPLACED, owner_lost=False)
    new = path.stat()
    assert (new.st_uid, new.st_gid, mode_of(path)) == (STRANGER, STRANGER + 1, mode)


def as_stranger(path: Path, expression: str, groups: Sequence[int] = ()) -> str:
    """Evaluate an expression about a path as a user who owns nothing; return what it gives."""
    script = f"""
import os, sys
from pathlib import Path
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.file import *
os.setgroups({list(groups)}), os.setgid({STRANGER}), os.setuid({STRANGER})
path = Path(sys.argv[1])
try:
    print({expression})
except OutputError as why:
    print(why)
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.strip()


@needs_root
def test_owner_that_cannot_be_kept_is_reported(open_folder: Path) -> None:
    """One who may not give files away replaces the file all the same, and says so."""
    path = open_folder / "dynamic.yml"
    path.write_bytes(b"old\n")
    path.chmod(0o664)
    logged = as_stranger(path, "write_if_changed(path, b'new\\n') [:2] == (Outcome.REPLACED, True)")
    assert logged == "True"
    assert (path.read_bytes(), mode_of(path), path.stat().st_uid) == (b"new\n", 0o664, STRANGER)


@needs_root
def test_group_is_kept_where_the_owner_cannot_be(open_folder: Path) -> None:
    """A member of the file's group keeps that, although it may not give the file away."""
    path = open_folder / "dynamic.yml"
    path.write_bytes(b"old\n")
    os.chown(path, 0, STRANGER + 1)
    expression = "write_if_changed(path, b'new\\n').owner_lost"
    assert as_stranger(path, expression, groups=[STRANGER + 1]) == "True"
    assert (path.stat().st_uid, path.stat().st_gid) == (STRANGER, STRANGER + 1)


@needs_root
def test_file_in_a_closed_folder_is_written_in_place(open_folder: Path) -> None:
    """Where no file can be made but the file can be written, it is, under its old inode."""
    path = open_folder / "dynamic.yml"
    path.write_bytes(b"old and longer\n")
    os.chown(path, STRANGER, STRANGER)
    open_folder.chmod(0o755)
    inode = path.stat().st_ino
    assert as_stranger(path, "require_writable(path)") == "None"
    logged = as_stranger(
        path, "write_if_changed(path, b'new\\n') [:2] == (Outcome.WRITTEN_IN_PLACE, False)"
    )
    assert logged == "True"
    assert (path.read_bytes(), path.stat().st_ino) == (b"new\n", inode)


@needs_root
@pytest.mark.parametrize("there", [True, False], ids=["file-of-another", "no-file"])
def test_closed_file_in_a_closed_folder(open_folder: Path, *, there: bool) -> None:
    """Where nothing can be written, both the check beforehand and the write say so."""
    path = open_folder / "dynamic.yml"
    if there:
        path.write_bytes(b"old\n")
    open_folder.chmod(0o755)
    complaint = (
        f"cannot write {path}: permission denied; run as a user that may replace files in"
        f" {open_folder}, or give it to this user"
    )
    assert as_stranger(path, "require_writable(path)") == complaint
    assert as_stranger(path, "write_if_changed(path, b'new\\n')") == complaint
    assert path.exists() is there


def test_require_writable_changes_nothing(path: Path) -> None:
    """The check makes no file, leaves none behind, and does not touch the one that is there."""
    require_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_bytes(b"old\n")
    os.utime(path, ns=(1, 1))
    before = identity_of(path)
    require_writable(path)
    assert (identity_of(path), list(path.parent.iterdir())) == (before, [path])


def test_read_if_there(path: Path) -> None:
    """A file gives its bytes; no file, in a folder or without one, gives nothing."""
    assert read_if_there(path) is None
    assert read_if_there(path / "below" / "nothing") is None
    path.write_bytes(b"\xff{}\n")
    assert read_if_there(path) == b"\xff{}\n"
