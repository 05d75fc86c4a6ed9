"""Whether a file still has a known content, without reading it each time.

Every change of a file sets its ctime, which no program can set back. But the clock behind it ticks:
of two changes within one tick the second leaves no trace if the size stays ("racy git"). So the
signature of a file stands for a content only if that was read at least one tick after the signature
was first seen. That compares no two clocks, such as those of this machine and of a file server.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple

_TICK = 0.1
"""Seconds; Linux and macOS have at most 0.01."""

_COARSE_TICK = 2.5
"""Seconds, for file systems whose times have no fractions of a millisecond: FAT has 2."""

_MILLISECOND = 1_000_000


class Signature(NamedTuple):
    """What changes when a file does; times are in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    @property
    def tick(self) -> float:
        """The seconds in which a change may leave the same signature."""
        return _TICK if self.ctime % _MILLISECOND else _COARSE_TICK


class FileContent:
    """Compares a file with a content; ``clock`` returns seconds and never goes back."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._signature: Signature | None = None
        self._seen = 0.0
        """When the file first had that signature."""
        self._proven: bytes | None = None
        """The content for which the signature stands."""

    def notice_write(self) -> None:
        """Take the file's present signature as new: its content has just been written."""
        with suppress(OSError):
            self._see(_signature_of(self._path.stat()))

    def is_equal(self, content: bytes) -> bool:
        """Return whether the file has a content; false if it is missing or cannot be read."""
        with suppress(OSError):
            # Opening, unlike stat, makes a network file system ask its server.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return self._is_equal(descriptor, content)
            finally:
                os.close(descriptor)  # FileIO would leave that of a directory open
        return False

    def _is_equal(self, descriptor: int, content: bytes) -> bool:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != len(content):
            return False
        signature = _signature_of(status)
        self._see(signature)
        if self._proven == content:
            return True
        settled = self._clock() - self._seen >= signature.tick
        equal = FileIO(descriptor, closefd=False).readall() == content
        if equal and settled and _signature_of(os.fstat(descriptor)) == signature:
            self._proven = content
        return equal

    def _see(self, signature: Signature) -> None:
        if signature != self._signature:
            self._signature, self._seen, self._proven = signature, self._clock(), None


def _signature_of(status: os.stat_result) -> Signature:
    return Signature(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )
