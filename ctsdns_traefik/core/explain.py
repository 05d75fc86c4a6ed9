"""One entry explained: what Traefik would make of it, if it were the only one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctsdns_traefik.core.clients import ClientCommands, client_commands
from ctsdns_traefik.core.hosts import parse_host
from ctsdns_traefik.core.problems import Problem
from ctsdns_traefik.core.routes import (
    Route,
    backend_of,
    passes_through,
    plan_routes,
    protocol_of,
    rule_of,
)

EXAMPLE_PORTS = {"web": "80", "websecure": "443", "tcp": "4433"}
"""Ports of the entrypoints in examples/traefik/traefik.yml, by name."""

TRUST = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its relatives keep the certificates to trust."""


def describe_route(route: Route) -> dict[str, Any]:
    """Return all about one route as JSON values; ``passthrough`` is null for HTTP."""
    entry = route.entry
    return {
        "entry": entry.name,
        "entrypoint": entry.entrypoint,
        "scheme": entry.scheme,
        "port": entry.port,
        "domain": entry.domain,
        "address": entry.address or None,
        "type": protocol_of(entry),
        "router": route.router,
        "rule": rule_of(entry),
        "service": route.service,
        "backend": backend_of(entry if entry.address else entry._replace(address="ADDRESS")),
        "passthrough": passes_through(entry) if protocol_of(entry) == "tcp" else None,
    }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one entry is: a route, a problem, or, with neither, an ordinary alias."""

    entry: str
    route: dict[str, Any] | None = None
    """As :func:`describe_route` returns it."""
    problem: Problem | None = None
    clients: ClientCommands | None = None
    """For TCP routes."""


def explain(text: str, entrypoint_ports: Mapping[str, str]) -> Explanation:
    """Explain ``NAME`` or ``NAME=ADDRESS``.

    ``entrypoint_ports`` are the ports of entrypoints by name, before :data:`EXAMPLE_PORTS`.
    """
    name, equals, address = text.partition("=")
    read = parse_host(name, address if equals else None)
    if read is None:
        return Explanation(name)
    if isinstance(read, Problem):
        return Explanation(name, problem=read)
    (route,) = plan_routes([read]).routes
    if protocol_of(read) == "http":
        return Explanation(name, describe_route(route))
    port = {**EXAMPLE_PORTS, **entrypoint_ports}.get(read.entrypoint, "PORT")
    return Explanation(name, describe_route(route), clients=client_commands(read, port, TRUST))
