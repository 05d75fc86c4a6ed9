"""Check the health of a running watch by the status file that it keeps."""

from __future__ import annotations

import time
from pathlib import Path

from ctsdns_traefik.bounded_file import read_bounded
from ctsdns_traefik.core.status import Health, judge
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import os_reason

_LARGEST = 16 * 1024 * 1024
"""Bytes; only a policy of many thousands of entrypoints, each with a long name, could need more."""


def check_health(path: Path, max_age: float) -> Health:
    """Return the health that a status file shows; unhealthy if it cannot be read."""
    try:
        text = read_bounded(path, _LARGEST)
    except (OSError, ValueError) as why:
        return Health(False, f"unhealthy: cannot read {shown(str(path))}: {os_reason(why)}")
    return judge(text, time.time(), max_age)
