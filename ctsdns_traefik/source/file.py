"""A policy or snapshot file as a source: read again as soon as it has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import SnapshotError
from ctsdns_traefik.core.text import in_quotes, quoted, shown
from ctsdns_traefik.errors import Reason, SettingsError, SourceError
from ctsdns_traefik.followed_file import Content, FollowedFile
from ctsdns_traefik.source.base import BY_ITSELF, Expect, Policy, Received, Untrusted, Wording
from ctsdns_traefik.source.once import policy_of_file

PAUSE = 0.1
"""Seconds between two looks at the file."""

STEADY = 0.2
"""Seconds for which content has to stay the same before it is used."""

REPEAT = 30.0
"""Seconds after which a policy that has not changed is yielded again, so that a changed output is
put right."""

CONFIRM = 2.0
"""Seconds after which it is yielded again to confirm a removal."""

_GRACE = 1.0


_SCHEME = re.compile(r"(?:https?|tailscale|headscale(?:\+https?)?):|.*?://", re.IGNORECASE)
"""How an address begins that is no path; a path that does can have ``file:`` or ``./`` in front."""

_MAY_HOLD_SECRET = re.compile(r"[^./][^/]*@|[^./].*(?:\?|:[^/]*@)")
"""A URL without its scheme, whose user, password or query no message may repeat."""


_WITHOUT_SCHEME = re.compile(
    r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\]):(?P<port>[0-9]{1,5})(?:/.*)?|(?:[a-z0-9-]+\.)+[a-z]{2,}/.*",
    re.IGNORECASE,
)
"""How a URL looks without its scheme: an address and a port, or a name with a dot and a path."""


def path_from(address: str) -> Path | None:
    """Return the path that an address is, by itself or as ``file:PATH``; ``None`` if it is none.

    Raise :class:`SettingsError` for what is meant as a path and is none.
    """
    scheme, _, rest = address.partition(":")
    if scheme.lower() == "file":
        if rest.startswith("//"):
            host, slash, rest = rest[2:].partition("/")
            if host not in ("", "localhost"):
                raise SettingsError("the file URL names a host: write file:///PATH")
            rest = unquote(slash + rest)
        if not rest:
            raise SettingsError("file: names no file: write file:PATH")
        return Path(rest)
    if _SCHEME.match(address) or (_MAY_HOLD_SECRET.match(address) and not _exists(address)):
        return None
    if in_quotes(address):
        raise SettingsError("the source is in quotes: write it without")
    if not address:
        raise SettingsError("the source is empty: write a URL or a path")
    url = _WITHOUT_SCHEME.fullmatch(address)
    if url and not _exists(address.partition("/")[0]):
        port = url["port"] or "443"
        meant = f"http{'s' * port.endswith('443')}://{address}"
        raise SettingsError(f"{quoted(address)} is no file (did you mean {shown(meant)}?)")
    return Path(address)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


class FileSource:
    """A file that is followed: edited, replaced, reached by links that change, or gone for a while.

    A run lasts as long as the file can be read.
    """

    wording = Wording("following", "cannot read", "cannot read")
    interval = REPEAT

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._file = FollowedFile(path, STEADY, clock=clock)
        self._content: Content | None = None
        """What the file was last known to hold."""
        self._received: Received | None = None
        """What that means, once it has been parsed."""
        self._unconfirmed = False

    def __str__(self) -> str:
        return shown(str(self._path))

    @contextmanager
    def follow(self, cancellation: Cancellation, expect: Expect) -> Iterator[Iterator[Received]]:
        """Wait until the file can be read, and yield what it holds, and each change."""
        while not self._has_changed() and self._content is None:
            self._pause(cancellation, expect)
        self._require_readable()
        yield self._follow(cancellation, expect)

    def pause(self, cancellation: Cancellation, seconds: float) -> None:
        """Wait for so long, or until the file has changed."""
        due = self._clock() + seconds
        while self._clock() < due and not cancellation.pause(PAUSE):
            if self._has_changed():
                return

    def refresh(self) -> str:
        """Do nothing: changes are seen at once."""
        return BY_ITSELF

    def confirm(self) -> None:
        """Yield the policy again soon, if it does not change."""
        self._unconfirmed = True

    def _follow(self, cancellation: Cancellation, expect: Expect) -> Iterator[Received]:
        while True:
            received = self._received = self._received or self._read()
            yield received
            due = self._clock() + (CONFIRM if self._unconfirmed else REPEAT)
            self._unconfirmed = False
            while not self._has_changed():
                if self._clock() >= due and isinstance(received, Policy):
                    break
                self._pause(cancellation, expect)
            self._require_readable()

    def _pause(self, cancellation: Cancellation, expect: Expect) -> None:
        expect(PAUSE + _GRACE)
        cancellation.pause(PAUSE)
        cancellation.check()

    def _has_changed(self) -> bool:
        content = self._file.read_change()
        if content is not None:
            self._content, self._received = content, None
        return content is not None

    def _require_readable(self) -> None:
        if self._content and self._content.data is None:
            # Seldom, for the log: a change of the file ends the pause.
            raise SourceError(self._content.error, REPEAT, Reason.UNREADABLE)

    def _read(self) -> Received:
        data = self._content.data if self._content else None
        try:
            return policy_of_file(iter([data or b""]), str(self._path))
        except (SnapshotError, SourceError) as why:
            return Untrusted(f"{self}: {why}")
