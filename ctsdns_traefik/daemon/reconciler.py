"""The keeper of the output: each snapshot rendered, guarded and written, with its access.

Two threads use it, the loop's and the one that reads the access file again, one at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from ctsdns_traefik.core.access import Access
from ctsdns_traefik.core.dynamic import (
    Changes,
    Document,
    Format,
    Outline,
    Rendering,
    compare,
    count_by_entrypoint,
    examine,
    find_removed,
    find_unprotected,
    from_text,
    outline,
    recover_routes,
    render,
    render_routes,
    to_text,
)
from ctsdns_traefik.core.policy import HostsMap
from ctsdns_traefik.daemon.events import Journal
from ctsdns_traefik.daemon.memory import give_back
from ctsdns_traefik.errors import CheckRefused, OutputError, Standby
from ctsdns_traefik.output import Outcome, Output, OutputWarning, WriteResult

PERSISTENT = 3
"""Snapshots in a row that differ from what another watch writes, until that is a warning."""


class Traefik(Protocol):
    """Whoever finds out whether Traefik serves what was written; it never keeps the keeper."""

    def ask(self, document: Document) -> None:
        """Find out about a document, which from now on is the one that counts."""

    def ask_again(self, *, written: bool) -> None:
        """Find out about it again if it has been written again, or what was found was not good."""


class Reconciler:
    """Keeps one output at what the last trusted snapshot and the access file say."""

    def __init__(
        self,
        target: Output,
        form: Format = "json",
        *,
        guard: bool = True,
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
        access: Access | None = None,
        journal: Journal | None = None,
        on_change: Callable[[], None] | None = None,
        traefik: Traefik | None = None,
    ) -> None:
        """Take what to keep, its format, and whether large removals wait for a second opinion.

        ``undisturbed`` makes the context in which a write happens, with all that follows from it:
        a signal between the two would leave a change that is not reported. ``access`` says who may
        reach which route, until :meth:`change_access`; ``journal`` is told what happens;
        ``on_change`` is called after each change; ``traefik`` is asked what came of it.
        """
        self._target = target
        self._form: Format = form
        self._guard = guard
        self._undisturbed = undisturbed
        self._lock = threading.Lock()
        self._access = access
        self._enforced = access is None
        """Whether what stands is known to have the access."""
        self._content: bytes | None = None
        self._outline: Outline = {}
        self._hosts: HostsMap | None = None
        """The hosts of what stands, if they are known."""
        self._waiting: HostsMap | None = None
        """The hosts of the last snapshot, while another watch holds the writer lease."""
        self._differing = 0
        """Snapshots in a row that differed from what another watch has written."""
        self._doubted: tuple[str, ...] = ()
        self._journal = journal or Journal()
        self._on_change = on_change
        self._traefik = traefik

    def has_enforced(self, access: Access) -> bool:
        """Tell whether what stands is known to have this access."""
        return self._enforced and access == self._access

    def begin(self) -> None:
        """Look, create what is missing, and put the access in force for the routes that stand.

        Raise :class:`OutputError` if the output can be neither read nor written, unless Traefik
        does not need it at its start: then it may be out of reach and come later, which is
        reported. It has moved since, for all that is known, which is a reason to look. That the
        access cannot be put in force is no reason to end, either.
        """
        with self._lock:
            try:
                self.look()
            except OutputError as why:
                if self._target.needed:
                    raise
                self._journal.unwritable(why)
                if self._access:
                    self._journal.access_waits(why)
                return
            self.create_missing()
            try:
                self._enforce(leave_equal=True)
            except OutputError as why:
                self._journal.access_waits(why)

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

    def change_access(self, access: Access | None) -> None:
        """Put another access in force at once, for the routes that stand; it waits for nothing.

        Raise :class:`OutputError` if it cannot be: then it is tried again with the next hosts, and
        whenever this is called.
        """
        with self._lock:
            if access != self._access:
                self._access, self._enforced = access, False
            self._enforce()

    def _enforce(self, *, leave_equal: bool = False) -> None:
        """Write the routes that stand, with the access.

        They are those of the last hosts. Before any hosts have come, and after another watch has
        written, they are taken from the output itself. ``leave_equal`` leaves what has them with
        the access already, though perhaps in another form.
        """
        if self._enforced:
            return
        if self._hosts is not None and not self._target.moved():
            self.put(self._render(self._hosts), ordered=True)
            return
        self._hosts = None
        standing = self._target.read()
        document = _document_in(standing or b"")
        rendering = render_routes(recover_routes(document), self._form, self._access)
        self._journal.refused(rendering.problems)
        if standing is None or (leave_equal and self._is_equal(rendering, document)):
            self._become_enforced()
            return
        try:
            self.put(rendering, ordered=True)
        except Standby:
            if not self._is_equal(rendering, document):
                raise
            self._become_enforced()  # the watch that writes has the same access file

    def _is_equal(self, rendering: Rendering, document: Document) -> bool:
        held = self._target.as_held(rendering.text.encode())
        return outline(_document_in(held)) == outline(document)

    def _become_enforced(self) -> None:
        if self._access is not None:
            self._journal.access_enforced()
        self._enforced = True

    def apply(self, hosts: HostsMap) -> None:
        """Make the file say what these hosts say; raise :class:`OutputError` if it cannot be.

        Hosts that it says already are not rendered again, but the file is compared: somebody may
        have edited or removed it. While a large removal waits, the file is kept at what it was.
        """
        with self._lock:
            self._journal.expect()  # the lock may have taken as long
            self._waiting = None
            try:
                self._apply(hosts)
            except Standby as why:
                self._stand_by(hosts, why)
                raise
            self._differing = 0

    def _apply(self, hosts: HostsMap) -> None:
        if hosts == self._hosts and self._enforced:
            self._doubted = ()
            self._keep()
            return
        if self._access is None:
            self._hosts = None  # megabytes; with an access, they may be needed once more
        self._take(hosts)
        give_back()

    def _stand_by(self, hosts: HostsMap, why: Standby) -> None:
        """Keep the hosts for :meth:`take_over`, and follow what the other watch writes."""
        self._waiting = hosts
        self._differing = 0 if why.agrees else self._differing + 1
        self._follow()
        persists = self._differing >= PERSISTENT
        notices = (OutputWarning("disagreement", ", and this one stands by"),) if persists else ()
        self._journal.noticed(self._target, notices)

    def take_over(self) -> None:
        """Write the hosts of the last snapshot if this watch stands by and the lease is free.

        What fails is not tried again before the next snapshot, which reports it.
        """
        with self._lock:
            hosts = self._waiting
            try:
                if hosts is None or not self._target.may_write():
                    return
                self._waiting = None
                self._take(hosts)
            except Standby:
                self._waiting = hosts
            except CheckRefused as why:
                self._journal.check_refused(why)
            except OutputError:
                return
            else:
                self._journal.applied()

    def _follow(self) -> None:
        """Read what another watch has written since this one last read or wrote.

        It is what a large removal is measured by, and what stays while that waits.
        """
        if self._target.moved():
            self._content, self._hosts = self._target.read(), None
            self._see(_document_in(self._content or b""))

    def _render(self, hosts: HostsMap) -> Rendering:
        rendering = render(hosts, self._form, self._access)
        self._journal.refused(rendering.problems)
        self._journal.warned(rendering.warnings)
        if self._access:
            from ctsdns_traefik.core.checks import check_unused  # it imports much

            self._journal.access_unused(check_unused(rendering.entries, self._access))
        return rendering

    def _take(self, hosts: HostsMap) -> None:
        """Write what the hosts say, unless that has to wait.

        An access that is not in force yet comes with it. A check command may refuse the routes that
        stand with that access, and agree to the new ones: so the new ones are tried first.
        """
        rendering = self._render(hosts)
        with self._undisturbed():
            self._follow()
        if self._doubts(find_removed(self._outline, rendering.document)):
            self._enforce()
            self._keep()
            return
        try:
            self.put(rendering, hosts, ordered=not self._enforced)
        except CheckRefused:
            if hosts != self._hosts:
                self._enforce()
            raise

    def put(
        self, rendering: Rendering, hosts: HostsMap | None = None, *, ordered: bool = False
    ) -> None:
        """Write what was rendered, if it is not there already, and report what that changes.

        ``hosts`` are those that were rendered, if they are others than before. ``ordered`` says
        that the operator wants it so, and not only a snapshot: then the routers that lose their
        protection by it are reported, too.
        """
        content = rendering.text.encode()
        with self._undisturbed():
            before = self._target.read() if ordered else None
            written = self._target.write(content)
            self._content = content
            self._hosts = self._hosts if hosts is None else hosts
            held = self._target.as_held(content)
            document = rendering.document if held is content else _document_in(held)
            new = outline(document)
            changes, self._outline = compare(self._outline, new), new
            self._journal.holds(Counter(route.entry.entrypoint for route in rendering.routes))
            if ordered:
                standing = _document_in(before or b"")
                self._journal.unprotected(find_unprotected(standing, document))
                self._become_enforced()
            self._tell(written, changes, document)

    def _keep(self) -> None:
        """Put the file right if it is not what it was."""
        if self._content is None:
            return
        with self._undisturbed():
            written, before = self._target.write(self._content), self._outline
            if written.outcome is not Outcome.UNCHANGED and not self._target.needed:
                self._see(_document_in(self._target.as_held(self._content)))
            self._tell(written, compare(before, self._outline))

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

    def _tell(
        self, written: WriteResult, changes: Changes, document: Document | None = None
    ) -> None:
        """Report what a write did; a document may be another than before."""
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
