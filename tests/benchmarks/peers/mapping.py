"""What every peer makes of a snapshot: the document of ctsdns-traefik, with nothing checked."""

from __future__ import annotations

from typing import Any


def document_of(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Map the hosts of a snapshot to routers and services."""
    document: dict[str, Any] = {
        "http": {"routers": {}, "services": {}},
        "tcp": {"routers": {}, "services": {}},
    }
    for name, address in snapshot["acl"].get("hosts", {}).items():
        if not name.startswith("_"):
            continue
        head, _, domain = name[1:].partition("._tcp.")
        entrypoint, scheme, port = head.rsplit("_", 2)
        slug = domain.replace(".", "-")
        service = f"service-{slug}-{scheme}-{port}"
        if scheme in {"http", "https"}:
            section, router = document["http"], f"router-{slug}"
            rule, server = f"Host(`{domain}`)", {"url": f"{scheme}://{address}:{port}"}
        else:
            section, router = document["tcp"], f"router-{slug}-{scheme}"
            rule, server = f"HostSNI(`{domain}`)", {"address": f"{address}:{port}"}
        section["routers"][router] = {"rule": rule, "service": service, "entryPoints": [entrypoint]}
        if scheme not in {"http", "https"}:
            section["routers"][router]["tls"] = {"passthrough": scheme == "tls"}
        section["services"][service] = {"loadBalancer": {"servers": [server]}}
    return document
