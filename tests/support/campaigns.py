"""How long a campaign is: short every day, in full when asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")

FULL = os.environ.get("CTSDNS_CAMPAIGN") == "full"
"""Whether the campaigns are to run in full: ``CTSDNS_CAMPAIGN=full python -m pytest``."""


def rounds(everyday: int, full: int) -> int:
    """Return how many rounds to go."""
    return full if FULL else everyday


def some_of(rows: Sequence[Row]) -> Sequence[Row]:
    """Return every third row every day, all of them in full."""
    return rows if FULL else rows[::3]
