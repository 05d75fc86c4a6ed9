"""What watch has to tell about itself, a method for each happening: the one place that speaks."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ctsdns_traefik.core.changes import Changes
from ctsdns_traefik.core.loaded import Objection, Verdict
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.target import Outcome, Written

log = logging.getLogger(__name__)

NAMED_AT_MOST = 30
"""Routers that one log line names; beyond that it counts them."""


class Journal:
    """Tells in the log what happens."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: frozenset[Problem] = frozenset()
        self._said: set[str] = set()
        self._refusal = ""
        self._of_traefik: tuple[str, ...] = ()
        self._objections: frozenset[Objection] = frozenset()

    def connected(self, endpoint: object) -> None:
        """Tell that the endpoint has answered with a stream."""
        log.info("connected to %s", endpoint)

    def heard(self, name: str) -> None:
        """Take note of an event that is neither a snapshot nor an error."""
        log.debug("event %s", name)

    def heard_error(self, message: str) -> None:
        """Tell what the worker says went wrong on its side."""
        log.warning("the worker reports an error: %s", message)

    def distrusted(self, why: object) -> None:
        """Tell that a snapshot cannot be trusted."""
        log.warning("a snapshot cannot be trusted, the file stays: %s", why)

    def failed(self, reason: str, delay: float) -> None:
        """Tell why there is no connection, and in how many seconds there will be another."""
        log.warning("%s; retrying in %.1f s", reason, delay)

    def told_to_reconnect(self) -> None:
        """Tell that SIGHUP has come."""
        log.info("SIGHUP: connecting again")

    def told_to_stop(self, signal: str) -> None:
        """Tell which signal ends the process."""
        log.info("%s: stopped", signal)

    def refused(self, problems: Iterable[Problem]) -> None:
        """Tell each problem with the entries once, until it changes."""
        found = frozenset(problems)
        for problem in problems:
            if problem not in self._told:
                log.warning("%s", problem)
        self._told = found

    def doubted(self, changes: Changes) -> None:
        """Tell that a large removal waits for the next snapshot to agree."""
        log.warning(
            "the snapshot would remove %d of %d routes: waiting for the next one to agree (%s)",
            len(changes.removed),
            changes.before,
            _listed(changes.removed),
        )

    def created(self, target: object) -> None:
        """Tell that there was nothing, and that there is now something without routes."""
        log.info("created %s with no routes", target)

    def wrote(self, target: object, written: Written, changes: Changes, routes: int) -> None:
        """Tell how what stands there has changed, if it has; ``routes`` is how many there are."""
        if written.outcome is Outcome.WRITTEN_IN_PLACE:
            self._say_once(f"{target} cannot be renamed over and is written in place")
        if written.owner_lost:
            self._say_once(f"the owner of {target} could not be kept: this process may not set it")
        if written.outcome is not Outcome.UNCHANGED:
            counted = f"{routes} route{'' if routes == 1 else 's'}"
            log.info(
                "%s %s: %s", written.outcome.value, target, "; ".join([counted, *_parts(changes)])
            )

    def applied(self) -> None:
        """Take note that what stands there is as the last trusted snapshot wants it."""
        self._refusal = ""

    def unwritable(self, why: object) -> None:
        """Tell why what a snapshot says could not be written."""
        log.error("%s; trying again at the next snapshot", why)

    def check_refused(self, why: object) -> None:
        """Tell once, until it changes, why the check command keeps the old file."""
        if str(why) != self._refusal:
            log.error("%s", why)
        self._refusal = str(why)

    def hook_failed(self, why: object) -> None:
        """Tell how the command that runs after each change has failed."""
        log.warning("the on-change command failed: %s", why)

    def traefik_answered(self, verdict: Verdict, seconds: float) -> None:
        """Tell what Traefik makes of what was written, as many seconds after that.

        It and :meth:`traefik_unanswered` are called in a thread of their own.
        """
        if verdict.good:
            log.info("Traefik serves %s (after %.1f s)", _all_of(verdict.routers), seconds)
        for objection in verdict.objections:
            if objection not in self._objections:
                log.warning("Traefik does not serve %s: %s", *objection)
        self._objections = frozenset(verdict.objections)
        lines = []
        if verdict.missing:
            lines.append(f"Traefik has not loaded {_listed(verdict.missing)}: does it read this?")
        if verdict.lingering:
            lines.append(f"Traefik still has {_listed(verdict.lingering)}: does it read this?")
        self._tell_of_traefik(*lines)

    def traefik_unanswered(self, why: str) -> None:
        """Tell once, until it changes, why nothing can be learnt from Traefik's API."""
        self._tell_of_traefik(f"Traefik's API cannot be asked: {why}")

    def _tell_of_traefik(self, *lines: str) -> None:
        for line in lines:
            if line not in self._of_traefik:
                log.warning("%s", line)
        self._of_traefik = lines

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message)


def _all_of(routes: int) -> str:
    """Say how many routes Traefik serves if it serves all."""
    if routes == 1:
        return "the one route"
    return f"all {routes} routes" if routes else "no routes, as was written"


def _parts(changes: Changes) -> Iterable[str]:
    parts = [
        f"{what} {_listed(names)}"
        for what, names in (
            ("added", changes.added),
            ("changed", changes.changed),
            ("removed", changes.removed),
        )
        if names
    ]
    return parts or ["the same as before, but the file said something else"]


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
