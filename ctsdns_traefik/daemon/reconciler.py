"""The reconciler: renders each snapshot, holds large removals, and writes it with its access.

Three threads use it, one at a time: the loop's, the access reloader's and the standby timer's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator
from typing import NamedTuple, Protocol

from ctsdns_traefik.core.access import Access
from ctsdns_traefik.core.dynamic import (
    Basis,
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
    udp_entrypoints,
)
from ctsdns_traefik.core.policy import HostsMap, UnlikelyHosts
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import (
    AccessEnforced,
    AccessPending,
    AccessSettingsUnused,
    EntriesRefused,
    EntriesWarned,
    LeaseHeld,
    LeaseTaken,
    OutputCreated,
    OutputReported,
    OutputWritten,
    OwnerLost,
    ProtectionRemoved,
    RemovalHeld,
    RoutesCounted,
    SnapshotApplied,
    StandingBy,
    UdpRoutesStay,
    WriteFailed,
    WriteRefused,
    WrittenInPlace,
)
from ctsdns_traefik.daemon.memory import give_back
from ctsdns_traefik.errors import CheckRefused, OutputError, Standby
from ctsdns_traefik.output import Outcome, Output, OutputWarning, WriteResult

PERSISTENT = 3
"""Snapshots in a row that differ from what another watch writes, until that is a warning."""

MANY_ITEMS = 100
"""New routers and services whose rendering leaves memory that is worth a search for it."""


class DocumentVerifier(Protocol):
    """Finds out whether Traefik serves what was written; its methods return at once."""

    def verify(self, document: Document) -> None:
        """Verify a document, in place of any earlier one."""

    def verify_again(self, *, written: bool) -> None:
        """Verify the last document again if it was written again, or the result was not good."""


class Readers(Protocol):
    """Get what is accepted and written; its methods return at once."""

    def publish_hosts(self, hosts: HostsMap) -> None:
        """Publish the hosts of a trusted snapshot, unless a removal in it is held."""

    def publish_document(self, content: bytes, document: Document, *, trusted: bool) -> None:
        """Publish what the output holds, and whether that comes from a trusted snapshot."""


class _Last(NamedTuple):
    """The last rendering, for the next one."""

    basis: Basis | None
    outline: Outline
    fresh: int
    """How many routers and services were not in the rendering before."""


class Reconciler:
    """Keeps one output at what the last trusted snapshot and the access file want.

    ``guard`` holds large removals until the next snapshot agrees, and with ``damaged`` removals
    together with changes: what survives of a damaged policy may lead to other machines.
    ``check_stop`` is called before each write, and raises if the process is to stop: a write that
    has begun is completed, reported, and followed by its hook. ``access`` is in force until
    :meth:`change_access`; ``on_change`` is called after each change, ``verifier`` gets each
    document that was written, and ``readers`` get that, too, and the hosts. ``without_tls`` has the
    entrypoints that are known to have no TLS.
    """

    _foreign = False
    """Whether the output holds what somebody else wrote, which is to be replaced."""
    _content: bytes | None = None
    _hosts: HostsMap | None = None
    """The hosts of what the output holds, if they are known."""
    _standing_by = False
    _warned = True
    """Whether the last report of the output had warnings, as far as is known."""

    def __init__(
        self,
        output: Output,
        form: Format = "json",
        *,
        guard: bool = True,
        damaged: bool = False,
        check_stop: Callable[[], None] = lambda: None,
        access: Access | None = None,
        publisher: EventPublisher | None = None,
        on_change: Callable[[], None] | None = None,
        verifier: DocumentVerifier | None = None,
        readers: Readers | None = None,
        without_tls: Container[str] = (),
    ) -> None:
        self._readers = readers
        self._without_tls = without_tls
        self._output = output
        self._form: Format = form
        self._guard = guard
        self._damaged = damaged
        self._check_stop = check_stop
        self._lock = threading.Lock()
        self._access = access
        self._enforced = access is None
        """Whether the output is known to have the access."""
        self._outline: Outline = {}
        self._udp: frozenset[str] = frozenset()
        """The entrypoints of the UDP routers that the output holds."""
        self._last = _Last(None, {}, 0)
        self._held: tuple[str, ...] = ()
        """The routers of the removal that is held, and of changes with it."""
        self._waiting: HostsMap | None = None
        """The hosts of the last snapshot, while another process holds the writer lease."""
        self._differing = 0
        """Snapshots in a row that differed from what another process has written."""
        self._publisher = publisher or EventPublisher()
        self._publish = self._publisher.publish
        self._on_change = on_change
        self._verifier = verifier

    def has_enforced(self, access: Access) -> bool:
        """Return whether the output is known to have this access."""
        return self._enforced and access == self._access

    def prepare(self) -> None:
        """Inspect the output, create what is missing, and enforce the access on present routes.

        Raise :class:`OutputError` if the output can be neither read nor written. One that Traefik
        does not need at its start may be out of reach and come later: that is published, and so is
        an access that cannot be enforced yet.
        """
        with self._lock:
            try:
                self.inspect()
            except OutputError as why:
                self._check_stop()
                if self._output.needed:
                    raise
                self._publish(WriteFailed(str(why)))
                if self._access:
                    self._publish(AccessPending(str(why)))
                return
            self.create_missing()
            try:
                self._enforce(leave_equal=True)
            except OutputError as why:
                self._publish(AccessPending(str(why)))
                return
            self._publish_present()

    def inspect(self) -> None:
        """Read what the output holds, and remove what killed processes left beside it.

        Raise :class:`OutputError` if it can be neither read nor written, or must not be replaced.
        """
        self._warned = True
        self._publish(OutputReported(str(self._output), self._output.prepare()))
        self._content = self._output.read()
        if self._content is not None:
            document, foreign = examine(self._content)
            self._foreign = bool(foreign)
            self._output.accept(self._content, foreign)
            self._adopt(document)

    def _adopt(self, document: Document) -> None:
        """Take a document that the output holds, whether or not this watch wrote it, as present."""
        self._outline, self._udp = outline(document), udp_entrypoints(document)
        self._publish(RoutesCounted(count_by_entrypoint(document)))
        self._verify(document)

    def create_missing(self) -> None:
        """Create the file with no routes if it is missing: Traefik's provider needs it to start."""
        if self._output.needed and self._output.read() is None:
            self._content = to_text({}, self._form).encode()
            self._check_stop()
            self._output.write(self._content)
            self._publish(OutputCreated(str(self._output)))
            self._verify({})
            self._run_hook()

    def change_access(self, access: Access | None) -> None:
        """Enforce another access on the present routes at once.

        Raise :class:`OutputError` if that fails: then it is tried again with the next hosts, and
        whenever this is called.
        """
        with self._lock:
            if access != self._access:
                self._access, self._enforced = access, False
            try:
                self._enforce()
            except OutputError:
                self._check_stop()  # a stop ends a check command, and the connection to a store
                raise

    def _enforce(self, *, leave_equal: bool = False) -> None:
        """Write the present routes with the access.

        They are those of the last hosts. Before any hosts have come, and after another watch has
        written, they are recovered from the output itself. ``leave_equal`` leaves an output alone
        that has them with the access already, though perhaps in another form.
        """
        if self._enforced:
            return
        if self._hosts is not None and not self._output.moved():
            self.write(self._render(self._hosts), ordered=True)
            return
        self._hosts = None
        content = self._output.read()
        document = _document_in(content or b"")
        rendering = render_routes(recover_routes(document), self._form, self._access)
        self._publish(EntriesRefused(tuple(rendering.diagnostics)))
        if content is None or (leave_equal and self._is_equal(rendering, document)):
            self._mark_enforced()
            return
        try:
            self.write(rendering, ordered=True)
        except Standby:
            if not self._is_equal(rendering, document):
                raise
            self._mark_enforced()  # the watch that writes has the same access file

    def _is_equal(self, rendering: Rendering, document: Document) -> bool:
        held = self._output.as_held(rendering.text.encode())
        return outline(_document_in(held)) == outline(document)

    def _mark_enforced(self) -> None:
        if self._access is not None:
            self._publish(AccessEnforced())
        self._enforced = True

    def reconcile(self, hosts: HostsMap) -> None:
        """Make the output hold what these hosts want; raise :class:`OutputError` if that fails.

        Unchanged hosts are not rendered again, but the output is compared: it may have been edited
        or removed. While a large removal is held, the output is kept at what it was. While another
        process holds the writer lease, this watch stands by.
        """
        with self._lock:
            self._publisher.expect()  # waiting for the lock may have taken as long
            self._waiting = None
            try:
                self._reconcile(hosts)
            except Standby as why:
                self._stand_by(hosts, why)
            else:
                self._differing = 0
                self._publish(SnapshotApplied())

    def _reconcile(self, hosts: HostsMap) -> None:
        if self._is_applied(hosts) and self._enforced:
            self._held = ()
            self._restore()
            return
        self._apply(hosts)
        if self._last.fresh >= MANY_ITEMS:
            give_back()

    def _is_applied(self, hosts: HostsMap) -> bool:
        """Return whether the hosts are those of the last rendering, and the output has them."""
        rendered = self._last.basis.hosts if self._last.basis else None
        return self._hosts is rendered is not None and (hosts is rendered or hosts == rendered)

    def _stand_by(self, hosts: HostsMap, why: Standby) -> None:
        """Keep the hosts for :meth:`take_over`, and follow what the other process writes."""
        self._waiting = hosts
        self._standing_by = True
        self._differing = 0 if why.agrees else self._differing + 1
        self._follow()
        persists = self._differing >= PERSISTENT
        warnings = (OutputWarning("disagreement", ", and this one stands by"),) if persists else ()
        self._warned = True
        self._publish(OutputReported(str(self._output), warnings))
        self._publish(StandingBy(str(self._output), why.holder, why.agrees))

    def take_over(self) -> None:
        """Write the hosts of the last snapshot if this watch stands by and the lease is free.

        What fails is not tried again before the next snapshot, which reports it.
        """
        with self._lock:
            hosts = self._waiting
            try:
                if hosts is None or not self._output.may_write():
                    return
                self._waiting = None
                self._apply(hosts)
            except Standby:
                self._waiting = hosts
            except CheckRefused as why:
                self._check_stop()  # a stop ends the check command
                self._publish(WriteRefused(str(why)))
            except OutputError:
                return
            else:
                self._publish(SnapshotApplied())

    def _follow(self) -> None:
        """Read what another process has written since this one last read or wrote.

        A large removal is measured by it, and while that is held, it stays.
        """
        if self._output.moved():
            self._content, self._hosts = self._output.read(), None
            self._adopt(_document_in(self._content or b""))
            self._publish_present()

    def _publish_present(self) -> None:
        """Pass on what the output holds, once the access is known to be in it."""
        if self._readers and self._content is not None and self._enforced and not self._foreign:
            document = _document_in(self._content)
            self._readers.publish_document(self._content, document, trusted=False)

    def _render(self, hosts: HostsMap) -> Rendering:
        last = self._last
        rendering = render(hosts, self._form, self._access, last.basis, self._without_tls)
        self._last = _Last(
            rendering.basis,
            outline(rendering.document, rendering.fresh, last.outline),
            sum(len(names) for parts in rendering.fresh.values() for names in parts.values()),
        )
        self._publish(EntriesRefused(tuple(rendering.diagnostics)))
        self._publish(EntriesWarned(tuple(rendering.warnings)))
        if self._access:
            from ctsdns_traefik.core.checks import check_unused  # it imports much

            unused = check_unused(rendering.entries, self._access)
            self._publish(AccessSettingsUnused(tuple(unused)))
        return rendering

    def _apply(self, hosts: HostsMap) -> None:
        """Write what the hosts want, unless that has to wait.

        An access that is not in force yet comes with it. A check command may refuse the present
        routes with that access, and agree to the new ones: so the new ones are tried first.
        """
        rendering = self._render(hosts)
        self._follow()
        changes = find_removed(self._outline, self._last.outline)
        if self._damaged and changes.removed:
            changes = compare(self._outline, self._outline_as_held(rendering))
        if self._hold_removal(changes, unlikely=isinstance(hosts, UnlikelyHosts)):
            self._enforce()
            self._restore()
            return
        if self._readers:
            self._readers.publish_hosts(hosts)
        try:
            self.write(rendering, hosts, ordered=not self._enforced)
        except CheckRefused:
            if hosts != self._hosts:
                self._enforce()
            raise

    def _outline_as_held(self, rendering: Rendering) -> Outline:
        """Return the outline of a rendering as the output would hold it.

        A store loses the order of fields and the types of values: compared with what it holds,
        every router of the rendering itself would have changed.
        """
        content = rendering.text.encode()
        held = self._output.as_held(content)
        return self._last.outline if held is content else outline(_document_in(held))

    def write(
        self, rendering: Rendering, hosts: HostsMap | None = None, *, ordered: bool = False
    ) -> None:
        """Write a rendering, if the output does not hold it already, and publish what that changes.

        ``hosts`` are those that were rendered, if they are others than before. ``ordered`` means
        that the operator wants the change, not only a snapshot: then the routers that lose their
        protection by it are published, too.
        """
        content = rendering.text.encode()
        self._check_stop()
        before = self._output.read() if ordered else None
        result = self._output.write(content)
        self._content = content
        self._hosts = self._hosts if hosts is None else hosts
        held = self._output.as_held(content)
        document = rendering.document if held is content else _document_in(held)
        if self._readers:
            self._foreign = False
            self._readers.publish_document(held, document, trusted=self._hosts is not None)
        is_last = held is content and rendering.basis is self._last.basis is not None
        new = self._last.outline if is_last else outline(document)
        changes, self._outline = compare(self._outline, new), new
        before_udp, self._udp = self._udp, udp_entrypoints(document)
        self._publish(RoutesCounted(Counter(each.entry.entrypoint for each in rendering.routes)))
        if ordered:
            self._publish_unprotected(_document_in(before or b""), document)
            self._mark_enforced()
        self._complete(result, changes, document)
        if left := before_udp - self._udp:
            self._publish(UdpRoutesStay(tuple(sorted(left))))

    def _publish_unprotected(self, before: Document, after: Document) -> None:
        routers = find_unprotected(before, after)
        if routers:
            self._publish(ProtectionRemoved(routers))

    def _restore(self) -> None:
        """Write again what the output held, if it holds something else by now."""
        if self._content is None:
            return
        self._check_stop()
        result, before = self._output.write(self._content), self._outline
        if result.outcome is not Outcome.UNCHANGED and not self._output.needed:
            self._adopt(_document_in(self._output.as_held(self._content)))
        same = before is self._outline
        unchanged = Changes((), (), (), len(before))
        self._complete(result, unchanged if same else compare(before, self._outline))

    def _hold_removal(self, changes: Changes, *, unlikely: bool) -> bool:
        """Return whether a removal is such that the next snapshot has to agree first.

        Any is, if the hosts are ``unlikely``.

        The threshold is :attr:`.Changes.exceeds_guard`, in core/dynamic/diff.py.
        """
        mixed = self._damaged and changes.removed and changes.changed
        doubtful = unlikely and changes.removed
        if not (self._guard and (changes.exceeds_guard or mixed or doubtful)):
            self._held = ()
            return False
        held = (*changes.removed, *(self._find_changed() if mixed else ()))
        if self._held == held:
            return False
        self._held = held
        self._publish(RemovalHeld(changes))
        return True

    def _find_changed(self) -> Iterator[str]:
        """Yield the routers that the last rendering changes, each with the hash of what it is."""
        before = self._outline
        for name, now in sorted(self._last.outline.items()):
            if before.get(name, now) != now:
                yield f"{name} {now}"

    def _complete(
        self, result: WriteResult, changes: Changes, document: Document | None = None
    ) -> None:
        """Publish the result of a write, have it verified, and run the command after a change.

        ``document`` is given if it may be another than before.
        """
        self._publish_result(result, changes)
        changed = result.outcome is not Outcome.UNCHANGED
        if document is not None and (changed or any(changes[:3])):
            self._verify(document)
        elif self._verifier:
            self._verifier.verify_again(written=changed)
        if changed:
            self._run_hook()

    def _publish_result(self, result: WriteResult, changes: Changes) -> None:
        output = str(self._output)
        if result.outcome is Outcome.WRITTEN_IN_PLACE:
            self._publish(WrittenInPlace(output))
        if result.owner_lost:
            self._publish(OwnerLost(output))
        changed = result.outcome is not Outcome.UNCHANGED
        if changed or result.warnings or self._warned:
            self._publish(OutputReported(output, result.warnings))
            self._warned = bool(result.warnings)
        if result.leased:
            self._publish(LeaseTaken(output) if self._standing_by else LeaseHeld())
            self._standing_by = False
        if changed:
            outcome, routes = result.outcome.value, len(self._outline)
            self._publish(OutputWritten(output, outcome, changes, routes))

    def _run_hook(self) -> None:
        if self._on_change:
            self._on_change()

    def _verify(self, document: Document) -> None:
        if self._verifier:
            self._verifier.verify(document)


def _document_in(content: bytes) -> Document:
    return from_text(content.decode("utf-8", "replace"))
