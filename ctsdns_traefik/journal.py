"""What watch has to tell about itself, a method for each happening: the one place that speaks."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ctsdns_traefik.core.changes import Changes
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.target import Notice, Outcome, Written

log = logging.getLogger(__name__)

NAMED_AT_MOST = 30
"""Routers that one log line names; beyond that it counts them."""

_NOTICES = {
    "deaf": "Traefik does not hear of changes: keyspace notifications are off;"
    " switch them on with 'CONFIG SET notify-keyspace-events Kh', and in redis.conf",
    "noisy": "Traefik reads everything anew for each of {} keys that change: have Redis notify it"
    " once a change, with 'notify-keyspace-events Kh' (see docs/scaling.md)",
    "disagreement": "another watch has published something else, again and again, and this one now"
    " leaves it: do both follow the same endpoint, with the same access file and version?",
    "taken over": "keys stood there that nobody is known to have written; they are replaced: {}",
}
"""What a target may have to say, by the kind of its notice."""


class Journal:
    """Tells in the log what happens."""

    def __init__(self, noun: str = "file") -> None:
        """Begin with nothing told; ``noun`` is what is kept, a file or a store."""
        self._noun = noun
        self._told: frozenset[Problem] = frozenset()
        self._said: set[str] = set()
        self._noticed: tuple[Notice, ...] = ()

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
        log.warning("a snapshot cannot be trusted, the %s stays: %s", self._noun, why)

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
        self._notice(target, written.notices)
        if written.outcome not in (Outcome.UNCHANGED, Outcome.LEFT):
            counted = f"{routes} route{'' if routes == 1 else 's'}"
            same = f"the same as before, but the {self._noun} said something else"
            told = "; ".join([counted, *(_parts(changes) or [same])])
            log.info("%s %s: %s", written.outcome.value, target, told)

    def applied(self) -> None:
        """Take note that what stands there is as the last trusted snapshot wants it."""

    def unwritable(self, why: object) -> None:
        """Tell why what a snapshot says could not be written."""
        log.error("%s; trying again at the next snapshot", why)

    def _notice(self, target: object, notices: tuple[Notice, ...]) -> None:
        """Tell each notice once, until it is gone and comes again."""
        for notice in notices:
            if notice not in self._noticed:
                log.warning("%s: %s", target, _NOTICES[notice.kind].format(notice.detail))
        self._noticed = notices

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message)


def _parts(changes: Changes) -> list[str]:
    return [
        f"{what} {_listed(names)}"
        for what, names in (
            ("added", changes.added),
            ("changed", changes.changed),
            ("removed", changes.removed),
        )
        if names
    ]


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
