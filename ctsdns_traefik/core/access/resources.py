"""Build the middlewares, TLS options and transports that routers and services refer to by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctsdns_traefik.core.access.model import Access, Backend
from ctsdns_traefik.core.access.modes import (
    ALPN,
    TAILNET,
    TRUSTED,
    alpn_name,
    client_auth_name,
    drop_headers_name,
    forward_auth_name,
    transport_name,
)
from ctsdns_traefik.core.dynamic.routes import SECTIONS, Route

References = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By section, map and name, as in the document: ``http``, ``middlewares``, NAME."""

_FORWARD_AUTH = {"address": "", "trustForwardHeader": False}
"""Traefik's default, written because it logs a warning without it from 3.6.14 on."""

NOTHING: References = {}


def references_of(routes: Sequence[Route], access: Access) -> References:
    """Return exactly what some routes refer to; no section or map is empty."""
    tailnet = {TAILNET: {"ipAllowList": {"sourceRange": list(access.ranges)}}}
    forward_auth = {
        forward_auth_name(name): {"forwardAuth": {**_FORWARD_AUTH, **options}}
        for name, options in access.forward_auth.items()
    }
    drop_headers = {
        drop_headers_name(name): _without_headers(options[TRUSTED])
        for name, options in access.forward_auth.items()
        if TRUSTED in options
    }
    used = {
        protocol: {
            name for route in routes if route.protocol == protocol for name in route.middlewares
        }
        for protocol in SECTIONS
    }
    transports = {route.servers_transport for route in routes}
    return _without_empty(
        {
            "http": {
                "middlewares": _only(used["http"], tailnet | forward_auth | drop_headers),
                "serversTransports": _only(transports, _transports(access)),
            },
            "tcp": {"middlewares": _only(used["tcp"], tailnet)},
            "tls": {"options": _tls_options(routes, access)},
        }
    )


def _without_headers(names: Iterable[str]) -> dict[str, Any]:
    """Return a middleware that removes headers in any case, as Traefik does for an empty value."""
    return {"headers": {"customRequestHeaders": dict.fromkeys(names, "")}}


def _transports(access: Access) -> dict[str, Any]:
    backends = {route.backend for route in access.routes.values() if route.backend}
    return {transport_name(backend): _transport(backend) for backend in backends}


def _transport(backend: Backend) -> dict[str, Any]:
    """Return a transport, which is never empty: that would cost the whole file."""
    name = {"serverName": backend.server_name} if backend.server_name else {}
    unchecked = backend.insecure_skip_verify
    return {**name, "insecureSkipVerify": unchecked} if unchecked or not name else name


def _tls_options(routes: Sequence[Route], access: Access) -> dict[str, Any]:
    """Return the TLS options that routers name, by all that makes their names."""
    protocols = {(), *(each.alpn_protocols for each in access.all_settings), *ALPN.values()}
    defined: dict[str, Any] = {}
    for each in sorted(protocols):
        alpn = {"alpnProtocols": list(each)} if each else {}
        defined[alpn_name(each)] = alpn
        for name, files in access.client_auth.items():
            client_auth = {
                "caFiles": list(files),
                "clientAuthType": "RequireAndVerifyClientCert",
            }
            defined[client_auth_name(name, each)] = {**alpn, "clientAuth": client_auth}
    return _only({route.tls.options for route in routes if route.tls} - {""}, defined)


def _only(used: Iterable[str], defined: Mapping[str, Any]) -> dict[str, Any]:
    return {name: defined[name] for name in sorted(used) if name in defined}


def _without_empty(sections: Mapping[str, Mapping[str, Any]]) -> References:
    kept = {
        section: {name: each for name, each in maps.items() if each}
        for section, maps in sections.items()
    }
    return {section: maps for section, maps in kept.items() if maps}
