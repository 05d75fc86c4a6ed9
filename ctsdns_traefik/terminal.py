"""Terminals: which stream gets colour, which encoding it has, and the colour of each severity."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

Paint = Callable[[str], str]
"""Returns a word, in its colour if it names a severity."""

_RED, _YELLOW, _GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"
_END = "\x1b[0m"

_COLOURS = {
    **dict.fromkeys(("error", "critical", "failed", "✗"), _RED),
    "warning": _YELLOW,
    **dict.fromkeys(("ok", "✓"), _GREEN),
}


def has_colour(stream: TextIO | None) -> bool:
    """Return whether a stream gets colour.

    ``NO_COLOR`` turns it off (https://no-color.org), or else ``FORCE_COLOR`` on, in a pipe, too
    (https://force-color.org), each by any value but an empty one. Otherwise a terminal gets it.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or can_move(stream)


def can_move(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that knows escape sequences."""
    return is_terminal(stream) and os.environ.get("TERM") not in {"dumb", "unknown"}


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; one that is closed is none."""
    return stream is not None and not stream.closed and stream.isatty()


def is_utf8(stream: TextIO) -> bool:
    """Return whether a stream's encoding is UTF-8."""
    return stream.encoding.lower().replace("-", "") == "utf8"


def painter(stream: TextIO | None) -> Paint:
    """Return what puts the names of severities in their colours, if the stream gets colour."""
    return _painted if has_colour(stream) else str


def _painted(word: str) -> str:
    colour = _COLOURS.get(word.lower())
    return f"{colour}{word}{_END}" if colour else word
