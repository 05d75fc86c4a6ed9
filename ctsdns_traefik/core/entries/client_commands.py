"""Write client commands that wrap a plain TCP connection in TLS with SNI.

A TCP router selects connections by the name in the TLS handshake (SNI). Clients that speak no TLS,
or start it only later (ssh, mysql, rdp), connect through a local port that one of these opens.
"""

from __future__ import annotations

from typing import NamedTuple

from ctsdns_traefik.core.entries.grammar import HostEntry

PRIVILEGED = 1024
"""Ports below this one need special rights to listen on."""


class ClientCommands(NamedTuple):
    """Commands and configuration of three tools that forward a local port to a route."""

    port: int
    """The local port: the service's own, or 10000 more where that would need special rights."""
    socat: str
    """A command."""
    stunnel: str
    """A section of a configuration file."""
    haproxy: str
    """A section of a configuration file."""
    ssh: str | None
    """For entries with the scheme ssh, a command that needs no local port."""


def client_commands(entry: HostEntry, entrypoint_port: str, trust: str) -> ClientCommands:
    """Return the commands for one TCP entry.

    ``entrypoint_port`` is the entrypoint's port, or a placeholder; ``trust`` is the file with the
    certificates to trust.
    """
    name = entry.domain.replace("*", "NAME")
    port = entry.port if entry.port >= PRIVILEGED else entry.port + 10_000
    title = f"{name}-{entry.scheme}".replace("+", "-")  # HAProxy allows no + in a name
    connect = f"{name}:{entrypoint_port}"
    return ClientCommands(
        port,
        socat=f"socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
        f" OPENSSL:{connect},snihost={name},cafile={trust}",
        stunnel=f"[{title}]\n"
        "client = yes\n"
        f"accept = 127.0.0.1:{port}\n"
        f"connect = {connect}\n"
        f"sni = {name}\n"
        f"checkHost = {name}\n"
        "verifyChain = yes\n"
        f"CAfile = {trust}",
        # HAProxy sets no timeouts by default: it then warns, and never drops a dead connection.
        haproxy=f"listen {title}\n"
        "    mode tcp\n"
        "    option tcpka\n"
        "    timeout connect 10s\n"
        "    timeout client 24h\n"
        "    timeout server 24h\n"
        f"    bind 127.0.0.1:{port}\n"
        f"    server traefik {connect} ssl sni str({name})"
        f" verify required verifyhost {name} ca-file {trust}",
        ssh=_ssh_command(name, entrypoint_port, trust) if entry.scheme == "ssh" else None,
    )


def _ssh_command(name: str, entrypoint_port: str, trust: str) -> str:
    """Return a command in which OpenSSH replaces ``%h`` by the name."""
    proxy = f"socat - OPENSSL:%h:{entrypoint_port},snihost=%h,cafile={trust}"
    return f"ssh -o ProxyCommand='{proxy}' {name}"
