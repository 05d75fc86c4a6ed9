"""The keeper of the file: each snapshot rendered, guarded and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from ctsdns_traefik.core.access_values import Access
from ctsdns_traefik.core.changes import (
    NO_CHANGES,
    Changes,
    Outline,
    compare,
    count_by_entrypoint,
    find_removed,
    outline,
)
from ctsdns_traefik.core.document import Document, Format, from_text, to_text
from ctsdns_traefik.core.ownership import examine
from ctsdns_traefik.core.render import Rendering, render
from ctsdns_traefik.core.snapshot import HostsMap
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.journal import Journal
from ctsdns_traefik.memory import give_back
from ctsdns_traefik.target import Outcome, Target, Written


class Traefik(Protocol):
    """Whoever finds out whether Traefik serves what was written; it never keeps the keeper."""

    def ask(self, document: Document) -> None:
        """Find out about a document, which from now on is the one that counts."""

    def ask_again(self, *, written: bool) -> None:
        """Find out about it again if it has been written again, or what was found was not good."""


class Keeper:
    """Keeps one file at what the last trusted snapshot says."""

    def __init__(
        self,
        target: Target,
        form: Format = "json",
        *,
        guard: bool = True,
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
        access: Callable[[], Access | None] = lambda: None,
        journal: Journal | None = None,
        on_change: Callable[[], None] | None = None,
        traefik: Traefik | None = None,
    ) -> None:
        """Take what to keep, its format, and whether large removals wait for a second opinion.

        ``undisturbed`` makes the context in which a write happens, with all that follows from it:
        a signal between the two would leave a change that nobody is told of. ``access`` says who
        may reach which route, and is asked at each snapshot; ``journal`` is told what happens;
        ``on_change`` is called after each change; ``traefik`` is asked what came of it.
        """
        self._target = target
        self._form: Format = form
        self._guard = guard
        self._undisturbed = undisturbed
        self._ask_access = access
        self._access: Access | None = None
        self._content: bytes | None = None
        self._outline: Outline = {}
        self._hosts: HostsMap | None = None
        self._doubted: tuple[str, ...] = ()
        self._journal = journal or Journal()
        self._on_change = on_change
        self._traefik = traefik

    def begin(self) -> None:
        """Look, and create what is missing; raise :class:`OutputError` if that is needed.

        What Traefik does not need at its start may be out of reach and come later: then that is
        told. It has moved since, for all that is known, which is a reason to look.
        """
        try:
            self.look()
        except OutputError as why:
            if self._target.needed:
                raise
            self._journal.unwritable(why)
        else:
            self.create_missing()

    def look(self) -> None:
        """Learn what the file holds, and remove what killed processes left beside it.

        Raise :class:`OutputError` if the file can be neither read nor written, or is not to be
        replaced.
        """
        self._journal.noticed(self._target, self._target.prepare())
        self._content = self._target.read()
        if self._content is not None:
            document, foreign = examine(self._content)
            self._target.accept(self._content, foreign)
            self._see(document)

    def _see(self, document: Document) -> None:
        """Learn what stands there, whoever wrote it."""
        self._outline = outline(document)
        self._journal.holds(count_by_entrypoint(document))
        self._ask_traefik(document)

    def create_missing(self) -> None:
        """Create the file with no routes if it is missing: Traefik's provider needs it to start."""
        if self._target.needed and self._target.read() is None:
            self._content = to_text({}, self._form).encode()
            with self._undisturbed():
                self._target.write(self._content)
                self._journal.created(self._target)
                self._ask_traefik({})
                self._run_hook()

    def apply(self, hosts: HostsMap) -> None:
        """Make the file say what these hosts say; raise :class:`OutputError` if it cannot be.

        Hosts that it says already are not rendered again, but the file is compared: somebody may
        have edited or removed it. While a large removal waits, the file is kept at what it was.
        Another access is in force at once, for the hosts before these too: that waits for nothing.
        """
        with self._undisturbed():
            access = self._ask_access()
        self._take_access(access)
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
            self._journal.refused(rendering.problems)
            self._journal.warned(rendering.warnings)
            self.put(rendering, ordered=True)
        self._access = access

    def _take(self, hosts: HostsMap) -> bool:
        """Write what the hosts say, unless that has to wait; tell whether it is written."""
        rendering = render(hosts, self._form, self._access)
        self._journal.refused(rendering.problems)
        self._journal.warned(rendering.warnings)
        with self._undisturbed():
            if self._target.moved():
                self._see(_document_in(self._target.read() or b""))
        if self._doubts(find_removed(self._outline, rendering.document)):
            self._keep()
            return False
        self.put(rendering)
        return True

    def put(self, rendering: Rendering, *, ordered: bool = False) -> None:
        """Write what was rendered, if it is not there already, and tell what that changes."""
        content = rendering.text.encode()
        with self._undisturbed():
            written = self._target.write(content, ordered=ordered)
            self._content = content
            if written.outcome is Outcome.LEFT:
                self._leave(written)
                return
            held = self._target.as_held(content)
            document = rendering.document if held is content else _document_in(held)
            new = outline(document)
            changes, self._outline = compare(self._outline, new), new
            self._journal.holds(Counter(route.entry.entrypoint for route in rendering.routes))
            self._tell(written, changes, document)

    def _keep(self) -> None:
        """Put the file right if it is not what it was."""
        if self._content is None:
            return
        with self._undisturbed():
            written, before = self._target.write(self._content), self._outline
            if written.outcome is Outcome.LEFT:
                self._leave(written)
                return
            if written.outcome is not Outcome.UNCHANGED and not self._target.needed:
                self._see(_document_in(self._target.as_held(self._content)))
            self._tell(written, compare(before, self._outline))

    def _leave(self, written: Written) -> None:
        """Know that another watch's document stands, and is not this one's to replace."""
        self._see(_document_in(self._target.read() or b""))
        self._journal.wrote(self._target, written, NO_CHANGES, len(self._outline))

    def _doubts(self, changes: Changes) -> bool:
        """Tell whether a removal is so large that the next snapshot has to agree first."""
        if not (self._guard and changes.drastic):
            self._doubted = ()
            return False
        if self._doubted == changes.removed:
            return False
        self._doubted = changes.removed
        self._journal.doubted(changes)
        return True

    def _tell(self, written: Written, changes: Changes, document: Document | None = None) -> None:
        """Tell what a write did, and whom it concerns; a document may be another than before."""
        self._journal.wrote(self._target, written, changes, len(self._outline))
        changed = written.outcome is not Outcome.UNCHANGED
        if document is not None and (changed or any(changes[:3])):
            self._ask_traefik(document)
        elif self._traefik:
            self._traefik.ask_again(written=changed)
        if changed:
            self._run_hook()

    def _run_hook(self) -> None:
        if self._on_change:
            self._on_change()

    def _ask_traefik(self, document: Document) -> None:
        if self._traefik:
            self._traefik.ask(document)


def _document_in(content: bytes) -> Document:
    return from_text(content.decode("utf-8", "replace"))
