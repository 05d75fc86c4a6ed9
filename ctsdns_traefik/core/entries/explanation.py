"""Explain one entry: the route that it would get if it were the only one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ctsdns_traefik.core.entries.client_commands import ClientCommands, client_commands
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host
from ctsdns_traefik.core.entries.near_misses import find_near_misses
from ctsdns_traefik.core.entries.notation import WrittenEntry
from ctsdns_traefik.core.problems import Diagnostic

if TYPE_CHECKING:
    from ctsdns_traefik.core.dynamic.routes import Route

EXAMPLE_PORTS = {"web": "80", "websecure": "443", "tcp": "4433"}
"""Ports of the entrypoints in examples/traefik/traefik.yml, by name."""

UNKNOWN_PORT = "PORT"
"""What stands in commands for the port of an entrypoint that is not known."""

TRUST = "/etc/ssl/certs/ca-certificates.crt"
"""The trusted certificates on Debian and derived systems."""


def describe_route(route: Route) -> dict[str, Any]:
    """Return one route as JSON values; null is what its kind does not have."""
    entry = route.entry
    has_tls = route.protocol == "tcp" and not entry.is_raw
    return {
        "entry": entry.name,
        "entrypoint": entry.entrypoint,
        "scheme": entry.scheme,
        "port": entry.port,
        "domain": entry.domain,
        "address": entry.address,
        "type": route.protocol,
        "router": route.router,
        "rule": route.rule or None,
        "service": route.service,
        "backend": route.backend,
        "passthrough": route.passthrough if has_tls else None,
    }


class Explanation(NamedTuple):
    """What one entry is: a route, an invalid entry, or, with neither, an ordinary alias."""

    entry: str
    route: dict[str, Any] | None = None
    """As :func:`describe_route` returns it."""
    faults: tuple[Diagnostic, ...] = ()
    """Why the entry is invalid."""
    clients: ClientCommands | None = None
    """For TCP and UDP routes."""
    warnings: tuple[Diagnostic, ...] = ()
    """What is probably a mistake in a valid entry or an alias."""


def explain(
    written: WrittenEntry, entrypoint_ports: Mapping[str, str], ca_file: str = TRUST
) -> Explanation:
    """Explain an entry with or without an address.

    ``entrypoint_ports`` are ports by entrypoint; they override :data:`EXAMPLE_PORTS`. ``ca_file``
    has the certificates that clients trust.
    """
    from ctsdns_traefik.core.dynamic.routes import plan_routes  # which imports this package

    name, address = written
    read = parse_host(name, address)
    if read is None:
        return Explanation(name, warnings=find_near_misses({name: address}, []))
    if not isinstance(read, HostEntry):
        return Explanation(name, faults=read)
    warnings = find_near_misses({name: address}, [read])
    (route,) = plan_routes([read if read.address else read._replace(address="ADDRESS")]).routes
    described = describe_route(route) | {"address": read.address or None}
    if route.protocol == "http":
        return Explanation(name, described, warnings=warnings)
    port = {**EXAMPLE_PORTS, **entrypoint_ports}.get(read.entrypoint, UNKNOWN_PORT)
    return Explanation(name, described, (), client_commands(read, port, ca_file), warnings)
