"""Read a small file that holds a secret, without waiting for it and without reading on for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST_SECRET = 64 * 1024
"""Bytes of such a file at most."""


def read_secret_file(path: Path) -> str:
    """Return the text of a regular file, or of one that a link leads to.

    Raise :class:`OSError` or :class:`ValueError` if it cannot be read, is something else (a pipe
    may never end, a device may never stop), is too large, or is no UTF-8.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        data = file.read(LARGEST_SECRET + 1)
    if len(data) > LARGEST_SECRET:
        raise ValueError(f"it has more than {LARGEST_SECRET} bytes")
    return data.decode()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
