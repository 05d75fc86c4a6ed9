"""The line that shows on a terminal that something takes long, and what."""

from __future__ import annotations

import logging
import sys
import time
from threading import Timer
from typing import TYPE_CHECKING, Self

from ctsdns_traefik.core.text import printable
from ctsdns_traefik.logs import PACKAGE
from ctsdns_traefik.terminal import can_move

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

AFTER = 1.0
"""Seconds until the line appears; what ends before shows nothing."""

_ERASE = "\r\x1b[2K"


class Progress:
    """A line on standard error with what is being done, and for how long, while a context lasts.

    It is there only on a terminal that can erase it again, and gone when the context ends. A call
    sets what is being done; messages of the log appear above the line.
    """

    def __init__(self, text: str) -> None:
        self(text)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._timer: Timer | None = None

    def __call__(self, text: str) -> None:
        """Set what is being done."""
        self._text = printable(text)

    def __enter__(self) -> Self:
        if can_move(sys.stderr):
            self._timer = Timer(AFTER, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer.join()
        if self._live:
            self._live.stop()
            for handler in logging.getLogger(PACKAGE).handlers:
                handler.removeFilter(self._make_room)

    def _show(self) -> None:
        from rich.console import Console  # only what takes long needs it
        from rich.live import Live

        console = Console(file=sys.stderr, force_terminal=True, color_system=None)
        live = Live(
            get_renderable=lambda: self._line(console.width),
            console=console,
            transient=True,
            redirect_stdout=False,  # rich would fold lines
            redirect_stderr=False,
        )
        for handler in logging.getLogger(PACKAGE).handlers:
            handler.addFilter(self._make_room)
        live.start(refresh=True)
        console.show_cursor()  # in case that the process is killed
        self._live = live

    def _line(self, width: int) -> Text:
        """Return the line, cut to the width, since only one line can be erased."""
        from rich.text import Text

        after = f" ... {time.monotonic() - self._began:.0f} s"
        line = Text(self._text, no_wrap=True)
        line.truncate(max(width - len(after), 0))
        return line.append(after)

    @staticmethod
    def _make_room(_: logging.LogRecord) -> bool:
        """Erase the line, which is drawn again below the message."""
        sys.stderr.write(_ERASE)
        return True
