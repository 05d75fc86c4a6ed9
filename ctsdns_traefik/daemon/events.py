"""What watch has to tell about itself, a method for each happening: the one place that speaks.

Each happening goes to the log, and into the status that a :class:`.StatusReporter` tells others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Self

from ctsdns_traefik.core.dynamic import Changes, Verdict, listed
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status import ErrorRecord, Role, State, Status
from ctsdns_traefik.daemon.event_fields import (
    of_change,
    of_doubt,
    of_refusal,
    of_unprotected,
    of_unused,
    of_warning,
)
from ctsdns_traefik.daemon.output_warnings import OutputWarnings, words_of
from ctsdns_traefik.daemon.sd_notify import ServiceManager
from ctsdns_traefik.daemon.status_reporter import StatusReporter
from ctsdns_traefik.daemon.verifier_log import VerifierLog
from ctsdns_traefik.errors import Standby, Stop
from ctsdns_traefik.logs import as_event
from ctsdns_traefik.output import Outcome, OutputWarning, WriteResult

log = logging.getLogger(__name__)

LONGEST_STEP = 60.0
"""Seconds that the loop may take to render, check and write, for the command after a change, or to
begin a connection."""


class Journal:
    """Tells what happens; for the main thread, but for what Traefik answers."""

    def __init__(
        self,
        status: Status | None = None,
        publisher: StatusReporter | None = None,
        manager: ServiceManager | None = None,
        clock: Callable[[], float] = time.time,
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
        noun: str = "file",
    ) -> None:
        """Begin with what is known at the start; tell a publisher and the service manager, too.

        ``undisturbed`` makes the context in which it tells: a signal that raised amid that could
        leave a lock of the log or of a thread taken for ever. ``noun`` is what is kept, a file or
        a store.
        """
        self._noun = noun
        self._notices = OutputWarnings()
        self._told: frozenset[Diagnostic] = frozenset()
        self._warned: frozenset[Diagnostic] = frozenset()
        self._said: set[str] = set()
        self._refusal = ""
        self._unused: frozenset[Diagnostic] = frozenset()
        self._access_error = ""
        self._traefik = VerifierLog()
        self._lock = threading.Lock()
        self._ended = False
        self._status = status or Status()
        self._publisher = publisher or StatusReporter()
        self._manager = manager or ServiceManager()
        self._reloading = False
        self._clock = clock
        self._undisturbed = undisturbed
        self.expect(LONGEST_STEP)
        self._publisher.show(self._status)

    def __enter__(self) -> Self:
        self._publisher.start()
        return self

    def __exit__(self, _kind: object, end: BaseException | None, _trace: object) -> None:
        """Tell how watch ends, by a signal or an error."""
        if isinstance(end, Stop):
            self.stopped(end)
        elif end is not None:
            self._stop(ErrorRecord(self._clock(), "failed", str(end) or repr(end)))
            self._publisher.end()

    def stopped(self, stop: Stop) -> None:
        """Report once that a signal ends watch.

        It is called in a thread of its own if the loop hangs and the process is about to be ended.
        """
        with self._lock:
            ended, self._ended = self._ended, True
        if ended:
            return
        self._stop(None)
        name = stop.signal.name
        log.info("%s: stopped", name, extra=as_event("stopped", signal=name))
        self._publisher.end()

    @property
    def status(self) -> Status:
        """What is known now."""
        return self._status

    def expect(self, seconds: float | None = None) -> None:
        """Have the loop report again within so many seconds; it hangs if not.

        They are :data:`LONGEST_STEP` unless given. Other threads promise nothing in its place.
        """
        if threading.current_thread() is threading.main_thread():
            self._publisher.lease.renew(LONGEST_STEP if seconds is None else seconds)

    def holds(self, routes: Mapping[str, int]) -> None:
        """Take note of the routes that the output holds, by entrypoint."""
        self._turn(lambda known, _: known.holding(routes))

    def prepared(self) -> None:
        """Take note that there is an output for Traefik to read, with routes or without."""
        self._manager.ready()

    def connecting(self) -> None:
        """Take note that a connection is being made."""
        self.expect(LONGEST_STEP)
        self._turn(lambda known, _: known.connecting())
        if self._reloading:
            self._reloading = False
            self._manager.ready()

    def connected(self, endpoint: object) -> None:
        """Tell that the endpoint has answered with a stream."""
        with self._undisturbed():
            self._turn(lambda known, now: known.connected(now))
            extra = as_event("connected", endpoint=endpoint)
            log.info("connected to %s", endpoint, extra=extra)

    def heard(self, name: str) -> None:
        """Take note of an event that is neither a snapshot nor an error."""
        with self._undisturbed():
            self._turn(lambda known, now: known.heard(now))
            log.debug("event %s", name, extra=as_event("event", name=name))

    def heard_error(self, message: str) -> None:
        """Tell what the worker says went wrong on its side."""
        with self._undisturbed():
            self._turn(lambda known, now: known.heard_error(now, "worker-error", message))
            extra = as_event("worker-error", error=message)
            log.warning("the worker reports an error: %s", message, extra=extra)

    def distrusted(self, why: object) -> None:
        """Tell that a snapshot cannot be trusted."""
        with self._undisturbed():
            self._turn(lambda known, now: known.distrusted(now, "untrusted", str(why)))
            extra = as_event("untrusted", error=why)
            said = "a snapshot cannot be trusted, the %s stays: %s"
            log.warning(said, self._noun, why, extra=extra)

    def trusted(self) -> None:
        """Take note that a snapshot has come that can be trusted."""
        self.expect(LONGEST_STEP)
        self._turn(lambda known, now: known.trusted(now))

    def failed(self, reason: str, delay: float) -> None:
        """Tell why there is no connection, and in how many seconds there will be another."""
        event = "disconnected" if self._status.state is State.CONNECTED else "unreachable"
        self.expect(delay)
        with self._undisturbed():
            self._turn(lambda known, now: known.failed(now, event, reason))
            extra = as_event(event, error=reason, delay=round(delay, 1))
            log.warning("%s; retrying in %.1f s", reason, delay, extra=extra)

    def told_to_reconnect(self) -> None:
        """Tell that SIGHUP has come."""
        self._manager.reloading()
        self._reloading = True
        log.info("SIGHUP: connecting again", extra=as_event("reconnecting", signal="SIGHUP"))

    def refused(self, problems: Iterable[Diagnostic]) -> None:
        """Log each refused entry once, until it changes, and keep them all in the status."""
        problems = tuple(problems)
        with self._undisturbed():
            self._turn(lambda known, _: known._replace(refused=problems))
            for problem in problems:
                if problem not in self._told:
                    log.warning("%s", problem, extra=of_refusal(problem))
            self._told = frozenset(problems)

    def warned(self, warnings: Iterable[Diagnostic]) -> None:
        """Log each warning about an entry once, until it changes; it refuses nothing."""
        warnings = tuple(warnings)
        with self._undisturbed():
            for warning in warnings:
                if warning not in self._warned:
                    log.warning("%s", warning, extra=of_warning(warning))
            self._warned = frozenset(warnings)

    def doubted(self, changes: Changes) -> None:
        """Tell that a large removal waits for the next snapshot to agree."""
        with self._undisturbed():
            self._turn(lambda known, now: known.doubted(now, changes))
            log.warning(
                "the snapshot would remove %d of %d routes: waiting for the next one to agree (%s)",
                len(changes.removed),
                changes.before,
                listed(changes.removed),
                extra=of_doubt(changes),
            )

    def noticed(self, target: object, notices: tuple[OutputWarning, ...]) -> None:
        """Log what a target reports beside a write."""
        self._notices.tell(target, notices)
        for notice in notices:
            if notice.kind == "disagreement":
                self._turn(partial(_with_disagreement, words=words_of(notice)))

    def created(self, target: object) -> None:
        """Tell that there was nothing, and that there is now something without routes."""
        self.expect(LONGEST_STEP)
        self._turn(lambda known, now: known.wrote(now))
        extra = as_event("created", output=target)
        log.info("created %s with no routes", target, extra=extra)

    def wrote(self, target: object, written: WriteResult, changes: Changes, routes: int) -> None:
        """Tell how what stands there has changed, if it has; ``routes`` is how many there are."""
        self.expect(LONGEST_STEP)
        if written.outcome is Outcome.WRITTEN_IN_PLACE:
            said = f"{target} cannot be renamed over and is written in place"
            self._say_once(said, "in-place", target)
        if written.owner_lost:
            said = f"the owner of {target} could not be kept: this process may not set it"
            self._say_once(said, "owner-lost", target)
        self.noticed(target, written.notices)
        if written.leased:
            self._lead(target)
        if written.outcome is not Outcome.UNCHANGED:
            self._turn(lambda known, now: known.wrote(now))
            counted = f"{routes} route{'' if routes == 1 else 's'}"
            log.info(
                "%s %s: %s",
                written.outcome.value,
                target,
                "; ".join([counted, *_parts(changes, self._noun)]),
                extra=of_change(target, written, changes, routes),
            )

    def _lead(self, target: object) -> None:
        """Report once that this watch has taken the writer lease over."""
        lease = self._status.lease
        if lease and lease.role is Role.STANDBY:
            extra = as_event("lease-taken", output=target)
            log.info("%s: this watch has taken the writer lease over", target, extra=extra)
        self._turn(lambda known, now: known.leading(now))

    def standing_by(self, why: Standby) -> None:
        """Report once, until it changes, which process holds the writer lease instead."""
        self._refusal = ""
        lease = self._status.lease
        with self._undisturbed():
            self._turn(lambda known, now: known.standing_by(now, why.holder, agrees=why.agrees))
            if lease is None or (lease.role, lease.holder) != (Role.STANDBY, why.holder):
                extra = as_event("standby", output=self._status.output, holder=why.holder)
                log.info(
                    "standing by: %s writes to %s", why.holder, self._status.output, extra=extra
                )

    def applied(self) -> None:
        """Take note that what stands there is as the last trusted snapshot wants it."""
        self._refusal = ""
        self._turn(lambda known, now: known.applied(now))

    def unwritable(self, why: object) -> None:
        """Tell why what a snapshot says could not be written."""
        with self._undisturbed():
            self._turn(lambda known, now: known.unwritable(now, "output-error", str(why)))
            extra = as_event("output-error", error=why)
            log.error("%s; trying again at the next snapshot", why, extra=extra)

    def check_refused(self, why: object) -> None:
        """Tell once, until it changes, why the check command keeps the old file."""
        with self._undisturbed():
            self._turn(lambda known, now: known.unwritable(now, "check-refused", str(why)))
            if str(why) != self._refusal:
                log.error("%s", why, extra=as_event("check-refused", error=why))
            self._refusal = str(why)

    def access_changed(self, path: object) -> None:
        """Report that the access file has another content, which can be used."""
        message = f"{path} has changed"
        with self._undisturbed():
            waits = f"{message}, and the routes have not been written yet"
            self._turn(lambda known, now: known.access_changed(now, "access-changed", waits))
            log.info("%s", message, extra=as_event("access-changed", path=path))

    def access_mended(self, path: object) -> None:
        """Report that the access file can be used again, and has the content that it had."""
        with self._undisturbed():
            self._turn(lambda known, _: known.access_mended())
            log.info("%s can be used again", path, extra=as_event("access-mended", path=path))

    def access_broken(self, path: object, why: object) -> None:
        """Report why the access file cannot be used."""
        with self._undisturbed():
            self._turn(lambda known, now: known.access_broken(now, "access-error", str(why)))
            extra = as_event("access-error", path=path, error=why)
            log.error("%s; the last usable content stays in force", why, extra=extra)

    def access_waits(self, why: object) -> None:
        """Report once, until it changes, why the access asked for is not in force."""
        with self._undisturbed():
            self._turn(lambda known, now: known.access_waits(now, "access-waits", str(why)))
            if str(why) != self._access_error:
                extra = as_event("access-waits", error=why)
                log.error("the access file is not in force yet: %s", why, extra=extra)
            self._access_error = str(why)

    def access_enforced(self) -> None:
        """Take note that the last usable access is in force."""
        self._access_error = ""
        self._turn(lambda known, now: known.access_enforced(now))

    def access_unused(self, problems: Iterable[Diagnostic]) -> None:
        """Report each pattern of the access file that no entry has, once until it changes."""
        problems = tuple(problems)
        with self._undisturbed():
            for problem in problems:
                if problem not in self._unused:
                    log.warning("%s", problem, extra=of_unused(problem))
            self._unused = frozenset(problems)

    def unprotected(self, routers: tuple[str, ...]) -> None:
        """Report the routers from which a change of the access file has taken the protection."""
        if routers:
            with self._undisturbed():
                said = "the access file has taken the protection from %s: anybody may reach them"
                log.warning(said, listed(routers), extra=of_unprotected(routers))

    def hook_ended(self, why: object | None) -> None:
        """Take note that the command after a change has run; tell how it failed, if it has."""
        self.expect(LONGEST_STEP)
        error = None if why is None else str(why)
        self._turn(lambda known, now: known.ran_hook(now, "hook-failed", error))
        if error is not None:
            extra = as_event("hook-failed", error=error)
            log.warning("the on-change command failed: %s", error, extra=extra)

    def traefik_answered(self, verdict: Verdict, seconds: float) -> None:
        """Tell what Traefik makes of what was written, as many seconds after that.

        It and :meth:`traefik_unanswered` are called in a thread of their own.
        """
        self._turn(lambda known, now: known.heard_traefik(now, verdict))
        self._traefik.answered(verdict, seconds)

    def traefik_unanswered(self, why: str) -> None:
        """Tell once, until it changes, why nothing can be learnt from Traefik's API."""
        self._turn(lambda known, now: known.heard_no_traefik(now, "api-error", why))
        self._traefik.unanswered(why)

    def _turn(self, change: Callable[[Status, float], Status]) -> None:
        """Let a happening change what is known, and have that told."""
        with self._undisturbed(), self._lock:
            self._status = change(self._status, self._clock())
            self._publisher.show(self._status)

    def _stop(self, error: ErrorRecord | None) -> None:
        self._manager.stopping()
        self._turn(lambda known, _: known.stopped(error))

    def _say_once(self, message: str, event: str, target: object) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message, extra=as_event(event, output=target))


def _with_disagreement(known: Status, now: float, words: str) -> Status:
    return known._replace(last_error=ErrorRecord(now, "disagreement", words))


def _parts(changes: Changes, noun: str) -> Iterable[str]:
    parts = [
        f"{what} {listed(names)}"
        for what, names in (
            ("added", changes.added),
            ("changed", changes.changed),
            ("removed", changes.removed),
        )
        if names
    ]
    return parts or [f"the same as before, but the {noun} said something else"]
