"""The keeper of the file: each snapshot rendered, guarded, written, and told in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ctsdns_traefik.core.access_values import Access
from ctsdns_traefik.core.changes import NO_CHANGES, Changes, Outline, compare, find_removed, outline
from ctsdns_traefik.core.document import Format, from_text, to_text
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.core.render import Rendering, render
from ctsdns_traefik.core.snapshot import HostsMap
from ctsdns_traefik.memory import give_back
from ctsdns_traefik.output import (
    Outcome,
    Written,
    read_if_there,
    remove_leftovers,
    require_writable,
    write_if_changed,
)

log = logging.getLogger(__name__)

NAMED_AT_MOST = 30
"""Routers that one log line names; beyond that it counts them."""


class Keeper:
    """Keeps one file at what the last trusted snapshot says."""

    def __init__(
        self,
        path: Path,
        form: Format = "json",
        *,
        guard: bool = True,
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
        access: Callable[[], Access | None] = lambda: None,
    ) -> None:
        """Take the file, its format, and whether large removals wait for a second opinion.

        ``undisturbed`` makes the context in which a write happens; ``access`` says who may reach
        which route, and is asked at each snapshot.
        """
        self._path = path
        self._form: Format = form
        self._guard = guard
        self._undisturbed = undisturbed
        self._ask_access = access
        self._access: Access | None = None
        self._content: bytes | None = None
        self._outline: Outline = {}
        self._hosts: HostsMap | None = None
        self._doubted: tuple[str, ...] = ()
        self._told: frozenset[Problem] = frozenset()
        self._said: set[str] = set()

    def look(self) -> None:
        """Learn what the file holds, and remove what killed processes left beside it.

        Raise :class:`OutputError` if the file can be neither read nor written.
        """
        require_writable(self._path)
        remove_leftovers(self._path)
        self._content = read_if_there(self._path)
        if self._content is not None:
            self._outline = outline(from_text(self._content.decode("utf-8", "replace")))

    def create_missing(self) -> None:
        """Create the file with no routes if it is missing: Traefik's provider needs it to start."""
        if read_if_there(self._path) is None:
            self._content = to_text({}, self._form).encode()
            self._write(self._content)
            log.info("created %s with no routes", self._path)

    def apply(self, hosts: HostsMap) -> None:
        """Make the file say what these hosts say; raise :class:`OutputError` if it cannot be.

        Hosts that it says already are not rendered again, but the file is compared: somebody may
        have edited or removed it. While a large removal waits, the file is kept at what it was.
        Another access is in force at once, for the hosts before these too: that waits for nothing.
        """
        self._take_access(self._ask_access())
        if hosts == self._hosts:
            self._doubted = ()
            self._keep()
        else:
            before, self._hosts = self._hosts if self._access else None, None
            self._hosts = hosts if self._take(hosts) else before
            give_back()

    def _take_access(self, access: Access | None) -> None:
        if self._hosts is not None and access != self._access:
            rendering = render(self._hosts, self._form, access)
            self._tell(rendering.problems)
            self.put(rendering)
        self._access = access

    def _take(self, hosts: HostsMap) -> bool:
        """Write what the hosts say, unless that has to wait; tell whether it is written."""
        rendering = render(hosts, self._form, self._access)
        self._tell(rendering.problems)
        if self._doubts(find_removed(self._outline, rendering.document)):
            self._keep()
            return False
        self.put(rendering)
        return True

    def put(self, rendering: Rendering) -> None:
        """Write what was rendered, if it is not there already, and tell what that changes."""
        content = rendering.text.encode()
        written = self._write(content)
        new = outline(rendering.document)
        changes = compare(self._outline, new)
        self._content, self._outline = content, new
        self._log(written, changes)

    def _keep(self) -> None:
        """Put the file right if it is not what it was."""
        if self._content is not None:
            self._log(self._write(self._content), NO_CHANGES)

    def _tell(self, problems: tuple[Problem, ...]) -> None:
        """Log each problem once, until it changes."""
        for problem in problems:
            if problem not in self._told:
                log.warning("%s", problem)
        self._told = frozenset(problems)

    def _doubts(self, changes: Changes) -> bool:
        """Tell whether a removal is so large that the next snapshot has to agree first."""
        if not (self._guard and changes.drastic):
            self._doubted = ()
            return False
        if self._doubted == changes.removed:
            return False
        self._doubted = changes.removed
        log.warning(
            "the snapshot would remove %d of %d routes: waiting for the next one to agree (%s)",
            len(changes.removed),
            changes.before,
            _listed(changes.removed),
        )
        return True

    def _write(self, content: bytes) -> Written:
        with self._undisturbed():
            written = write_if_changed(self._path, content)
        if written.outcome is Outcome.WRITTEN_IN_PLACE:
            self._say_once("%s cannot be renamed over and is written in place")
        if written.owner_lost:
            self._say_once("the owner of %s could not be kept: this process may not set it")
        return written

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning(message, self._path)

    def _log(self, written: Written, changes: Changes) -> None:
        if written.outcome is Outcome.UNCHANGED:
            return
        routes = len(self._outline)
        parts = [
            f"{written.outcome.value} {self._path}: {routes} route{'' if routes == 1 else 's'}"
        ]
        for what, names in (
            ("added", changes.added),
            ("changed", changes.changed),
            ("removed", changes.removed),
        ):
            if names:
                parts.append(f"{what} {_listed(names)}")
        if len(parts) == 1:
            parts.append("the same as before, but the file said something else")
        log.info("%s", "; ".join(parts))


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
