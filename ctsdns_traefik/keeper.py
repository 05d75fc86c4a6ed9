"""The keeper of the file: each snapshot rendered, guarded, written, and told in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ctsdns_traefik.core.changes import Changes, compare
from ctsdns_traefik.core.document import Document, Format, from_text, to_text
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.core.render import Rendering, render
from ctsdns_traefik.core.snapshot import HostsMap
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
    ) -> None:
        """Take the file, its format, and whether large removals wait for a second opinion.

        ``undisturbed`` makes the context in which a write happens.
        """
        self._path = path
        self._form: Format = form
        self._guard = guard
        self._undisturbed = undisturbed
        self._live: Document = {}
        self._text: str | None = None
        self._hosts: HostsMap | None = None
        self._rendering: Rendering | None = None
        self._doubted: tuple[str, ...] = ()
        self._told: frozenset[Problem] = frozenset()
        self._said: set[str] = set()

    def look(self) -> None:
        """Learn what the file holds, and remove what killed processes left beside it.

        Raise :class:`OutputError` if the file can be neither read nor written.
        """
        require_writable(self._path)
        remove_leftovers(self._path)
        content = read_if_there(self._path)
        self._live = {} if content is None else from_text(content.decode("utf-8", "replace"))

    def create_missing(self) -> None:
        """Create the file with no routes if it is missing: Traefik's provider needs it to start."""
        if read_if_there(self._path) is None:
            self._write(to_text({}, self._form))
            log.info("created %s with no routes", self._path)

    def apply(self, hosts: HostsMap) -> None:
        """Make the file say what these hosts say; raise :class:`OutputError` if it cannot be.

        The file is compared even if the hosts are the same as before: somebody may have edited or
        removed it. While a large removal waits, the file is kept at what it was.
        """
        rendering = self._render(hosts)
        changes = compare(self._live, rendering.document)
        if not self._doubts(changes):
            self._put(rendering, changes)
        elif self._text is not None:
            self._write(self._text)

    def put(self, rendering: Rendering) -> None:
        """Write what was rendered, if it is not there already, and tell what that changes."""
        self._put(rendering, compare(self._live, rendering.document))

    def _put(self, rendering: Rendering, changes: Changes) -> None:
        written = self._write(rendering.text)
        self._live, self._text = rendering.document, rendering.text
        if written.outcome is not Outcome.UNCHANGED:
            log.info("%s", self._summary(written, changes, len(rendering.routes)))

    def _render(self, hosts: HostsMap) -> Rendering:
        if self._rendering is None or hosts != self._hosts:
            self._rendering = render(hosts, self._form)
            self._hosts = hosts
            self._tell(self._rendering.problems)
        return self._rendering

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

    def _write(self, text: str) -> Written:
        with self._undisturbed():
            written = write_if_changed(self._path, text.encode())
        if written.outcome is Outcome.WRITTEN_IN_PLACE:
            self._say_once("%s cannot be renamed over and is written in place")
        if written.owner_lost:
            self._say_once("the owner of %s could not be kept: this process may not set it")
        return written

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning(message, self._path)

    def _summary(self, written: Written, changes: Changes, routes: int) -> str:
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
        return "; ".join(parts)


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
