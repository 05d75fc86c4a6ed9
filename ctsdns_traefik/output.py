"""The file: replaced atomically and durably, and only when its content would change.

A reader sees the old content or the new, never a part: the new one is written to a temporary file
beside the old, flushed to disk, and renamed over it. Where renaming is not possible (a file
bind-mounted on its own answers EBUSY; a folder may be closed to us) the file is written in place.

Not promised: access control lists and extended attributes are not kept, and of a file written in
place a reader may for a moment see a part, though never an empty file.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from ctsdns_traefik.core.printable import shown
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.hooks import Check
from ctsdns_traefik.target import Outcome, Written

NEW_FILE_MODE = 0o644

NO_ROUTES = b"{}\n"

_TEMPORARY = ".tmp"

_CANNOT_RENAME_OVER = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS}


class FileTarget:
    """The file that Traefik's file provider watches; a :class:`.Target`."""

    needed = True

    def __init__(self, path: Path, check: Check | None = None) -> None:
        """Take where the file is, or is to be, and what has to agree to its new content."""
        self._path = path
        self._check = check

    def __str__(self) -> str:
        return str(self._path)

    def prepare(self) -> None:
        """Remove what killed writers left; raise :class:`OutputError` if no write can be."""
        require_writable(self._path)
        remove_leftovers(self._path)

    def read(self) -> bytes | None:
        """Return the file's content, ``None`` if there is no file; raise :class:`OutputError`."""
        return read_if_there(self._path)

    def moved(self) -> bool:
        """Say no: a file has one watch, and what anybody else does to it is put right."""
        return False

    def as_held(self, content: bytes) -> bytes:
        """Return the content: a file holds it as it is."""
        return content

    def write(self, content: bytes, *, ordered: bool = False) -> Written:  # noqa: ARG002
        """Make the file hold ``content``; see :func:`write_if_changed`."""
        return write_if_changed(self._path, content, self._check)


def read_if_there(path: Path) -> bytes | None:
    """Return the file's content, ``None`` if there is no file; raise :class:`OutputError`."""
    with _explained(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return None
        _require_regular(path, mode)
        return path.read_bytes()


def write_if_changed(path: Path, content: bytes, check: Check | None = None) -> Written:
    """Make a file hold ``content``; leave it alone, its times included, if it does already.

    A symbolic link stays and its target is replaced. A new file gets mode 0644, an old one keeps
    its mode and owner. Raise :class:`OutputError` with the reason; the file is then as it was,
    unless a disk has failed amid writing in place. So it is after :class:`CheckRefused`, too, if
    ``check`` does not agree; "no routes" where there was no file needs nobody's agreement, since
    there is nothing that could stay.
    """
    target = _resolved(path)
    old = read_if_there(target)
    if old == content:
        return Written(Outcome.UNCHANGED)
    if old is None and content == NO_ROUTES:
        check = None
    checked = False
    with _explained(path):
        try:
            with _temporary_beside(target) as (temporary, file):
                owner_lost = _fill(file, content, target, durable=True)
                if check:
                    check.staged(temporary, content, path)
                checked = True
                temporary.rename(target)
        except OSError as why:
            if old is None or why.errno not in _CANNOT_RENAME_OVER:
                raise
            if check and not checked:
                check.content(content, path)
            _write_in_place(target, content)
            return Written(Outcome.WRITTEN_IN_PLACE)
    _flush_folder(target.parent)
    return Written(Outcome.CREATED if old is None else Outcome.REPLACED, owner_lost)


def replace_file(path: Path, content: bytes) -> None:
    """Put a new file with ``content`` in the place of a file that only tells how things are.

    It is never written in place, and not flushed to disk: after a power failure what it told is
    of no use, and to flush takes longer than all else. A new file gets mode 0644, an old one keeps
    its mode and owner. Raise :class:`OutputError` with the reason; the file is then as it was.
    """
    target = _resolved(path)
    with _explained(path):
        with suppress(FileNotFoundError):
            _require_regular(path, target.stat().st_mode)
        with _temporary_beside(target) as (temporary, file):
            _fill(file, content, target, durable=False)
            temporary.rename(target)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(f"cannot write {shown(str(path))}: it is {kind}")


def require_writable(path: Path) -> None:
    """Raise :class:`OutputError` now, not at the first write, if there is no way to write."""
    target = _resolved(path)
    old = read_if_there(target)
    with _explained(path):
        try:
            with _temporary_beside(target):
                return
        except OSError as why:
            if old is None or why.errno not in _CANNOT_RENAME_OVER:
                raise
        with target.open("r+b"):
            return


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed writers left; those of living ones are locked."""
    with suppress(OSError, OutputError):  # a folder that cannot be listed is met again at the write
        target = _resolved(path)
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.*{_TEMPORARY}"):
            with suppress(OSError), leftover.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()


def _resolved(path: Path) -> Path:
    """Follow symbolic links, so that the temporary file stands beside the one to replace.

    Raise :class:`OutputError` for a relative path where the working directory is gone.
    """
    with _explained(path):
        return Path(os.path.realpath(path))


def _fill(file: IO[bytes], content: bytes, target: Path, *, durable: bool) -> bool:
    """Make a file ready to take the target's place; tell whether its owner could not be kept."""
    owner_lost = _take_mode_and_owner(file.fileno(), target)
    file.write(content)
    file.flush()
    if durable:
        os.fsync(file.fileno())
    return owner_lost


@contextmanager
def _temporary_beside(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a locked temporary file, and remove it unless it has been renamed.

    Its name keeps Traefik from loading it with the folder: it ends with none of .yml, .yaml, .toml.
    """
    descriptor, name = tempfile.mkstemp(_TEMPORARY, f".{target.name}.", target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temporary, file
    finally:
        with suppress(OSError):  # that it cannot be removed would hide what went wrong
            temporary.unlink(missing_ok=True)


def _take_mode_and_owner(descriptor: int, target: Path) -> bool:
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_FILE_MODE)
        return False
    lost, new = False, os.fstat(descriptor)
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        if owner in {-1, new.st_uid} and group in {-1, new.st_gid}:
            continue  # a system call less for those who forbid it
        try:
            os.fchown(descriptor, owner, group)
        except PermissionError:
            lost = True
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    return lost


def _write_in_place(target: Path, content: bytes) -> None:
    """Make room, overwrite, then cut: the file is never empty, which would mean "no routes".

    The room is line ends, which change nothing, so that a full disk is met with the old content
    still there.
    """
    with target.open("r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            _write_all(file, b"\n" * (len(content) - size))
        except OSError:
            file.truncate(size)
            raise
        file.seek(0)
        _write_all(file, content.ljust(size, b"\n"))
        file.truncate(len(content))
        os.fsync(file.fileno())


def _write_all(file: FileIO, content: bytes) -> None:
    """Write everything; an unbuffered file may take only a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _flush_folder(folder: Path) -> None:
    """Make the renaming last through a power failure, on file systems that can promise it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        raise OutputError(f"cannot write {shown(str(path))}: {shown(reason).lower()}") from why
