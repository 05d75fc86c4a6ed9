"""What the log says of Traefik's answers: good news each time, the rest once until it changes."""

from __future__ import annotations

import logging

from ctsdns_traefik.core.dynamic import NAMED_AT_MOST, RouterError, Verdict, listed
from ctsdns_traefik.logs import as_event

log = logging.getLogger(__name__)


class VerifierLog:
    """Remembers what it has said last; for one thread."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._lines: tuple[str, ...] = ()
        self._objections: frozenset[RouterError] = frozenset()

    def answered(self, verdict: Verdict, seconds: float) -> None:
        """Tell what Traefik makes of what was written, as many seconds after that."""
        if verdict.good:
            extra = as_event("served", routes=verdict.routers, seconds=round(seconds, 1))
            said = "Traefik serves %s (after %.1f s)"
            log.info(said, _all_of(verdict.routers), seconds, extra=extra)
        for objection in verdict.errors:
            if objection not in self._objections:
                extra = as_event("not-served", router=objection.router, error=objection.message)
                log.warning("Traefik does not serve %s: %s", *objection, extra=extra)
        self._objections = frozenset(verdict.errors)
        lines = {}
        for event, what, names in (
            ("not-loaded", "Traefik has not loaded", verdict.missing),
            ("not-removed", "Traefik still has", verdict.lingering),
        ):
            if names:
                line = f"{what} {listed(names)}: does it read this?"
                lines[line] = as_event(event, count=len(names), routers=names[:NAMED_AT_MOST])
        self._say(lines)

    def unanswered(self, why: str) -> None:
        """Tell why nothing can be learnt from Traefik's API."""
        self._say({f"Traefik's API cannot be asked: {why}": as_event("api-error", error=why)})

    def _say(self, lines: dict[str, dict[str, object]]) -> None:
        for line, extra in lines.items():
            if line not in self._lines:
                log.warning("%s", line, extra=extra)
        self._lines = tuple(lines)


def _all_of(routes: int) -> str:
    """Say how many routes Traefik serves if it serves all."""
    if routes == 1:
        return "the one route"
    return f"all {routes} routes" if routes else "no routes, as was written"
