"""What Traefik would do with entries and settings, said before Traefik has to."""

from __future__ import annotations

from collections.abc import Sequence

from ctsdns_traefik.core.checks.entries import ENTRY_RULES, Known
from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.dynamic.routes import Route, plan_routes
from ctsdns_traefik.core.entries.grammar import HostEntry
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.static_config.configuration import StaticConfiguration

NEWEST = (3, 7)
"""The version of Traefik that is meant unless another is named."""


def check(
    entries: Sequence[HostEntry],
    static: StaticConfiguration | None,
    *,
    output: str | None = None,
    traefik_version: tuple[int, int] = NEWEST,
    routes: Sequence[Route] | None = None,
) -> tuple[Diagnostic, ...]:
    """Find where Traefik would not do what is wanted: problems of entries by name, then others.

    The entries are all that the grammar accepts, also those that a conflict leaves out; output
    is the path of the dynamic file; routes are those to serve, if an access file has a say in
    that. A rule is silent about what it would have to guess.
    """
    static = static or StaticConfiguration({}, described=False)
    routes = plan_routes(entries).routes if routes is None else routes
    known = Known(tuple(sorted(entries)), tuple(routes), static, traefik_version)
    found = [problem for rule in ENTRY_RULES for problem in rule(known)]
    found.sort(key=lambda problem: problem.entry)
    return (*found, *check_static(static, output, traefik_version))
