"""The lock of an output file, so that two watches never keep one file.

It is an advisory ``flock`` on a file beside the output, which the kernel releases when the process
that holds it ends, however it ends. The lock file is removed at an orderly end. That is safe since
a lock counts only while the file that it is on is the one that has the name: a process that opened
the file before it was removed finds out, and begins again. After a kill the file stays, unlocked,
and the next watch takes it over.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from ctsdns_traefik.core.text import shown

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK
"""Neither a link nor a pipe of that name leads astray."""

_MODE = 0o644

_TRIES = 10
_PAUSE = 0.02
"""Attempts, and the seconds between: a lock may be tested, or its file removed, at that moment."""

_HELD = {errno.EAGAIN, errno.EACCES}
"""NFS, where ``flock`` is a lock of a range, may answer EACCES."""

_LONGEST_OWNER = 256


class LockHeld(Exception):
    """Another process has the lock; the text says which, as far as it is known."""


class LockUnavailable(Exception):
    """No lock can be had here; the text says why."""


def lock_path(target: Path) -> Path:
    """Return where the lock of a file is; Traefik loads no file of such a name."""
    return target.with_name(f".{target.name}.lock")


class FileLock:
    """The lock of one output file, links to it followed by the caller."""

    def __init__(self, target: Path) -> None:
        """Take the file that the lock is for."""
        self._path = lock_path(target)
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object has the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock; raise :class:`LockHeld` or :class:`LockUnavailable`."""
        held = LockHeld("another process")
        for _ in range(_TRIES):
            descriptor = self._open()
            try:
                _lock(descriptor, fcntl.LOCK_EX)
                if self._has_the_name(descriptor) and self._own(descriptor):
                    self._descriptor, descriptor = descriptor, -1
                    return
            except LockHeld as why:
                held = why
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            time.sleep(_PAUSE)
        raise held

    def require_free(self) -> None:
        """Raise :class:`LockHeld` if another process has the lock; take and make nothing."""
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
        """Remove the lock file, if it is still the one that is locked, and let go of the lock."""
        if self._descriptor is None:
            return
        if self._has_the_name(self._descriptor):
            with suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        """Open the lock file, made if it is missing; another user's may be read-only."""
        try:
            descriptor = self._open_one()
        except (OSError, ValueError) as why:
            raise LockUnavailable(_reason(why)) from why
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
            except FileNotFoundError:  # it was the folder that is closed
                raise denied from None

    def _own(self, descriptor: int) -> bool:
        """Write this process into a locked file; return false if a new file has to be made.

        One that cannot be written was left by a watch of another user, which was killed. Where it
        cannot be removed either, its lock is as good as any.
        """
        if _write_owner(descriptor):
            return True
        try:
            self._path.unlink()
        except OSError:
            return True
        return False

    def _has_the_name(self, descriptor: int) -> bool:
        """Tell whether an open file is the one that others find under the lock's name."""
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
        raise LockUnavailable(_reason(why)) from why


def _write_owner(descriptor: int) -> bool:
    """Write which process this is; the host's name tells containers apart, which all have a 1."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
        os.fchmod(descriptor, _MODE)  # whatever the umask: others are to read who has it
    except OSError:
        return False
    return True


def _read_owner(descriptor: int) -> str:
    """Return the owner of a lock in words, as far as the file has it."""
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


def _reason(why: Exception) -> str:
    return (getattr(why, "strerror", None) or str(why)).lower()
