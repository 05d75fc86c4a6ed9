"""The report of parse-host: one entry explained, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ctsdns_traefik.cli.report import diagnostic_as_json, diagnostic_as_text
from ctsdns_traefik.core.entries import ClientCommands, Explanation
from ctsdns_traefik.core.text import printable
from ctsdns_traefik.terminal import Paint


def explanation_as_json(explained: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON values; ``kind`` is ``route``, ``problem`` or ``alias``."""
    if explained.faults:
        first, *others = map(diagnostic_as_json, explained.faults)
        return {"kind": "problem", **first} | ({"others": others} if others else {})
    found = [diagnostic_as_json(warning) for warning in explained.warnings]
    warnings = {"warnings": found} if found else {}
    if explained.route is None:
        return {"kind": "alias", "entry": explained.entry, **warnings}
    clients = {"clients": explained.clients._asdict()} if explained.clients else {}
    return {"kind": "route", **explained.route, **clients, **warnings}


def explanation_as_text(explained: Explanation, paint: Paint, *, all_clients: bool) -> str:
    """Return an explanation as text, with a final newline.

    ``all_clients`` adds the tools that forward a local port.
    """
    if explained.faults:
        return "\n".join(diagnostic_as_text(fault, paint) for fault in explained.faults)
    route = explained.route
    head = "".join(diagnostic_as_text(warning, paint) for warning in explained.warnings)
    name = head.rstrip("\n") or printable(explained.entry)
    if route is None and head:
        return head
    if route is None:
        return f"{name}\n  an ordinary host alias: it starts with no underscore, and is ignored\n"
    rows = (
        ("entrypoint", route["entrypoint"]),
        ("scheme", route["scheme"]),
        ("port", route["port"]),
        ("router", f"{route['router']} ({route['type'].upper()})"),
        ("rule", route["rule"] or "none: every datagram that reaches the entrypoint"),
        ("service", route["service"]),
        ("backend", route["backend"]),
        ("TLS", _tls_as_text(route["type"], route["passthrough"])),
    )
    lines = [name, *(f"  {label:<11} {value}" for label, value in rows)]
    if explained.clients:
        lines += _clients_as_text(explained.clients, route, all_clients=all_clients)
    return "\n".join(lines) + "\n"


def _tls_as_text(kind: str, passthrough: bool | None) -> str:
    if kind == "http":
        return "as its entrypoint has it; no passthrough"
    if passthrough is None:
        return "none at Traefik: what arrives goes to the backend as it is"
    if passthrough:
        return "passes through to the backend (passthrough: true)"
    return "ends at Traefik (passthrough: false)"


def _clients_as_text(
    clients: ClientCommands, route: Mapping[str, Any], *, all_clients: bool
) -> Iterator[str]:
    yield "  client"
    yield f"      {clients.command}"
    if clients.port is None:
        if "HOST" in clients.command:
            yield "  For HOST write the name or the address of Traefik's machine."
        return
    if clients.command == clients.socat:
        yield f"      {clients.local or f'# then connect to 127.0.0.1:{clients.port}'}"
    if not route["passthrough"]:
        yield "  Clients refuse Traefik's default certificate. Give Traefik one for"
        yield f"  {route['domain']}, by certResolver in the access file or from a file."
        yield "  If it is from an authority of your own, --ca-file puts that into these lines."
    if not all_clients:
        yield "  --all-clients prints socat, stunnel and HAProxy, for clients that send no SNI."
        return
    yield "  For clients that send no SNI, open a local port with one of these, and let them"
    yield f"  connect to 127.0.0.1:{clients.port}:"
    for tool in ("socat", "stunnel", "haproxy"):
        yield f"  {tool}"
        yield from (f"      {line}" for line in getattr(clients, tool).splitlines())
