"""A line that shows how far a long program is, drawn between its steps and not beside them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from typing import TextIO, TypeVar

from ctsdns_traefik.terminal import can_move

AFTER = 1.0
"""Seconds until the line appears."""

_ERASE = "\r\x1b[2K"

Item = TypeVar("Item")


class ProgressLine:
    """What runs, how far it is, and for how long; on a terminal alone."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self._began = self._drawn = 0.0
        self._task = self._step = ""

    def show_on(self, stream: TextIO) -> bool:
        """Draw on a stream from now on, if it is a terminal; return whether it is."""
        self._stream = stream if can_move(stream) else None
        self._began = time.monotonic()
        return self._stream is not None

    def begin(self, task: str) -> None:
        """Set what runs now."""
        self._task, self._step = task, ""
        self._draw()

    def step(self, text: str) -> None:
        """Set how far it is, at most ten times a second."""
        self._step = text
        if time.monotonic() - self._drawn > 0.1:
            self._draw()

    def clear(self) -> None:
        """Erase the line, so that something else can be printed."""
        if self._stream:
            self._stream.write(_ERASE)
            self._stream.flush()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._stream and self._drawn - self._began >= AFTER:
            text = ", ".join(filter(None, (self._task, self._step)))
            columns = shutil.get_terminal_size().columns - 1
            line = f"{text}, {self._drawn - self._began:.0f} s"[:columns]
            self._stream.write(f"{_ERASE}{line}")
            self._stream.flush()


LINE = ProgressLine()
"""That of this process."""


def counted(items: Sequence[Item]) -> Iterator[Item]:
    """Yield items, and show how many of them there have been."""
    for number, item in enumerate(items):
        LINE.step(f"{number} of {len(items)}")
        yield item
