"""Check the health of a running watch by the status file that it keeps."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from ctsdns_traefik.core.status import Health, judge
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import os_reason

_LARGEST = 16 * 1024 * 1024
"""Bytes; only a policy of many thousands of entrypoints, each with a long name, could need more."""


def check_health(path: Path, max_age: float) -> Health:
    """Return the health that a status file shows; unhealthy if it cannot be read."""
    try:
        text = _read(path)
    except (OSError, ValueError) as why:
        return Health(False, f"unhealthy: cannot read {shown(str(path))}: {os_reason(why)}")
    return judge(text, time.time(), max_age)


def _read(path: Path) -> bytes:
    """Return the content of a regular file."""
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError("it is too large")
    return text
