"""Logging to standard error: one line a message, no markup, and only the level in colour."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Literal, Protocol, TextIO

from ctsdns_traefik.core.status import time_to_text
from ctsdns_traefik.core.text import printable
from ctsdns_traefik.terminal import Paint, painter

PACKAGE = "ctsdns_traefik"

LogFormat = Literal["text", "json"]

log = logging.getLogger(__name__)


def as_event(event: str, **fields: object) -> dict[str, object]:
    """Return what a log call takes as ``extra``: the name of what happened, and its details.

    Text lines show neither; docs/status.md lists all names.
    """
    return {"event": event, "fields": fields}


class Loggable(Protocol):
    """An event that can be logged; its text is the message."""

    @property
    def event(self) -> str:
        """Its name."""

    @property
    def level(self) -> int:
        """The level to log it at."""

    def fields(self) -> dict[str, object]:
        """Return its details."""


def log_event(event: Loggable) -> None:
    """Log an event: its message as text, its name and fields in JSON."""
    log.log(event.level, "%s", event, extra=as_event(event.event, **event.fields()))


def level_for(verbosity: int) -> int:
    """Return the level to log from: INFO, one step down for each ``-v``, up for each ``-q``."""
    return min(max(logging.INFO - 10 * verbosity, logging.DEBUG), logging.CRITICAL)


def set_up(
    stream: TextIO | None, verbosity: int = 0, *, dated: bool = False, form: LogFormat = "text"
) -> None:
    """Log this package to a stream, if there is one; ``dated`` lines begin with the time.

    With ``json`` each is an object on a line of its own, on a terminal, too.
    Other libraries are not logged: their debug messages would show whole URLs.
    """
    logging.raiseExceptions = False  # a closed standard error must not end or disturb anything
    package = logging.getLogger(PACKAGE)
    package.setLevel(level_for(verbosity))
    package.propagate = False
    package.handlers = [_handler(stream, dated=dated, form=form)]


def log_failure(message: str, exit_code: int) -> bool:
    """Log the error that ends the process, at any level, if the log is JSON; return whether so."""
    package = logging.getLogger(PACKAGE)
    if not any(isinstance(each.formatter, JsonLines) for each in package.handlers):
        return False
    extra = as_event("failed", exit_code=exit_code)
    package.handle(
        package.makeRecord(PACKAGE, logging.ERROR, "", 0, "%s", (message,), None, extra=extra)
    )
    return True


def _handler(stream: TextIO | None, *, dated: bool, form: LogFormat) -> logging.Handler:
    if stream is None:
        return logging.NullHandler()
    if form == "json":
        plain = logging.StreamHandler(stream)
        plain.setFormatter(JsonLines())
        return plain
    handler = logging.StreamHandler(stream)
    line = "%(asctime)s %(levelname)s %(message)s" if dated else "%(levelname)s: %(message)s"
    handler.setFormatter(OneLine(line, painter(stream)))
    return handler


class OneLine(logging.Formatter):
    """Keeps a message on one line by escaping line ends in what it quotes.

    A terminal wraps a line that is too long itself, and copies it as one.
    """

    def __init__(self, line: str, paint: Paint) -> None:
        super().__init__(line, datefmt="%Y-%m-%dT%H:%M:%S%z")
        self._paint = paint

    def format(self, record: logging.LogRecord) -> str:
        """Format as usual, control characters escaped, and put the level in its colour."""
        level = record.levelname
        return printable(super().format(record)).replace(level, self._paint(level), 1)


class JsonLines(logging.Formatter):
    """Makes each message an object: time, level, event, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object in ASCII, which any encoding of the stream can carry."""
        import json  # only this format needs it

        line = {
            "time": time_to_text(record.created),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "other"),
            "message": printable(super().format(record)),
        }
        return json.dumps(line | _plain(getattr(record, "fields", {})))


def _plain(value: object) -> Any:
    """Return a value as JSON has it, the control characters of its texts escaped."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return printable(str(value))
