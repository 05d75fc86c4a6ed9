"""Logging to standard error: one line a message, no markup, and no colour off a terminal."""

from __future__ import annotations

import logging
from typing import TextIO

from ctsdns_traefik.core.printable import printable

PACKAGE = "ctsdns_traefik"


def level_for(verbosity: int) -> int:
    """Return the level to log from: INFO, one step down for each ``-v``, up for each ``-q``."""
    return min(max(logging.INFO - 10 * verbosity, logging.DEBUG), logging.CRITICAL)


def set_up(stream: TextIO | None, verbosity: int = 0, *, dated: bool = False) -> None:
    """Log this package's messages to a stream, if there is one; a daemon's lines are dated.

    Other libraries stay silent: their debug messages would show whole URLs.
    """
    logging.raiseExceptions = False  # a closed standard error must not end or disturb anything
    package = logging.getLogger(PACKAGE)
    package.setLevel(level_for(verbosity))
    package.propagate = False
    package.handlers = [_handler(stream, dated=dated)]


def _handler(stream: TextIO | None, *, dated: bool) -> logging.Handler:
    if stream is None:
        return logging.NullHandler()
    if dated and stream.isatty():
        return _rich_handler(stream)
    handler = logging.StreamHandler(stream)
    form = "%(asctime)s %(levelname)s %(message)s" if dated else "%(levelname)s: %(message)s"
    handler.setFormatter(OneLine(form, datefmt="%Y-%m-%dT%H:%M:%S%z"))
    return handler


def _rich_handler(stream: TextIO) -> logging.Handler:
    from rich.console import Console  # only a terminal needs it
    from rich.highlighter import NullHighlighter
    from rich.logging import RichHandler

    handler = RichHandler(
        console=Console(file=stream),
        highlighter=NullHighlighter(),
        markup=False,
        show_path=False,
        log_time_format="%Y-%m-%d %H:%M:%S",
    )
    handler.setFormatter(OneLine("%(message)s"))
    return handler


class OneLine(logging.Formatter):
    """Keeps whatever a message quotes on the message's one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as usual, control characters escaped."""
        return printable(super().format(record))
