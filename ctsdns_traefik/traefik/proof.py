"""The proof of a document: a real Traefik loads it and reports whether each route is enabled.

A proof shows that Traefik accepts the router and the service of a route, not that a backend
answers: no request is sent to one (see :mod:`.sandbox`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic import INTERNAL, Protocol, Route, errors_of
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.signals import postponed
from ctsdns_traefik.traefik.binary import find_traefik
from ctsdns_traefik.traefik.sandbox import PortTaken, Sandbox, SandboxEntrypoint, start_sandbox

PATIENCE = 30.0
"""Seconds that Traefik has to load a document, besides :data:`PATIENCE_PER_ROUTE`."""

PATIENCE_PER_ROUTE = 0.004
"""Seconds more for each route: ten times what Traefik was seen to need."""

ATTEMPTS = 5
"""Times that Traefik is started if other programs take the port of its API first."""

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

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts on the routes that are not enabled."""
        return tuple(verdict for verdict in self.verdicts if not verdict.enabled)


def prove(
    document_text: str,
    routes: Sequence[Route],
    entrypoints: Iterable[SandboxEntrypoint] | None = None,
    patience: float | None = None,
) -> Proof:
    """Load a document into a real Traefik and report its verdict on each route.

    ``entrypoints`` are those of the static configuration; ``None`` if it is not known, and then
    those that the routes name. ``patience`` is how many seconds Traefik has to load the document.
    Raise :class:`.SettingsError` if there is no Traefik, or none that can be used.
    """
    traefik = find_traefik()
    if entrypoints is None:
        names = sorted({route.entry.entrypoint for route in routes})
        entrypoints = [SandboxEntrypoint(name) for name in names]
    offered = list(entrypoints)
    if patience is None:
        patience = PATIENCE + PATIENCE_PER_ROUTE * len(routes)
    with postponed() as stops:
        for _ in range(ATTEMPTS - 1):
            with (
                suppress(PortTaken),
                start_sandbox(traefik, document_text, offered, stops) as sandbox,
            ):
                return _judge_all(sandbox, routes, patience)
        with start_sandbox(traefik, document_text, offered, stops) as sandbox:
            return _judge_all(sandbox, routes, patience)


def _judge_all(sandbox: Sandbox, routes: Sequence[Route], patience: float) -> Proof:
    """Wait for Traefik to load the document, and judge each route by its API."""
    sandbox.wait(patience)
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
