"""The file: replaced atomically and durably, and only when its content would change.

A reader sees the old content or the new, never a part: the new one is written to a temporary file
beside the old, flushed to disk, and renamed over it. Where renaming is not possible (a file
bind-mounted on its own answers EBUSY; a folder may be closed to us) the file is written in place.

What another writer put there and this tool would not have written is kept beside the file before it
is replaced, and at the start it is not replaced at all unless the user has the file adopted.

Not promised: access control lists and extended attributes are not kept, and of a file written in
place a reader may for a moment see a part, though never an empty file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from ctsdns_traefik.core.dynamic import examine
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.base import Outcome, OutputWarning, WriteResult
from ctsdns_traefik.output.hooks import Check
from ctsdns_traefik.output.lock import FileLock, LockHeld, LockUnavailable
from ctsdns_traefik.output.rivalry import Rivalry

NEW_FILE_MODE = 0o644

NO_ROUTES = b"{}\n"

_TEMPORARY = ".tmp"
_RANDOM = "[a-z0-9_]{8}"
"""What :mod:`tempfile` puts before that, between two names of temporary files."""

_COPY = ".bak"
_COPIES_AT_MOST = 100

_CANNOT_RENAME_OVER = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS}


class FileOutput:
    """The file that Traefik's file provider watches; a :class:`.Output`."""

    needed = True

    def __init__(self, path: Path, check: Check | None = None, *, adopt: bool = False) -> None:
        """Take where the file is, or is to be, and what has to agree to its new content.

        ``adopt`` lets it take the place of content that this tool would not have written.
        """
        self._path = path
        self._check = check
        self._adopt = adopt
        self._lock = FileLock(_resolved(path))
        self._notices: list[OutputWarning] = []
        """What is to be reported with the next answer."""
        self._held: bytes | None = None
        """What the file is known to have held, and may be replaced without being looked at."""
        self._copies: set[Path] = set()
        """The copies that were reported."""
        self._rivalry = Rivalry()

    def __str__(self) -> str:
        return str(self._path)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keep other watches off; raise :class:`OutputError`, naming the process that is there.

        Where no lock can be had, :meth:`prepare` reports that.
        """
        try:
            with self._other_watch_explained():
                self._lock.acquire()
        except LockUnavailable as why:
            self._notices.append(OutputWarning("no-lock", str(why)))
        try:
            yield
        finally:
            self._lock.release()

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Remove what killed writers left; raise :class:`OutputError` if no write can be."""
        if not self._lock.is_held:
            with self._other_watch_explained():
                self._lock.require_free()
        require_writable(self._path)
        remove_leftovers(self._path)
        return self._take_notices()

    def accept(self, content: bytes, foreign: str) -> None:
        """Take what the file held at the start; raise :class:`OutputError` if that has to stay.

        What is foreign has to, unless it is to be adopted; it is then kept beside the file as soon
        as something takes its place.
        """
        if not foreign:
            self._held = content
        elif not self._adopt:
            name, copy = shown(str(self._path)), shown(f"{_resolved(self._path).name}{_COPY}")
            raise OutputError(
                f"{name} is not a file of ctsdns-traefik, it holds {foreign}: name another"
                f" --output, or add --adopt to replace it and keep a copy as {copy} beside it"
            )

    def read(self) -> bytes | None:
        """Return the file's content, ``None`` if there is no file; raise :class:`OutputError`."""
        return read_if_there(self._path)

    def moved(self) -> bool:
        """Return false: other content of a file is replaced, whichever process wrote it."""
        return False

    def may_write(self) -> bool:
        """Return true: a file has a lock instead of a lease."""
        return True

    def as_held(self, content: bytes) -> bytes:
        """Return the content: a file holds it as it is."""
        return content

    def write(self, content: bytes) -> WriteResult:
        """Make the file hold ``content``; see :func:`write_if_changed`."""
        written = write_if_changed(self._path, content, self._check, self._before_replacing)
        if written.outcome is Outcome.UNCHANGED:
            self._rivalry.undisturbed()
        self._held = content
        if self._rivalry.is_on:
            self._notices.append(OutputWarning("disagreement", ", and this one puts its own back"))
        return written._replace(notices=self._take_notices())

    def _before_replacing(self, old: bytes | None) -> None:
        """Keep a copy of what is foreign, and watch for a writer that does this again and again."""
        if old is None or old == self._held:
            return
        self._rivalry.replaced(hashlib.sha256(old).hexdigest())
        if foreign := examine(old).foreign:
            copy = keep_copy(self._path, old)
            if copy not in self._copies:
                self._copies.add(copy)
                detail = f"{foreign}; the old content is kept as {shown(str(copy))}"
                self._notices.append(OutputWarning("foreign", detail))

    def _take_notices(self) -> tuple[OutputWarning, ...]:
        taken, self._notices = tuple(self._notices), []
        return taken

    @contextmanager
    def _other_watch_explained(self) -> Iterator[None]:
        try:
            yield
        except LockHeld as why:
            raise OutputError(
                f"cannot write {shown(str(self._path))}: a watch keeps it, {why}; stop that one, or"
                " name another --output"
            ) from why


def read_if_there(path: Path) -> bytes | None:
    """Return the file's content, ``None`` if there is no file; raise :class:`OutputError`."""
    with _explained(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return None
        _require_regular(path, mode)
        return path.read_bytes()


def write_if_changed(
    path: Path,
    content: bytes,
    check: Check | None = None,
    before_replacing: Callable[[bytes | None], None] = lambda _: None,
) -> WriteResult:
    """Make a file hold ``content``; leave it alone, its times included, if it does already.

    A symbolic link stays and its target is replaced. A new file gets mode 0644, an old one keeps
    its mode and owner. ``check`` has to agree, but not to "no routes" where there was no file;
    then ``before_replacing`` gets the old content. Raise :class:`OutputError` with the reason; the
    file is then as it was, unless a disk has failed amid writing in place.
    """
    target = _resolved(path)
    old = read_if_there(target)
    if old == content:
        return WriteResult(Outcome.UNCHANGED)
    if old is None and content == NO_ROUTES:
        check = None
    agreed = False
    with _explained(path):
        try:
            with _temporary_beside(target) as (temporary, file):
                owner_lost = _fill(file, content, target, durable=True)
                if check:
                    check.staged(temporary, content, path)
                before_replacing(old)
                agreed = True
                temporary.rename(target)
        except OSError as why:
            if old is None or why.errno not in _CANNOT_RENAME_OVER:
                raise
            if check and not agreed:
                check.content(content, path)
            if not agreed:
                before_replacing(old)
            _write_in_place(target, content)
            return WriteResult(Outcome.WRITTEN_IN_PLACE)
    _flush_folder(target.parent)
    return WriteResult(Outcome.CREATED if old is None else Outcome.REPLACED, owner_lost)


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
    """Remove the temporary files that killed writers left; those of living ones are locked.

    Only regular files go whose names :func:`_temporary_beside` could have made.
    """
    with suppress(OSError, OutputError):  # a folder that cannot be listed is met again at the write
        target = _resolved(path)
        names = re.compile(rf"\.{re.escape(target.name)}\.{_RANDOM}{re.escape(_TEMPORARY)}")
        for leftover in target.parent.iterdir():
            if names.fullmatch(leftover.name):
                _remove_unlocked(leftover)


def _remove_unlocked(leftover: Path) -> None:
    """Remove a regular file that no process has locked; open neither a pipe nor through a link."""
    with suppress(OSError):
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
        finally:
            os.close(descriptor)


def keep_copy(path: Path, content: bytes) -> Path:
    """Keep what a file holds beside it, durably, and return where.

    That is ``NAME.bak``, or the first of ``NAME.bak.1``, ``NAME.bak.2`` ... that is free: no file
    is ever overwritten, and content that has a copy gets no second one. Traefik loads no such name.
    The copy has the mode and owner of the file. Raise :class:`OutputError` if it cannot be made.
    """
    target = _resolved(path)
    for number in range(_COPIES_AT_MOST):
        copy = target.with_name(f"{target.name}{_COPY}{f'.{number}' if number else ''}")
        if _holds(copy, content):
            return copy
        with suppress(FileExistsError):
            _make_copy(copy, content, target)
            return copy
    raise OutputError(
        f"cannot keep a copy of {shown(str(path))}: {_COPIES_AT_MOST} are there, remove some"
    )


def _holds(copy: Path, content: bytes) -> bool:
    """Tell whether a copy holds this content; one that cannot be read is taken to hold other."""
    with suppress(OSError):
        there = copy.lstat()
        if stat.S_ISREG(there.st_mode) and there.st_size == len(content):
            return copy.read_bytes() == content
    return False


def _make_copy(copy: Path, content: bytes, target: Path) -> None:
    """Write a new file; raise :class:`FileExistsError` if there is one, or :class:`OutputError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(copy, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _fill(file, content, target, durable=True)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise
    except OSError as why:
        reason = shown(why.strerror or str(why)).lower()
        raise OutputError(
            f"cannot keep a copy of {shown(str(target))} as {shown(copy.name)}: {reason}"
        ) from why
    _flush_folder(copy.parent)


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
        reason = _missing_folder(path) or shown(reason).lower()
        raise OutputError(f"cannot write {shown(str(path))}: {reason}") from why


def _missing_folder(path: Path) -> str:
    """Return which folder is missing and how to make it, or ``""`` if that is not the reason."""
    with suppress(OSError, ValueError):  # as for a relative path in a folder that was removed
        folder = Path(os.path.realpath(path)).parent
        try:
            folder.stat()
        except FileNotFoundError:
            name, command = shown(str(folder)), shown(f"mkdir -p {shlex.quote(str(folder))}")
            return f"there is no folder {name}; make it: {command}"
    return ""
