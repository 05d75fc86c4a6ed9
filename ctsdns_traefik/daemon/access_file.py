"""The access file on disk: read once, or again and again while it is followed.

An access file that is read while it is being written may be half a file, and half a file may be a
valid one that protects less. So a content counts only when a second reading, a moment later, finds
the same.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.core.access import Access, AccessError, AccessText, read_access
from ctsdns_traefik.core.policy import SourceLocation, in_bytes
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError

STEADY = 0.4
"""Seconds for which a content has to stay the same before it counts."""

_RECENT = 2.0
"""Seconds after which a file that was changed is taken to be whole."""

_TRIES = 10


class News(NamedTuple):
    """What a followed access file says now that it did not say before."""

    access: Access | None
    """``None`` if it cannot be used."""
    error: str = ""
    """Why not."""


def read_access_file(path: Path, sleep: Callable[[float], None] = time.sleep) -> AccessText:
    """Read an access file; raise :class:`SettingsError`, with the place, for one that is wrong.

    One that was changed just now is read twice.
    """
    return _parse(path, _steady_content(path, sleep))


def follow_access_file(path: Path) -> FollowedAccess:
    """Begin to follow an access file; raise :class:`SettingsError` as :func:`read_access_file`."""
    _require_regular(path)
    return FollowedAccess(path, _steady_content(path, time.sleep))


class FollowedAccess:
    """An access file that may change while it is in force."""

    def __init__(
        self, path: Path, content: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take where the file is and what it holds; raise :class:`SettingsError` if it is wrong."""
        self.path = path
        self.access = _parse(path, content).access
        """What the last content that could be used says."""
        self._clock = clock
        self._known: bytes | str = content
        self._seen: bytes | str = content
        self._since = 0.0

    def look(self) -> News | None:
        """Read the file; return what it says if that is news, and was the same a moment ago."""
        seen = self._read()
        now = self._clock()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if seen == self._known or now - self._since < STEADY:
            return None
        self._known = seen
        try:
            if isinstance(seen, str):
                return News(None, seen)
            self.access = _parse(self.path, seen).access
            return News(self.access)
        except SettingsError as why:
            return News(None, str(why))

    def _read(self) -> bytes | str:
        """Return the file's content, or, as text, why there is none."""
        try:
            _require_regular(self.path)
            return _content(self.path)
        except SettingsError as why:
            return str(why)


def _steady_content(path: Path, sleep: Callable[[float], None]) -> bytes:
    content = _content(path)
    for _ in range(_TRIES):
        if not _is_recent(path):
            return content
        sleep(STEADY)
        before, content = content, _content(path)
        if content == before:
            return content
    raise SettingsError(f"{shown(str(path))} changes all the time: replace it by renaming")


def _is_recent(path: Path) -> bool:
    """Tell whether a file was changed just now; what is not a regular file can be read once."""
    try:
        there = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(there.st_mode) and abs(time.time() - there.st_mtime) < _RECENT


def _require_regular(path: Path) -> None:
    """Refuse what can be read once, or never ends: it is read again and again."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return  # to read it says why
    if not regular:
        raise SettingsError(f"cannot read {shown(str(path))}: it is not a regular file")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as why:
        reason = str(why.strerror).lower()
        raise SettingsError(f"cannot read {shown(str(path))}: {reason}") from why


def _parse(path: Path, content: bytes) -> AccessText:
    name = shown(str(path))
    try:
        text = content.decode("utf-8-sig")
        return AccessText(str(path), text, read_access(text))
    except AccessError as why:
        line, column = in_bytes(SourceLocation(why.line, why.column), text)
        raise SettingsError(f"{name}:{line}:{column}: {why.message}") from why
    except UnicodeDecodeError as why:
        raise SettingsError(f"{name}: it is not UTF-8") from why
