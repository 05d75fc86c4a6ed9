"""The file as output: replaced atomically and durably, and only if its content changes.

A reader sees the old content or the new, never a part: the new one is written to a temporary file
beside the old, flushed to disk, and renamed over it. Where renaming is not possible (a file
bind-mounted on its own answers EBUSY; a folder may be closed to us) the file is written in place.

Content that this tool would not have written is copied beside the file before it is replaced. At
the start such content is not replaced at all unless the user adopts the file.

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
from typing import IO, TYPE_CHECKING

from ctsdns_traefik.core.dynamic import examine
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import OutputError, os_reason
from ctsdns_traefik.output.base import Outcome, OutputWarning, WriteResult
from ctsdns_traefik.output.file_content import FileContent
from ctsdns_traefik.output.lock import FileLock, LockHeld, LockUnavailable, WriterConflict

if TYPE_CHECKING:
    from ctsdns_traefik.output.hooks import Check

NEW_FILE_MODE = 0o644

NO_ROUTES = b"{}\n"

_TEMPORARY = ".tmp"
_RANDOM = "[a-z0-9_]{8}"
"""What :mod:`tempfile` puts in front of the suffix."""

_COPY = ".bak"
_COPIES_AT_MOST = 100

_CANNOT_RENAME_OVER = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS}


class FileOutput:
    """The file that Traefik's file provider watches; a :class:`.Output`.

    ``check`` has to accept new content; ``adopt`` permits to replace foreign content.
    """

    needed = True

    def __init__(self, path: Path, check: Check | None = None, *, adopt: bool = False) -> None:
        self._path = path
        self._check = check
        self._adopt = adopt
        self._lock = FileLock(_resolved(path))
        self._warnings: list[OutputWarning] = []
        """To be returned by the next call that returns warnings."""
        self._held: bytes | None = None
        """The content that this tool wrote or accepted, and may replace without a copy."""
        self._content = FileContent(path)
        self._copies: set[Path] = set()
        """The copies that have been logged."""
        self._conflict = WriterConflict()

    def __str__(self) -> str:
        return str(self._path)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the file; raise :class:`OutputError`, naming the process that has locked it.

        If no lock is possible, :meth:`prepare` returns a warning.
        """
        try:
            with self._naming_lock_holder():
                self._lock.acquire()
        except LockUnavailable as why:
            self._warnings.append(OutputWarning("no-lock", str(why)))
        try:
            yield
        finally:
            self._lock.release()

    def inspect(self, size: int = 0) -> str:
        """Try a write; return which watch keeps the file now, or raise :class:`OutputError`."""
        require_writable(self._path, size)
        try:
            self._lock.require_free()
        except LockHeld as why:
            return f"a watch keeps it now, {why}"
        return ""

    def prepare(self) -> tuple[OutputWarning, ...]:
        """Remove what killed writers left; raise :class:`OutputError` if writing is impossible."""
        if not self._lock.is_held:
            with self._naming_lock_holder():
                self._lock.require_free()
        require_writable(self._path)
        remove_leftovers(self._path)
        return self._pop_warnings()

    def accept(self, content: bytes, foreign: str) -> None:
        """Accept the file's content at the start; raise :class:`OutputError` for foreign content.

        Unless it is to be adopted: then it is copied beside the file when it is replaced.
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
        """Return the content unchanged."""
        return content

    def write(self, content: bytes) -> WriteResult:
        """Make the file hold ``content``; see :func:`write_if_changed`."""
        with self._naming_lock_holder():
            self._lock.renew()
        if self._content.is_equal(content):
            written = WriteResult(Outcome.UNCHANGED)
        else:
            written = write_if_changed(self._path, content, self._check, self._before_replacing)
            self._content.notice_write()
        if written.outcome is Outcome.UNCHANGED:
            self._conflict.found_own()
        self._held = content
        if self._conflict.is_detected:
            self._warnings.append(OutputWarning("disagreement", ", and this one puts its own back"))
        return written._replace(warnings=self._pop_warnings())

    def _before_replacing(self, old: bytes | None) -> None:
        """Copy foreign content, and detect a writer that restores its own again and again."""
        if old is None or old == self._held:
            return
        self._conflict.replaced(hashlib.sha256(old).hexdigest())
        if foreign := examine(old).foreign:
            copy = keep_copy(self._path, old)
            if copy not in self._copies:
                self._copies.add(copy)
                detail = f"{foreign}; the old content is kept as {shown(str(copy))}"
                self._warnings.append(OutputWarning("foreign", detail))

    def _pop_warnings(self) -> tuple[OutputWarning, ...]:
        taken, self._warnings = tuple(self._warnings), []
        return taken

    @contextmanager
    def _naming_lock_holder(self) -> Iterator[None]:
        try:
            yield
        except LockHeld as why:
            raise OutputError(
                f"cannot write {shown(str(self._path))}: a watch keeps it, {why}; stop that one, or"
                " name another --output"
            ) from why


def read_if_there(path: Path, name: Path | None = None) -> bytes | None:
    """Return the file's content, ``None`` if there is no file.

    Raise :class:`OutputError`, which names the path as ``name``, if that is given.
    """
    with _mapping_errors(name or path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return None
        _require_regular(name or path, mode)
        return path.read_bytes()


def write_if_changed(
    path: Path,
    content: bytes,
    check: Check | None = None,
    before_replacing: Callable[[bytes | None], None] = lambda _: None,
) -> WriteResult:
    """Write ``content`` to a file; leave it untouched, its times too, if it has that content.

    A symbolic link stays, and its target is replaced. A new file gets mode 0644, an old one keeps
    its mode and owner. ``check`` has to accept the content, except "no routes" for a new file, then
    ``before_replacing`` is called with the old content. Raise :class:`OutputError` with the reason;
    the file is then unchanged, unless a disk fails during a write in place.
    """
    target = _resolved(path)
    old = read_if_there(target, path)
    if old == content:
        return WriteResult(Outcome.UNCHANGED)
    if old is None and content == NO_ROUTES:
        check = None
    accepted = False
    with _mapping_errors(path):
        try:
            with _temporary_beside(target) as (temporary, file):
                owner_lost = _fill(file, content, target, durable=True)
                if check:
                    check.staged(temporary, content, path)
                before_replacing(old)
                accepted = True
                temporary.rename(target)
        except OSError as why:
            if old is None or why.errno not in _CANNOT_RENAME_OVER:
                raise
            if check and not accepted:
                check.content(content, path)
            if not accepted:
                before_replacing(old)
            _write_in_place(target, content)
            return WriteResult(Outcome.WRITTEN_IN_PLACE)
    _flush_folder(target.parent)
    return WriteResult(Outcome.CREATED if old is None else Outcome.REPLACED, owner_lost)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file that reports a state, such as the status file.

    It is never written in place, and not flushed to disk: after a power failure the state is
    outdated, and flushing takes longer than everything else. A new file gets mode 0644, an old one
    keeps its mode and owner. Raise :class:`OutputError`; the file is then unchanged.
    """
    target = _resolved(path)
    with _mapping_errors(path):
        with suppress(FileNotFoundError):
            _require_regular(path, target.stat().st_mode)
        with _temporary_beside(target) as (temporary, file):
            _fill(file, content, target, durable=False)
            temporary.rename(target)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(f"cannot write {shown(str(path))}: it is {kind}")


def require_writable(path: Path, size: int = 0) -> None:
    """Raise :class:`OutputError` if a write of so many bytes would fail now; change nothing.

    All steps of a write are taken but the last one.
    """
    target = _resolved(path)
    old = read_if_there(target, path)
    with _mapping_errors(path):
        try:
            with _temporary_beside(target) as (_, file):
                _fill(file, bytes(size), target, durable=True)
                _require_replaceable(target)
                return
        except OSError as why:
            if old is None or why.errno not in _CANNOT_RENAME_OVER:
                raise
        with target.open("r+b") as file:
            disk = os.fstatvfs(file.fileno())
            if size - len(old) > disk.f_bavail * disk.f_frsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _require_replaceable(target: Path) -> None:
    """Raise the :class:`OSError` with which renaming over a file would fail, if it is known.

    ``rmdir`` of a file always fails, and on Linux with that error where permission is missing, as
    in a sticky folder.
    """
    try:
        target.rmdir()
    except (FileNotFoundError, NotADirectoryError):
        if _is_mounted(target):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None


def _is_mounted(target: Path) -> bool:
    """Return whether a file is mounted on its own, as far as the system lists that."""
    with suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
        points = (mount.split(b" ")[4].decode("unicode_escape") for mount in mounts)
        return os.fsencode(target).decode("latin-1") in points
    return False


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed writers left; those of running ones are locked.

    Only regular files are removed that have a name as :func:`_temporary_beside` gives them.
    """
    with suppress(OSError, OutputError):  # if it cannot be listed, the write will report that
        target = _resolved(path)
        names = re.compile(rf"\.{re.escape(target.name)}\.{_RANDOM}{re.escape(_TEMPORARY)}")
        for leftover in target.parent.iterdir():
            if names.fullmatch(leftover.name):
                _remove_unlocked(leftover)


def _remove_unlocked(leftover: Path) -> None:
    """Remove a regular file that no process has locked; open neither a pipe nor a link."""
    with suppress(OSError):
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
        finally:
            os.close(descriptor)


def keep_copy(path: Path, content: bytes) -> Path:
    """Write a durable copy of a file's content beside it, and return its path.

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
    """Return whether a copy has this content; one that cannot be read counts as different."""
    with suppress(OSError):
        status = copy.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size == len(content):
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
        what = f"cannot keep a copy of {shown(str(target))} as {shown(copy.name)}"
        raise OutputError(f"{what}: {os_reason(why)}{_fix(why, copy)}") from why
    _flush_folder(copy.parent)


def _resolved(path: Path) -> Path:
    """Follow symbolic links, so that the temporary file is beside the one to replace.

    Raise :class:`OutputError` for a relative path if the working directory has been removed.
    """
    with _mapping_errors(path):
        return Path(os.path.realpath(path))


def _fill(file: IO[bytes], content: bytes, target: Path, *, durable: bool) -> bool:
    """Prepare a file to replace the target; return whether the target's owner is lost."""
    owner_lost = _copy_mode_and_owner(file.fileno(), target)
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
        with suppress(OSError):  # its failure would hide the original error
            temporary.unlink(missing_ok=True)


def _copy_mode_and_owner(descriptor: int, target: Path) -> bool:
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_FILE_MODE)
        return False
    lost, new = False, os.fstat(descriptor)
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        if owner in {-1, new.st_uid} and group in {-1, new.st_gid}:
            continue  # seccomp filters of containers may forbid even a chown without effect
        try:
            os.fchown(descriptor, owner, group)
        except PermissionError:
            lost = True
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    return lost


def _write_in_place(target: Path, content: bytes) -> None:
    """Extend, overwrite, then truncate: the file is never empty, which would mean "no routes".

    It is extended by line ends, which change nothing, so that a full disk is noticed while the old
    content is still complete.
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
    """Make the renaming survive a power failure, on file systems that support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _mapping_errors(path: Path) -> Iterator[None]:
    """Raise what the operating system refuses as :class:`OutputError`."""
    try:
        yield
    except (OSError, ValueError) as why:
        reason = _missing_folder(path) or f"{os_reason(why)}{_fix(why, path)}"
        raise OutputError(f"cannot write {shown(str(path))}: {reason}") from why


def _fix(why: OSError | ValueError, path: Path) -> str:
    """Return how to correct what the operating system refuses, ``""`` if that is not known."""
    match getattr(why, "errno", None):
        case errno.EACCES | errno.EPERM:
            name = shown(str(Path(os.path.realpath(path)).parent))
            return f"; run as a user that may replace files in {name}, or give it to this user"
        case errno.EROFS:
            return "; mount its file system for writing, or name a path on another"
        case errno.ENOSPC | errno.EDQUOT:
            return "; free space on its file system"
        case _:
            return ""


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
