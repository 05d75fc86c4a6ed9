"""Standard output, for data; messages go to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ctsdns_traefik.errors import OutputError, ReaderGone, os_reason

STANDARD_STREAM = "-"
"""Stands for standard input or output in place of a file."""


def emit(text: str) -> None:
    """Write data to standard output, as UTF-8 in any locale."""
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    with writing():
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Raise every :class:`OSError` of this context as an :class:`OutputError` of standard output.

    Only writes to standard output may raise one in it.
    """
    try:
        yield
    except OSError as why:
        discard_unwritten(sys.stdout)
        if isinstance(why, BrokenPipeError):
            raise ReaderGone("nothing reads standard output any more") from why
        raise OutputError(f"cannot write standard output: {os_reason(why)}") from why


def discard_unwritten(stream: TextIO | None) -> None:
    """Discard what a stream cannot write: Python would try again at exit, and exit with 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(null, stream.fileno())
            finally:
                os.close(null)
