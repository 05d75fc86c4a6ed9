"""Standard output, for data; what talks goes to standard error."""

from __future__ import annotations

import sys

from ctsdns_traefik.errors import OutputError

STANDARD_STREAM = "-"
"""Stands for standard input or output where a file could be named."""


def emit(text: str) -> None:
    """Write data to standard output, as UTF-8 whatever the locale says."""
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()
