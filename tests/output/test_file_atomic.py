"""The file at every moment: old or new, never a part, whatever goes wrong on the way."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from io import FileIO
from pathlib import Path

import pytest
from support.commands import bind_mounting

from ctsdns_traefik.output import file as file_module
from ctsdns_traefik.output.base import Outcome
from ctsdns_traefik.output.file import remove_leftovers, write_if_changed

LOADED_BY_TRAEFIK = (".yml", ".yaml", ".toml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a folder of its own."""
    return tmp_path / "dynamic.yml"


@pytest.mark.parametrize("old", [None, b"old\n"], ids=["created", "replaced"])
def test_content_is_on_disk_before_the_file_changes_and_the_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    """The new content is flushed while the old file stands, the folder once the new one does."""
    if old is not None:
        path.write_bytes(old)
    moments = []
    flush = os.fsync

    def look_and_flush(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        content = path.read_bytes() if path.exists() else None
        others = {file.read_bytes() for file in path.parent.iterdir() if file != path}
        moments.append(("folder" if folder else "file", content, others))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", look_and_flush)
    write_if_changed(path, b"new\n")
    assert moments == [("file", old, {b"new\n"}), ("folder", b"new\n", set())]


def test_content_written_in_place_is_flushed_to_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is asked to flush that very file, once it holds all of the new content.

    That the flush reaches the disk is the kernel's to keep; here it is that it is asked.
    """
    path.write_bytes(b"old and longer than the new\n")
    flushed = []
    flush = os.fsync

    def look_and_flush(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            flushed.append(path.read_bytes())
        flush(descriptor)

    def refuse_to_rename(self: Path, target: Path) -> Path:
        """Refuse as the kernel does for a file that is mounted on its own."""
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self), None, str(target))

    monkeypatch.setattr(os, "fsync", look_and_flush)
    monkeypatch.setattr(Path, "rename", refuse_to_rename)
    assert write_if_changed(path, b"new\n").outcome is Outcome.WRITTEN_IN_PLACE
    assert (flushed, path.read_bytes()) == ([b"new\n"], b"new\n")


@pytest.mark.parametrize("new", [b"new\n", b"new and longer than the old\n"], ids=len)
def test_content_written_in_place_has_no_end_of_the_old(
    path: Path, monkeypatch: pytest.MonkeyPatch, new: bytes
) -> None:
    """After each step of a write in place, the file holds the old or the new and line ends."""
    old = b"old and long\n"
    path.write_bytes(old)
    seen = []
    write = file_module._write_all

    def write_and_look(file: FileIO, content: bytes) -> None:
        write(file, content)
        seen.append(path.read_bytes().rstrip())

    monkeypatch.setattr(file_module, "_write_all", write_and_look)
    file_module._write_in_place(path, new)
    assert seen == [old.rstrip(), new.rstrip()]
    assert path.read_bytes() == new


def test_readers_see_whole_contents_only(path: Path) -> None:
    """A reader while large contents alternate gets one or the other, never a mixture."""
    contents = [letter * 3_000_000 for letter in (b"a", b"b")]
    path.write_bytes(contents[1])
    done = threading.Event()
    seen: set[bytes] = set()
    files: set[Path] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())
            files.update(path.parent.iterdir())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(60):
            write_if_changed(path, contents[number % 2])
    finally:
        done.set()
        reader.join()
    assert seen <= set(contents)
    assert [file for file in files - {path} if file.suffix in LOADED_BY_TRAEFIK] == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.file import write_if_changed
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_if_changed(Path(sys.argv[1]), b"x" * 100_000)
except OutputError as why:
    print(why)
"""


@pytest.mark.parametrize("old", [None, b"old\n"], ids=["no-file", "old-file"])
def test_disk_that_is_full_costs_nothing(path: Path, old: bytes | None) -> None:
    """If the content does not fit the file stays as it was, with nothing beside it."""
    if old is not None:
        path.write_bytes(old)
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"cannot write {path}: file too large\n", "")
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == (
        {} if old is None else {path.name: old}
    )


FULL_DISK_IN_PLACE = """
import resource, sys
from pathlib import Path
from ctsdns_traefik.output.file import _write_in_place
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    _write_in_place(Path(sys.argv[1]), b"n" * 100_000)
except OSError as why:
    print(why.strerror)
"""


def test_disk_that_is_full_costs_nothing_in_place_either(path: Path) -> None:
    """A file that has to be written in place keeps its old content if the new does not fit."""
    path.write_bytes(b"old\n")
    command = [sys.executable, "-c", FULL_DISK_IN_PLACE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert path.read_bytes() == b"old\n"


STUCK_WRITER = """
import os, sys, time
from pathlib import Path
from ctsdns_traefik.output.file import write_if_changed
def get_stuck(descriptor):
    print("stuck", flush=True)
    time.sleep(60)
os.fsync = get_stuck
write_if_changed(Path(sys.argv[1]), b"new\\n")
"""


def test_killed_writer_costs_nothing(path: Path) -> None:
    """A writer killed amid a write leaves the old file, and a temporary one for the next start."""
    path.write_bytes(b"old\n")
    command = [sys.executable, "-c", STUCK_WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"stuck\n"
            remove_leftovers(path)
            assert len(list(path.parent.iterdir())) == 2, "a living writer's file was removed"
        finally:
            writer.send_signal(signal.SIGKILL)
    (leftover,) = set(path.parent.iterdir()) - {path}
    assert (path.read_bytes(), leftover.suffix in LOADED_BY_TRAEFIK) == (b"old\n", False)
    remove_leftovers(path)
    assert list(path.parent.iterdir()) == [path]


BIND_MOUNTED = """
import os, sys, threading
from pathlib import Path
from ctsdns_traefik.output.file import Outcome, require_writable, write_if_changed
path, contents = Path(sys.argv[1]), [letter * size for letter, size in ((b"a", 300_000), (b"b", 9))]
require_writable(path)
done, sizes = threading.Event(), set()
def read():
    while not done.is_set():
        sizes.add(len(path.read_bytes()))
reader = threading.Thread(target=read)
reader.start()
for number in range(300):
    written = write_if_changed(path, contents[number % 2])
    assert written.outcome is Outcome.WRITTEN_IN_PLACE, written
    assert path.read_bytes() == contents[number % 2]
assert write_if_changed(path, contents[1]).outcome is Outcome.UNCHANGED
done.set(), reader.join()
print("empty" if 0 in sizes else "never empty", os.listdir(path.parent))
"""


def test_bind_mounted_file_is_written_in_place(path: Path) -> None:
    """A file mounted on its own keeps its inode, is never empty, and has nothing beside it."""
    source = path.with_name("source")
    folder = path.parent / "folder"
    folder.mkdir()
    target = folder / "dynamic.yml"
    target.write_bytes(b"hidden\n")
    source.write_bytes(b"old\n")
    inode = source.stat().st_ino
    command = [*bind_mounting(source, target), sys.executable, "-c", BIND_MOUNTED, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("never empty ['dynamic.yml']\n", "")
    assert (source.read_bytes(), source.stat().st_ino) == (b"b" * 9, inode)
    assert target.read_bytes() == b"hidden\n"
