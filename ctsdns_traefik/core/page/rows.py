"""Rows: what a document says about each router, in the words of the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik.core.access.modes import TAILNET
from ctsdns_traefik.core.dynamic.document import Document
from ctsdns_traefik.core.dynamic.routes import INTERNAL, SECTIONS

_NAMES = re.compile(r"\bHost(?:SNI)?\(`([^`]+)`\)")


class Row(NamedTuple):
    """One router on one entrypoint."""

    entrypoint: str
    name: str
    """The domain that it serves, or what the router is called if its rule has none."""
    protocol: str
    router: str
    rule: str
    backend: str
    machines: tuple[str, ...]
    """The addresses of the backends, each once; the name of one of Traefik's own services."""
    access: str
    tls: str


def rows_of(document: Document) -> list[Row]:
    """Return the rows of a document by entrypoint, name and router."""
    return sorted(row for protocol in SECTIONS for row in _rows_of_section(document, protocol))


def by_entrypoint(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return rows by their entrypoints, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.entrypoint, []).append(row)
    return found


def _rows_of_section(document: Document, protocol: str) -> Iterator[Row]:
    section = document.get(protocol, {})
    services = section.get("services", {})
    for router, fields in section.get("routers", {}).items():
        service = str(fields.get("service", ""))
        backend = _backend(services.get(service, {})) or service.removesuffix(INTERNAL)
        rule = str(fields.get("rule", ""))
        names = _NAMES.findall(rule)
        name = names[0] if names and names[0] != "*" else router.removeprefix("router-")
        for entrypoint in fields.get("entryPoints", ("",)):
            yield Row(
                str(entrypoint),
                name,
                protocol,
                router,
                rule,
                backend,
                tuple(dict.fromkeys(map(_address, backend.split(", ")))),
                _access(fields),
                _tls(protocol, fields),
            )


def _backend(service: Mapping[str, Any]) -> str:
    servers = service.get("loadBalancer", {}).get("servers", ())
    return ", ".join(str(each.get("url") or each.get("address") or "") for each in servers)


def _address(backend: str) -> str:
    try:
        return urlsplit(backend if "://" in backend else f"//{backend}").hostname or backend
    except ValueError:
        return backend


def _access(router: Mapping[str, Any]) -> str:
    options = router.get("tls", {}).get("options", "")
    names = [*router.get("middlewares", ()), *([options] if options else [])]
    return ", ".join("tailnet" if name == TAILNET else str(name) for name in names) or "public"


def _tls(protocol: str, router: Mapping[str, Any]) -> str:
    """Return where TLS ends, if the router says so; for HTTP the entrypoint may."""
    if protocol == "udp":
        return ""
    if "tls" not in router:
        return "" if protocol == "http" else "no TLS at Traefik"
    return "TLS passthrough" if router["tls"].get("passthrough") else "TLS ends at Traefik"
