"""Client commands that wrap a plain TCP connection in TLS with SNI.

A TCP router tells its connections apart by the name in the TLS handshake (SNI). Clients that speak
no TLS, or start it only later (ssh, mysql, rdp), reach it through a local port of one of these.
"""

from __future__ import annotations

from typing import NamedTuple

from ctsdns_traefik.core.entries.grammar import HostEntry

PRIVILEGED = 1024
"""Ports below this one need special rights to listen on."""


class ClientCommands(NamedTuple):
    """How three tools listen on a local port and lead it to a route; each a text of its own.

    HAProxy has no time-outs of its own: without them it warns, and never drops a dead connection.
    """

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
    """Write the commands for one TCP entry.

    ``entrypoint_port`` is the port of the entrypoint, or a word in its place; ``trust`` is the file
    of certificates to trust.
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
    """Write a command whose ``%h`` OpenSSH replaces by the name."""
    proxy = f"socat - OPENSSL:%h:{entrypoint_port},snihost=%h,cafile={trust}"
    return f"ssh -o ProxyCommand='{proxy}' {name}"
