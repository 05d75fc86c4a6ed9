"""The lock of an output file, so that two watches never write one file, and a fallback.

It is an advisory ``flock`` on a file beside the output, which the kernel releases when the process
that holds it ends, however it ends. The lock file is removed at an orderly end. That is safe since
a lock counts only while the locked file is the one under the lock's name: a process that opened the
file before it was removed notices, and starts again. After a kill the file stays, unlocked, and the
next watch locks it.

Where no lock is possible, :class:`WriterConflict` detects another writer by what it writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import os_reason

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK
"""Follow no link, and do not wait for a pipe, of that name."""

_MODE = 0o644

_TRIES = 10
_PAUSE = 0.02
"""Attempts, and the seconds between: a lock may be tested, or its file removed, at that moment."""

_HELD = {errno.EAGAIN, errno.EACCES}
"""NFS, where ``flock`` is a lock of a range, may answer EACCES."""

_LONGEST_OWNER = 256

CONTENTS_REMEMBERED = 16
"""Replaced contents of other writers that are remembered."""

CHECKS_UNTIL_RESOLVED = 10
"""Checks in a row that find the own content, after which the other writer counts as gone."""


class LockHeld(Exception):
    """Another process has the lock; the message names it, if it is known."""


class LockUnavailable(Exception):
    """No lock is possible here; the message has the reason."""


def lock_path(target: Path) -> Path:
    """Return the path of a file's lock, a name that Traefik does not load."""
    return target.with_name(f".{target.name}.lock")


class FileLock:
    """The lock of one output file; the caller resolves links to it."""

    def __init__(self, target: Path) -> None:
        self._path = lock_path(target)
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object has the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Acquire the lock; raise :class:`LockHeld` or :class:`LockUnavailable`."""
        held = LockHeld("another process")
        for _ in range(_TRIES):
            descriptor = self._open()
            try:
                _lock(descriptor, fcntl.LOCK_EX)
                if self._is_current(descriptor) and self._own(descriptor):
                    self._descriptor, descriptor = descriptor, -1
                    return
            except LockHeld as why:
                held = why
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            time.sleep(_PAUSE)
        raise held

    def renew(self) -> None:
        """Acquire the lock again if its file was removed, perhaps with its folder.

        Raise :class:`LockHeld` if another process has it by now.
        """
        old = self._descriptor
        if old is None or self._is_current(old):
            return
        with suppress(LockUnavailable):  # the folder may be away
            self.acquire()
            os.close(old)

    def require_free(self) -> None:
        """Raise :class:`LockHeld` if another process has the lock; lock and create nothing."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | _FLAGS)
        except OSError:
            return
        try:
            _lock(descriptor, fcntl.LOCK_SH)
        except LockUnavailable:
            return
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Remove the lock file, if it is still the locked one, and release the lock."""
        if self._descriptor is None:
            return
        if self._is_current(self._descriptor):
            with suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        """Open the lock file, create it if missing; another user's may be read-only."""
        try:
            descriptor = self._open_one()
        except (OSError, ValueError) as why:
            raise LockUnavailable(os_reason(why)) from why
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise LockUnavailable(f"{self._path.name} is not a regular file")
        return descriptor

    def _open_one(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | _FLAGS, _MODE)
        except PermissionError as denied:
            try:
                return os.open(self._path, os.O_RDONLY | _FLAGS)
            except FileNotFoundError:  # permission is missing for the folder
                raise denied from None

    def _own(self, descriptor: int) -> bool:
        """Write this process into a locked file; return false if a new file is needed.

        One that cannot be written was left by a killed watch of another user. If it cannot be
        removed either, the lock on it still counts.
        """
        if _write_owner(descriptor):
            return True
        try:
            self._path.unlink()
        except OSError:
            return True
        return False

    def _is_current(self, descriptor: int) -> bool:
        """Return whether an open file is still the one under the lock's name."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.lstat())
        except OSError:
            return False


def _lock(descriptor: int, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as why:
        if why.errno in _HELD:
            raise LockHeld(_read_owner(descriptor)) from why
        raise LockUnavailable(os_reason(why)) from why


def _write_owner(descriptor: int) -> bool:
    """Write the process and the host, since in every container the process is 1."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
        os.fchmod(descriptor, _MODE)  # the umask may have taken the right to read from others
    except OSError as why:
        # A full disk leaves the file empty, but locked; one opened for reading is another user's.
        return why.errno not in (errno.EBADF, errno.EINVAL)
    return True


def _read_owner(descriptor: int) -> str:
    """Return a description of the process that has locked a file."""
    with suppress(OSError):
        text = os.pread(descriptor, _LONGEST_OWNER, 0).decode("utf-8", "replace").strip()
        pid, _, host = text.partition(" ")
        if pid.isascii() and pid.isdecimal():
            return (
                f"process {pid}"
                if host == os.uname().nodename
                else f"process {pid} on {shown(host)}"
            )
    return "another process"


class WriterConflict:
    """Detects another writer: content that comes back after it was replaced is no accident.

    One edit by hand is replaced once. A second program that keeps the same file writes the same
    content again each time, for as long as both run.
    """

    def __init__(self) -> None:
        self._replaced: deque[str] = deque(maxlen=CONTENTS_REMEMBERED)
        self._checks = 0
        self.is_detected = False
        """Whether content has come back, and not long ago."""

    def replaced(self, digest: str) -> None:
        """Record that content of another writer is being replaced."""
        self.is_detected = self.is_detected or digest in self._replaced
        self._replaced.append(digest)
        self._checks = 0

    def found_own(self) -> None:
        """Record that a check has found the content that was written last."""
        self._checks += 1
        if self._checks >= CHECKS_UNTIL_RESOLVED:
            self._replaced.clear()
            self.is_detected = False
