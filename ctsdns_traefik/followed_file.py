"""A file that is read again and again, and whose content counts once it is whole.

A file that is read while it is being written may be half a file. So content counts only if readings
some time apart find the same. Its attributes are asked for a few times a second, which every kind
of file system can answer; the content is read only if they have changed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.errors import os_reason

LARGEST = 64 << 20
"""Bytes of a file at most."""

_RECENT = 2.0
"""Seconds for which a file system may give the time of one change to another, too: FAT's two."""


class Content(NamedTuple):
    """What a reading has found."""

    data: bytes | None
    """``None`` if the file cannot be read."""
    error: str = ""
    """Why it cannot be read."""


class FollowedFile:
    """A regular file, or a link to one, that may change, be replaced, go and come back."""

    def __init__(
        self,
        path: Path,
        steady: float,
        *,
        known: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the seconds for which content has to stay the same, and what is known of it."""
        self.path = path
        self._steady, self._clock = steady, clock
        self._reported = None if known is None else Content(known)
        self._last = self._reported
        self._since = 0.0
        self._attributes: tuple[int, ...] = ()

    def read_change(self) -> Content | None:
        """Read the file; return what it holds if that is new, and has been the same for a while."""
        content = self._read()
        if content != self._last:
            self._last, self._since = content, self._clock()
        if self._last == self._reported or self._clock() - self._since < self._steady:
            return None
        self._reported = self._last
        return self._last

    def _read(self) -> Content:
        try:
            with FileIO(self.path, opener=_open) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return self._failure("it is not a regular file")
                if status.st_size > LARGEST:
                    return self._failure(f"it is larger than {LARGEST >> 20} MiB")
                attributes = _attributes(status)
                if self._last and attributes == self._attributes and not _is_recent(status):
                    return self._last
                content = Content(file.read())
                self._attributes = attributes
                return content
        except (OSError, ValueError) as why:
            return self._failure(os_reason(why))

    def _failure(self, reason: str) -> Content:
        self._attributes = ()
        return Content(None, reason)


def _open(path: str, flags: int) -> int:
    """Open a file, which has NFS ask its server; a pipe that nothing writes to does not block."""
    return os.open(path, flags | os.O_NONBLOCK)


def _attributes(status: os.stat_result) -> tuple[int, ...]:
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


def _is_recent(status: os.stat_result) -> bool:
    return abs(time.time() - status.st_mtime) < _RECENT
