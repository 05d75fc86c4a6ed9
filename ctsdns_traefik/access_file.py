"""The access file on disk: read once, or again whenever its content is another."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.core.access_file import AccessError, read_access
from ctsdns_traefik.core.access_values import Access
from ctsdns_traefik.core.places import Place, in_bytes
from ctsdns_traefik.core.printable import shown
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.logs import as_event

log = logging.getLogger(__name__)


class AccessText(NamedTuple):
    """An access file's text, and what it says."""

    path: str
    """As the user named it."""
    text: str
    access: Access


def read_access_file(path: Path) -> AccessText:
    """Read an access file; raise :class:`SettingsError`, with the place, for one that is wrong."""
    return _parse(path, _content(path))


class FollowedAccess:
    """An access file that may change while it is in force."""

    def __init__(self, path: Path) -> None:
        """Read the file; raise :class:`SettingsError` as :func:`read_access_file` does."""
        self._path = path
        self._content = _content(path)
        self._access = _parse(path, self._content).access
        self._told = ""

    def __call__(self) -> Access:
        """Return what the file says now, or, if it cannot be used, what it said last.

        Why it cannot be is logged once, until it is another reason.
        """
        try:
            content = _content(self._path)
            if content != self._content:
                self._access = _parse(self._path, content).access
                self._content = content
                extra = as_event("access-changed", path=self._path)
                log.info("%s has changed", self._path, extra=extra)
            self._told = ""
        except SettingsError as why:
            if str(why) != self._told:
                extra = as_event("access-error", path=self._path, error=why)
                log.error("%s; what it said last stays in force", why, extra=extra)  # noqa: TRY400
            self._told = str(why)
        return self._access


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
        line, column = in_bytes(Place(why.line, why.column), text)
        raise SettingsError(f"{name}:{line}:{column}: {why.message}") from why
    except UnicodeDecodeError as why:
        raise SettingsError(f"{name}: it is not UTF-8") from why
