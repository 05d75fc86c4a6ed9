"""The access file on disk: read once, or again and again while it is followed.

A file that is read while it is being written may be half a file, and half an access file may be a
valid one that protects less. So content is used only if a second reading, a moment later, finds the
same.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.bounded_file import LARGEST_SETTINGS, PATIENCE, read_bounded
from ctsdns_traefik.core.access import Access, AccessText
from ctsdns_traefik.core.policy import in_bytes
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.releases import NEWEST, Release
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, map_os_errors
from ctsdns_traefik.followed_file import Content, FollowedFile

STEADY = 0.4
"""Seconds for which the content has to stay the same before it is used."""

_RECENT = 2.0
"""Seconds after the last change from which a file is taken to be complete."""

_MOST_FAULTS = 20
_TRIES = 10


class AccessChange(NamedTuple):
    """The new content of a followed access file."""

    access: Access | None
    """``None`` if the content cannot be used."""
    error: str = ""
    """Why it cannot be used."""


def read_access_file(
    path: Path,
    sleep: Callable[[float], None] = time.sleep,
    release: Release | None = None,
) -> AccessText:
    """Read an access file for a release of Traefik, the newest unless it is known.

    Raise :class:`SettingsError`, with line and column of each fault, if it is wrong.
    """
    return _parse(path, _steady_content(path, sleep, PATIENCE), release)


def follow_access_file(
    path: Path,
    sleep: Callable[[float], None] = time.sleep,
    release: Callable[[], Release | None] = lambda: None,
) -> FollowedAccess:
    """Start to follow an access file; raise :class:`SettingsError` as :func:`read_access_file`.

    ``release`` returns Traefik's release, ``None`` while it is not known.
    """
    return FollowedAccess(path, _steady_content(path, sleep), release=release)


class FollowedAccess:
    """An access file that may change while it is in force.

    To make one raises :class:`SettingsError` if the content is wrong.
    """

    def __init__(
        self,
        path: Path,
        content: bytes,
        clock: Callable[[], float] = time.monotonic,
        release: Callable[[], Release | None] = lambda: None,
    ) -> None:
        self.path = path
        self._find_release, self._release = release, release()
        self.access = _parse(path, content, self._release).access
        """That of the last content that could be used."""
        self._refused: Content | None = None
        self._file = FollowedFile(path, STEADY, known=content, clock=clock)

    def read_change(self) -> AccessChange | None:
        """Read the file; return its content if that is new, and the same as a moment ago.

        If Traefik's release is new instead, return the former access for it: what it does not know
        is then left out. Content that was refused may be usable now.
        """
        content, former = self._file.read_change(), self._release
        self._release = self._find_release()
        if content is None and self._release == former:
            return None
        if content is None and self._refused is None:
            self.access = self.access._replace(release=self._release or NEWEST)
            return AccessChange(self.access)
        content = content or self._refused
        return self._read(content) if content else None

    def _read(self, content: Content) -> AccessChange:
        self._refused = content
        if content.data is None:
            return AccessChange(None, f"cannot read {shown(str(self.path))}: {content.error}")
        try:
            self.access = _parse(self.path, content.data, self._release).access
            self._refused = None
            return AccessChange(self.access)
        except SettingsError as why:
            return AccessChange(None, str(why))


def _steady_content(path: Path, sleep: Callable[[float], None], patience: float = 0.0) -> bytes:
    """Return content that stays the same; only that of a regular file can change.

    With ``patience``, in seconds, the content of a pipe is waited for.
    """
    content = _content(path, patience)
    for _ in range(_TRIES):
        if not _is_recent(path):
            return content
        sleep(STEADY)
        before, content = content, _content(path, patience)
        if content == before:
            return content
    raise SettingsError(f"{shown(str(path))} changes all the time: replace it by renaming")


def _is_recent(path: Path) -> bool:
    """Return whether a regular file was changed just now; another kind cannot be read twice."""
    try:
        there = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(there.st_mode) and abs(time.time() - there.st_mtime) < _RECENT


def _content(path: Path, patience: float) -> bytes:
    with map_os_errors(f"cannot read {shown(str(path))}", SettingsError):
        return read_bounded(path, LARGEST_SETTINGS, patience)


def _parse(path: Path, content: bytes, release: Release | None) -> AccessText:
    from ctsdns_traefik.core.access import read_access  # it imports much

    name = shown(str(path))
    try:
        text = content.decode("utf-8-sig")
        return AccessText(str(path), text, read_access(text, release or NEWEST))
    except LocatedError as why:
        raise SettingsError(*_listed(name, text, (why, *why.others))) from why
    except UnicodeDecodeError as why:
        raise SettingsError(f"{name}: it is not UTF-8") from why


def _listed(name: str, text: str, faults: Sequence[LocatedError]) -> Iterator[str]:
    """Yield a line for each fault, up to a number that can be read."""
    for fault in faults[:_MOST_FAULTS]:
        line, column = in_bytes(fault.location, text)
        yield f"{name}:{line}:{column}: {fault.message}"
    if more := len(faults[_MOST_FAULTS:]):
        yield f"{name}: {more} more fault{'s' * (more > 1)}"
