"""One entry explained: what Traefik would make of it, if it were the only one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic import routes  # not its names: routes.py imports this package
from ctsdns_traefik.core.entries.client_commands import ClientCommands, client_commands
from ctsdns_traefik.core.entries.grammar import parse_host
from ctsdns_traefik.core.entries.near_misses import find_near_misses
from ctsdns_traefik.core.entries.notation import WriteResult
from ctsdns_traefik.core.problems import Diagnostic

EXAMPLE_PORTS = {"web": "80", "websecure": "443", "tcp": "4433"}
"""Ports of the entrypoints in examples/traefik/traefik.yml, by name."""

TRUST = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its relatives keep the certificates to trust."""


def describe_route(route: routes.Route) -> dict[str, Any]:
    """Return all about one route as JSON values; ``passthrough`` is null for HTTP."""
    entry = route.entry
    return {
        "entry": entry.name,
        "entrypoint": entry.entrypoint,
        "scheme": entry.scheme,
        "port": entry.port,
        "domain": entry.domain,
        "address": entry.address,
        "type": route.protocol,
        "router": route.router,
        "rule": route.rule,
        "service": route.service,
        "backend": route.backend,
        "passthrough": route.passthrough if route.protocol == "tcp" else None,
    }


class Explanation(NamedTuple):
    """What one entry is: a route, a problem, or, with neither, an ordinary alias."""

    entry: str
    route: dict[str, Any] | None = None
    """As :func:`describe_route` returns it."""
    problem: Diagnostic | None = None
    clients: ClientCommands | None = None
    """For TCP routes."""
    warnings: tuple[Diagnostic, ...] = ()
    """What is probably not meant about a route or an alias."""


def explain(written: WriteResult, entrypoint_ports: Mapping[str, str]) -> Explanation:
    """Explain an entry with an address or without.

    ``entrypoint_ports`` are the ports of entrypoints by name, before :data:`EXAMPLE_PORTS`.
    """
    name, address = written
    read = parse_host(name, address)
    if isinstance(read, Diagnostic):
        return Explanation(name, problem=read)
    warnings = find_near_misses({name: address}, [read] if read else [])
    if read is None:
        return Explanation(name, warnings=warnings)
    (route,) = routes.plan_routes(
        [read if read.address else read._replace(address="ADDRESS")]
    ).routes
    described = describe_route(route) | {"address": read.address or None}
    if route.protocol == "http":
        return Explanation(name, described, warnings=warnings)
    port = {**EXAMPLE_PORTS, **entrypoint_ports}.get(read.entrypoint, "PORT")
    return Explanation(name, described, None, client_commands(read, port, TRUST), warnings)
