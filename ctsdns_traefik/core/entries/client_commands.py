"""Write the commands by which clients reach a TCP or UDP route.

A TCP router selects connections by the name in the TLS handshake (SNI). Clients that speak no TLS,
or start it only later (ssh, mysql, rdp), connect through a local port that socat, stunnel or
HAProxy opens. Raw TCP and UDP routes have no names: clients connect as they would without Traefik.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ctsdns_traefik.core.entries.grammar import ANY, HostEntry

PRIVILEGED = 1024
"""Ports below this one need special rights to listen on."""

_PLAIN: Mapping[str, str] = {
    "dns": "dig @{host} -p {port} NAME",
    "ldap": "ldapsearch -H ldap://{host}:{port} -x",
    "mongodb": "mongosh mongodb://{host}:{port}",
    "mqtt": "mosquitto_sub -h {host} -p {port} -t TOPIC",
    "mysql": "mysql --host {host} --port {port} --user USER --password",
    "postgres": "psql 'host={host} port={port} user=USER dbname=DATABASE'",
    "rdp": "xfreerdp /v:{host}:{port}",
    "redis": "redis-cli -h {host} -p {port}",
    "sftp": "sftp -P {port} USER@{host}",
    "ssh": "ssh -p {port} USER@{host}",
    "tls": "openssl s_client -connect {host}:{port} -servername NAME",
    "vnc": "vncviewer {host}::{port}",
    "wireguard": "wg set wg0 peer PUBLIC-KEY endpoint {host}:{port}",
}
"""Commands for routes without a name, by scheme."""

_PROXY = "-o ProxyCommand='socat - OPENSSL:%h:{port},snihost=%h,cafile={ca_file}'"
"""An option of OpenSSH, which replaces ``%h`` by the name."""

_WITH_SNI: Mapping[str, str] = {
    "ldap": "LDAPTLS_CACERT={ca_file} ldapsearch -H ldaps://{host}:{port} -x",
    "mqtt": "mosquitto_sub -h {host} -p {port} --cafile {ca_file} -t TOPIC",
    "postgres": "psql 'host={host} port={port} sslmode=verify-full sslrootcert={ca_file}"
    " user=USER dbname=DATABASE'",
    "redis": "redis-cli -h {host} -p {port} --tls --sni {host} --cacert {ca_file}",
    "sftp": f"sftp {_PROXY} {{host}}",
    "ssh": f"ssh {_PROXY} {{host}}",
    "tls": "openssl s_client -connect {host}:{port} -servername {host} -CAfile {ca_file}",
}
"""Commands of clients that send the name, or have an option for a command that does, by scheme."""

_ALIASES = {
    "mariadb": "mysql",
    "mqtts": "mqtt",
    "postgresql": "postgres",
    "rediss": "redis",
    "wg": "wireguard",
}


class ClientCommands(NamedTuple):
    """What reaches a route: one command, and three tools that forward a local port to it."""

    command: str
    """The simplest: of the client itself if it can, or else that of socat."""
    port: int | None = None
    """The local port: the service's own, or 10000 more where that would need special rights."""
    socat: str | None = None
    """A command."""
    stunnel: str | None = None
    """A section of a configuration file."""
    haproxy: str | None = None
    """A section of a configuration file."""
    ssh: str | None = None
    """For entries with the scheme ssh, a command that needs no local port."""
    local: str | None = None
    """A command of the client itself that connects to the local port, if one is known."""


def client_commands(entry: HostEntry, entrypoint_port: str, ca_file: str) -> ClientCommands:
    """Return the commands for one TCP or UDP entry.

    ``entrypoint_port`` is the entrypoint's port, or a placeholder; ``ca_file`` is the file with the
    certificates to trust. For a route without a name there is one command alone.
    """
    scheme = _ALIASES.get(entry.scheme, entry.scheme)
    name = "HOST" if entry.domain == ANY else entry.domain.replace("*", "NAME")
    values = {"host": name, "port": entrypoint_port, "ca_file": ca_file}
    if entry.transport == "udp" or entry.domain == ANY:
        return ClientCommands(_without_name(entry, scheme).format(**values))
    tools = _tools(entry, name, entrypoint_port, ca_file)
    command = _WITH_SNI[scheme].format(**values) if scheme in _WITH_SNI else tools.command
    local = {"host": "127.0.0.1", "port": str(tools.port)}
    return tools._replace(
        command=command,
        ssh=command if scheme == "ssh" else None,
        local=_PLAIN[scheme].format(**local) if scheme in _PLAIN else None,
    )


def _without_name(entry: HostEntry, scheme: str) -> str:
    if entry.transport == "udp":
        known = scheme in ("dns", "wireguard")
        return _PLAIN[scheme] if known else "nc -u {host} {port}"
    return f"{_PLAIN[scheme]} +tcp" if scheme == "dns" else _PLAIN.get(scheme, "nc {host} {port}")


def _tools(entry: HostEntry, name: str, entrypoint_port: str, ca_file: str) -> ClientCommands:
    port = entry.port if entry.port >= PRIVILEGED else entry.port + 10_000
    title = f"{name}-{entry.scheme}".replace("+", "-")  # HAProxy allows no + in a name
    connect = f"{name}:{entrypoint_port}"
    socat = (
        f"socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
        f" OPENSSL:{connect},snihost={name},cafile={ca_file}"
    )
    return ClientCommands(
        command=socat,
        port=port,
        socat=socat,
        stunnel=f"[{title}]\n"
        "client = yes\n"
        f"accept = 127.0.0.1:{port}\n"
        f"connect = {connect}\n"
        f"sni = {name}\n"
        f"checkHost = {name}\n"
        "verifyChain = yes\n"
        f"CAfile = {ca_file}",
        # HAProxy sets no timeouts by default: it then warns, and never drops a dead connection.
        haproxy=f"listen {title}\n"
        "    mode tcp\n"
        "    option tcpka\n"
        "    timeout connect 10s\n"
        "    timeout client 24h\n"
        "    timeout server 24h\n"
        f"    bind 127.0.0.1:{port}\n"
        f"    server traefik {connect} ssl sni str({name})"
        f" verify required verifyhost {name} ca-file {ca_file}",
    )
