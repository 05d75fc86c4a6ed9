"""Files that a command line names twice: one that is written must have no other purpose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from ctsdns_traefik.cli.stdio import STANDARD_STREAM

_SOURCES = ("source", "endpoint")
"""Parameters that may hold a path, a URL, or ``-`` for standard input."""

Identity = tuple[int, int] | str


def require_different(*written: str) -> None:
    """Raise :class:`click.UsageError` if a file to be written is also another parameter's.

    ``written`` are the options of such files. Files are compared, not paths, so that symbolic and
    hard links do not matter.
    """
    named = dict(_named_files(click.get_current_context()))
    for own in {named[option] for option in written if option in named}:
        shared = [name for name, identity in named.items() if identity == own]
        if len(shared) > 1:
            raise click.UsageError(f"{' and '.join(shared)} name the same file")


def _named_files(context: click.Context) -> Iterator[tuple[str, Identity]]:
    """Yield each parameter that names a file, and the identity of that file."""
    for param in context.command.params:
        value = context.params.get(param.name or "")
        name = param.opts[-1] if isinstance(param, click.Option) else param.human_readable_name
        if param.name in _SOURCES and value == STANDARD_STREAM:
            if standard_input := _identity_of_standard_input():
                yield name, standard_input
        elif isinstance(value, Path) and value != Path(STANDARD_STREAM):
            yield name, _identity(value)
        elif param.name in _SOURCES and isinstance(value, str):
            yield name, _identity(Path(value))


def _identity(path: Path) -> Identity:
    """Return what all paths of one file have in common; the file need not exist."""
    try:
        status = path.stat()
    except OSError:
        with suppress(OSError):  # a relative path, and the working directory is gone
            return os.path.realpath(path)
        return str(path)
    except ValueError:  # no file can have such a name
        return str(path)
    return status.st_dev, status.st_ino


def _identity_of_standard_input() -> Identity | None:
    try:
        status = os.fstat(0)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
