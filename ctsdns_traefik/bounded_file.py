"""Read files without waiting for ever and without reading on for ever: settings, secrets."""

from __future__ import annotations

import os
import select
import stat
import time
from io import FileIO, StringIO
from pathlib import Path

LARGEST_SECRET = 64 * 1024
"""Bytes of a file with a secret at most."""

LARGEST_SETTINGS = 16 * 1024 * 1024
"""Bytes of a file with settings at most."""

PATIENCE = 30.0
"""Seconds in which a pipe has to be written and closed."""


def read_bounded(path: Path, most: int, patience: float = 0.0) -> bytes:
    """Return the content of a regular file, or of one that a link leads to.

    With ``patience``, in seconds, also of a pipe that is written and closed within that time, as
    ``<(command)`` of a shell is. Raise :class:`OSError` or :class:`ValueError` if it cannot be
    read, is something else (a device may never end), or is too large.
    """
    with FileIO(path, opener=_without_waiting) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode) and patience:
            data = _read_pipe(file, most, patience)
        elif stat.S_ISREG(mode):
            data = _read_up_to(file, most + 1)
        else:
            raise ValueError("it is not a regular file")
    if len(data) > most:
        raise ValueError(f"it has more than {most} bytes")
    return data


def read_text(path: Path, patience: float = 0.0) -> str:
    """Return the text of a file with settings, likewise, without a byte order mark.

    All line ends are LF. Raise :class:`UnicodeDecodeError`, too.
    """
    text = read_bounded(path, LARGEST_SETTINGS, patience).decode("utf-8-sig")
    return StringIO(text, newline=None).read()


def read_secret_file(path: Path) -> str:
    """Return the text of a small file, as :func:`read_bounded` reads it."""
    return read_bounded(path, LARGEST_SECRET).decode()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _read_up_to(file: FileIO, size: int) -> bytes:
    """Read a regular file, which may give less than is asked for at a time."""
    data = b""
    while piece := file.read(size - len(data)):
        data += piece
    return data


def _read_pipe(file: FileIO, most: int, patience: float) -> bytes:
    due, data = time.monotonic() + patience, bytearray()
    while len(data) <= most:
        if not select.select([file], [], [], max(0.0, due - time.monotonic()))[0]:
            raise ValueError(f"it is a pipe that is not written and closed within {patience:g} s")
        piece = file.read(1 << 16)
        if piece == b"":
            break
        data += piece or b""
    return bytes(data)
