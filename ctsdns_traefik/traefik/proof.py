"""The proof of a document: a real Traefik loads it and reports whether each route is enabled.

A proof shows that Traefik accepts the router and the service of a route, not that a backend
answers: no request is sent to one (see :mod:`.sandbox`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic import INTERNAL, Protocol, Route, errors_of
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.signals import postponed
from ctsdns_traefik.traefik.binary import find_traefik
from ctsdns_traefik.traefik.sandbox import (
    DOCUMENT,
    PortTaken,
    Sandbox,
    SandboxEntrypoint,
    start_sandbox,
)

PATIENCE = 30.0
"""Seconds that Traefik has to load a document, besides :data:`PATIENCE_PER_ROUTE`."""

PATIENCE_PER_ROUTE = 0.004
"""Seconds more for each route: ten times what Traefik was seen to need."""

ATTEMPTS = 5
"""Times that Traefik is started if other programs take the port of its API first."""

MOST_REFUSED = 10
"""Other dynamic files that Traefik may refuse before it is started with none of them."""

Listed = dict[str, dict[str, Any]]
"""Routers or services of Traefik's API, by name."""


class Verdict(NamedTuple):
    """Whether Traefik enables one route."""

    route: Route
    enabled: bool
    error: str = ""
    """Why not, in one line; Traefik's own text if it gives any."""


class Proof(NamedTuple):
    """Traefik's verdicts on the routes of a document."""

    version: str
    """Of the Traefik that was run, such as ``3.7.15``."""
    verdicts: tuple[Verdict, ...]
    """One for each route, in the order of the routes."""
    refused: Mapping[str, str] = {}
    """The other dynamic files that Traefik refuses, with its reasons."""

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts on the routes that are not enabled."""
        return tuple(verdict for verdict in self.verdicts if not verdict.enabled)


def prove(
    document_text: str,
    routes: Sequence[Route],
    entrypoints: Iterable[SandboxEntrypoint] | None = None,
    patience: float | None = None,
    beside: Mapping[str, str] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Load a document into a real Traefik and report its verdict on each route.

    ``entrypoints`` are those of the static configuration; ``None`` if it is not known, and then
    those that the routes name. ``patience`` is how many seconds Traefik has to load the document,
    ``beside`` the texts of the other dynamic files of its directory, by path. Of these Traefik
    reports one at a time, so it is started again without each that it refuses.
    ``report`` is called with what is being done.
    Raise :class:`.SettingsError` if there is no Traefik, or none that can be used.
    """
    if entrypoints is None:
        kinds = {(route.entry.entrypoint, route.entry.transport) for route in routes}
        names = sorted({name for name, _ in kinds})
        entrypoints = [SandboxEntrypoint(name, (name, "tcp") not in kinds) for name in names]
    if patience is None:
        patience = PATIENCE + PATIENCE_PER_ROUTE * len(routes)
    report(f"a real Traefik is loading {len(routes):,} routes")
    run = partial(_judge_all, find_traefik(), list(entrypoints), routes, patience, report)
    others = {f"beside-{at}-{Path(path).name}": path for at, path in enumerate(beside or ())}
    refused: dict[str, str] = {}
    with postponed() as stops:
        while True:
            texts = {name: (beside or {})[path] for name, path in others.items()}
            proof, refusal = run({DOCUMENT: document_text, **texts}, stops)
            blamed = next((name for name in others if f"{name}: " in refusal), None)
            if blamed is None:
                return proof._replace(refused=refused)
            refused[others.pop(blamed)] = refusal.rpartition(f"{blamed}: ")[2]
            if len(refused) == MOST_REFUSED:
                others = {}


def _judge_all(
    traefik: str,
    entrypoints: Sequence[SandboxEntrypoint],
    routes: Sequence[Route],
    patience: float,
    report: Callable[[str], None],
    documents: Mapping[str, str],
    stops: Callable[[], bool],
) -> tuple[Proof, str]:
    """Judge the routes by the API of a Traefik that has loaded some documents, or refused them."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with start_sandbox(traefik, documents, entrypoints, stops) as sandbox:
                sandbox.wait(patience)
                report(f"reading what Traefik has made of {len(routes):,} routes")
                return _judge_in(sandbox, routes), sandbox.refusal
        except PortTaken:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError


def _judge_in(sandbox: Sandbox, routes: Sequence[Route]) -> Proof:
    if refusal := sandbox.refusal:
        error = shown(f"Traefik refused the whole document: {refusal}")
        return Proof(sandbox.version, tuple(Verdict(route, False, error) for route in routes))
    listed: dict[Protocol, tuple[Listed, Listed]] = {
        protocol: (sandbox.read(f"{protocol}/routers"), sandbox.read(f"{protocol}/services"))
        for protocol in {route.protocol for route in routes}
    }
    verdicts = tuple(_judge(route, *listed[route.protocol]) for route in routes)
    return Proof(sandbox.version, verdicts)


def _judge(route: Route, routers: Listed, services: Listed) -> Verdict:
    """Join the errors that Traefik reports of a route's router and of its service."""
    parts = [("router", route.router, routers), ("service", route.service, services)]
    if route.service.endswith(INTERNAL):
        parts.pop()
    missing = [
        f"Traefik lists no {what} {name}" for what, name, listed in parts if name not in listed
    ]
    items = [listed[name] for _, name, listed in parts if name in listed]
    reasons = [*missing, *errors_of(items)]
    return Verdict(route, not reasons, shown("; ".join(reasons)))
