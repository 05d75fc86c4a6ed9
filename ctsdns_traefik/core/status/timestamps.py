"""Points in time as text: RFC 3339 in UTC, with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def time_to_text(seconds: float) -> str:
    """Return seconds since 1970 as ``2026-11-21T13:05:09.250Z``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_from_text(text: str) -> float:
    """Return the seconds since 1970 of such a text; raise :class:`ValueError` for any other."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    return moment.timestamp()
