"""Durations as Go and Traefik write them, in whole numbers: ``10s``, ``500ms``, ``1m30s``."""

from __future__ import annotations

import re

LONGEST_HUB_WAIT = 60.0
"""Seconds that a hub's answer waits for a change at most."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_PART = re.compile("([0-9]{1,9})(ms|s|m|h)")
_DURATION = re.compile(f"(?:{_PART.pattern})+")


def milliseconds_from(text: str) -> int | None:
    """Return the milliseconds of a duration, ``None`` if the text is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
