"""Recover routes from the current document, and find those that have lost their protection.

After a restart a changed access file is applied to the live routes before the first snapshot. The
output itself is the only record of them: a separate file could be missing or older, and a store has
no place for one. Only what this tool would write in exactly the same way is recovered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.access.apply import CHALLENGE_PART
from ctsdns_traefik.core.access.model import wider
from ctsdns_traefik.core.access.modes import TAILNET, client_auth_name, forward_auth_name
from ctsdns_traefik.core.dynamic.document import Document, text_in, texts_in
from ctsdns_traefik.core.dynamic.routes import (
    SECTIONS,
    Protocol,
    Route,
    make_route,
    slug_of,
    with_priorities,
)
from ctsdns_traefik.core.entries.grammar import ANY, HostEntry, parse_host

_RULE = re.compile(r"Host(?:SNI)?\(`([^`]+)`\)")
_NAME = re.compile(r"router-[A-Za-z0-9_.+-]+")
_SERVICE = re.compile(r"service-[A-Za-z0-9_.+-]+")
_BACKEND = re.compile(r"(?:(?P<scheme>https?|h2c)://)?(?P<address>.+):(?P<port>[0-9]+)")
_HTTP_SCHEMES = ("http", "https", "h2c", "tls")


def recover_routes(document: Document) -> tuple[Route, ...]:
    """Return the routes that one of this tool's documents was made of, without access settings.

    They keep their names and backends; routers that an access file adds are left out. The names of
    entries are in their plainest spelling. The scheme of a TCP route is in a document only as part
    of names, and ``tcp`` if it cannot be found there. The domain of a UDP route is its slug.
    """
    found = [
        route
        for protocol in SECTIONS
        for name, router in document.get(protocol, {}).get("routers", {}).items()
        if _NAME.fullmatch(name) and (route := _route(protocol, name, router, document))
    ]
    return with_priorities(found)


def find_unprotected(before: Document, after: Document) -> tuple[str, ...]:
    """Return the unprotected routers for names that were protected before.

    A name without its own router was protected if its wildcard was.
    """
    protected = {key: all(each.protected for each in parts) for key, parts in _by_name(before)}
    return tuple(
        sorted(
            each.router
            for key, parts in _by_name(after)
            for each in parts
            if not each.protected and protected.get(key, protected.get(_wildcard(key), False))
        )
    )


class _Router(NamedTuple):
    """A router's name, and whether it restricts access."""

    router: str
    protected: bool


_Key = tuple[str, str, str]
"""Section, entrypoint and domain."""


def _route(
    protocol: Protocol, name: str, router: Mapping[str, Any], document: Document
) -> Route | None:
    service = str(router.get("service"))
    entry = _entry(protocol, router, document)
    base = service.partition("~")[0]
    if not entry or not _SERVICE.fullmatch(base):
        return None
    route = make_route(entry)
    backends = _backends(service, document[protocol])
    if route.backend != backends[0] or route.protocol != protocol:
        return None
    route = route._replace(others=tuple(filter(_BACKEND.fullmatch, backends[1:])))
    raised = len(route.rule) + 1  # above a wildcard that may itself not be recovered
    one_letter = entry.domain[1:2] == "." and router.get("priority") == raised
    return route._replace(router=name, service=base, priority=raised if one_letter else None)


def _entry(protocol: Protocol, router: Mapping[str, Any], document: Document) -> HostEntry | None:
    entrypoints, service = texts_in(router, "entryPoints"), str(router.get("service"))
    backend = _BACKEND.fullmatch(_backends(service, document[protocol])[0])
    if not backend or len(entrypoints) != 1:
        return None
    port, address = backend["port"], backend["address"].removeprefix("[").removesuffix("]")
    start = f"_{entrypoints[0]}"
    if protocol == "udp":
        return _udp_entry(start, service, port, address)
    rule = _RULE.match(str(router.get("rule")))
    if not rule:
        return None
    domain = rule[1]
    scheme = backend["scheme"] or _scheme(domain, port, router, service)
    entry = parse_host(f"{start}_{scheme}_{port}._tcp.{domain}", address)
    return entry if isinstance(entry, HostEntry) and entry.domain == domain else None


def _udp_entry(start: str, service: str, port: str, address: str) -> HostEntry | None:
    """Return the entry of a UDP router, which has no rule: its domain is the slug in the names."""
    found = re.match(rf"service-([a-z0-9-]+)-([a-z0-9][a-z0-9+.]*)-{port}(?:-|$)", service)
    entry = found and parse_host(f"{start}_{found[2]}_{port}._udp.{ANY}", address)
    if not found or not isinstance(entry, HostEntry):
        return None
    domain = ANY if found[1] == slug_of(ANY) else found[1]
    return entry._replace(name=f"{start}_{found[2]}_{port}._udp.{domain}", domain=domain)


def _scheme(domain: str, port: str, router: Mapping[str, Any], service: str) -> str:
    tls = router.get("tls")
    if isinstance(tls, Mapping) and tls.get("passthrough") is True:
        return "tls"
    slug = re.escape(slug_of(domain))
    # What follows the port distinguishes services that would share a name, or names a transport.
    found = re.match(f"service-{slug}-([a-z0-9][a-z0-9+.-]*?)-{port}(?:-|~|$)", service)
    return found[1] if found and found[1] not in _HTTP_SCHEMES else "tcp"


def _backends(service: str, section: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the servers of a service, ``""`` alone if there is none, or something else."""
    balancer = section.get("services", {}).get(service, {}).get("loadBalancer")
    servers = balancer.get("servers") if isinstance(balancer, Mapping) else None
    if not isinstance(servers, list) or not all(isinstance(each, Mapping) for each in servers):
        return [""]
    return [str(each.get("url") or each.get("address") or "") for each in servers] or [""]


def _by_name(document: Document) -> Iterator[tuple[_Key, list[_Router]]]:
    """Yield the routers for each name, except those for ACME challenges."""
    found: dict[_Key, list[_Router]] = defaultdict(list)
    for section, parts in document.items():
        for name, router in parts.get("routers", {}).items():
            rule = _RULE.match(str(router.get("rule")))
            entrypoints = texts_in(router, "entryPoints")
            if rule and entrypoints and not name.endswith(f"~{CHALLENGE_PART}"):
                key = section, str(entrypoints), rule[1]
                found[key].append(_Router(name, _is_protected(router)))
    yield from found.items()


def _wildcard(key: _Key) -> _Key:
    return key[0], key[1], wider(key[2])


def _is_protected(router: Mapping[str, Any]) -> bool:
    return (
        any(map(_is_access, texts_in(router, "middlewares")))
        or text_in(router, "tls", "options").startswith(client_auth_name(""))
        or "ClientIP(`" in str(router.get("rule"))
    )


def _is_access(middleware: str) -> bool:
    return middleware == TAILNET or middleware.startswith(forward_auth_name(""))
