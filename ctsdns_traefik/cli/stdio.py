"""Standard output, for data; messages go to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ctsdns_traefik.errors import OutputError, ReaderGone

STANDARD_STREAM = "-"
"""Stands for standard input or output where a file could be named."""


def emit(text: str) -> None:
    """Write data to standard output, as UTF-8 whatever the locale says."""
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    with writing():
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Raise :class:`OutputError` if standard output cannot be written in this context.

    Nothing else in it may raise an :class:`OSError`.
    """
    try:
        yield
    except OSError as why:
        _discard_the_rest()
        if isinstance(why, BrokenPipeError):
            raise ReaderGone("nothing reads standard output any more") from why
        reason = why.strerror or str(why)
        raise OutputError(f"cannot write standard output: {reason}".lower()) from why


def _discard_the_rest() -> None:
    """Send what is still buffered nowhere: Python would fail to write it once more at exit."""
    with suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
