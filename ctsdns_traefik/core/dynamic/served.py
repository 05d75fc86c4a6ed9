"""A document and what Traefik's API lists -> whether Traefik serves what was written.

Traefik lists each router and service as it was written, with defaults added and names of
middlewares completed by their provider. So one that it lists otherwise is the former one. TLS
options and transports are not listed at all, and middlewares are not compared: what is wrong with
them disables the router that names them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic.document import Document
from ctsdns_traefik.core.text import shown

ENABLED = "enabled"

Listed = Mapping[str, Mapping[str, Any]]
"""Routers or services of Traefik's API, by name without the provider."""

RouterKey = tuple[str, str]
"""``http`` or ``tcp``, and the router's name."""


class RouterError(NamedTuple):
    """A router that Traefik has loaded and does not serve, or not wholly, in its own words."""

    router: str
    words: str


class Verdict(NamedTuple):
    """What Traefik makes of a document; names are sorted, HTTP before TCP."""

    routers: int
    """How many the document has."""
    missing: tuple[str, ...] = ()
    """Routers that are not there, or not as they were written, with their services."""
    lingering: tuple[str, ...] = ()
    """Routers that are still there, though no longer written."""
    objections: tuple[RouterError, ...] = ()

    @property
    def loaded(self) -> int:
        """How many routers Traefik serves."""
        return self.routers - len(self.missing) - len(self.objections)

    @property
    def settled(self) -> bool:
        """Tell whether Traefik has loaded this very document, whatever it says of it."""
        return not (self.missing or self.lingering)

    @property
    def good(self) -> bool:
        """Tell whether Traefik serves what was written, and nothing that no longer is."""
        return self.settled and not self.objections


def routers_of(document: Document) -> Iterator[RouterKey]:
    """Name the routers of a document."""
    for section in ("http", "tcp"):
        for name in document.get(section, {}).get("routers", {}):
            yield section, name


def kinds_of(document: Document, gone: Iterable[RouterKey]) -> tuple[str, ...]:
    """Name the lists of Traefik's API that :func:`judge` needs."""
    removed = {section for section, _ in gone}
    return tuple(
        f"{section}/{part}"
        for section in ("http", "tcp")
        for part in ("routers", "services")
        if part in document.get(section, {}) or (part == "routers" and section in removed)
    )


def judge(
    document: Document,
    listed: Mapping[str, Listed],
    gone: Collection[RouterKey] = (),
    provider: str = "file",
) -> Verdict:
    """Compare a document with the lists that :func:`kinds_of` names.

    ``gone`` are the routers that it no longer has; ``provider`` is the name under which Traefik
    lists what it has from there, ``redis`` for one.
    """
    missing, objections, written = [], [], sorted(routers_of(document))
    for section, name in written:
        parts = {key: listed.get(f"{section}/{key}", {}) for key in ("routers", "services")}
        items = _listed_as_written(document[section], name, parts, provider)
        if not items:
            missing.append(name)
        elif words := words_of(items):
            objections.append(RouterError(name, shown("; ".join(words))))
    lingering = (
        name for section, name in sorted(gone) if name in listed.get(f"{section}/routers", {})
    )
    return Verdict(len(written), tuple(missing), tuple(lingering), tuple(objections))


def _listed_as_written(
    section: Mapping[str, Mapping[str, Any]],
    name: str,
    listed: Mapping[str, Listed],
    provider: str,
) -> list[Mapping[str, Any]]:
    """Return a router and its service as Traefik lists them; nothing if not both as written."""
    router = section["routers"][name]
    there = listed["routers"].get(name)
    if not there or not _is_router(there, router, provider):
        return []
    service = section.get("services", {}).get(str(router.get("service")))
    if service is None:  # Traefik's own, or that of somebody else
        return [there]
    served = listed["services"].get(str(router["service"]))
    return [there, served] if served and _is_service(served, service) else []


def words_of(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what Traefik has against routers and services that it lists; nothing if it serves."""
    flawed = [item for item in items if item.get("status") != ENABLED]
    words = [str(word) for item in flawed for word in item.get("error") or ()]
    words = words or [f"Traefik says only: {item.get('status')}" for item in flawed]
    return list(dict.fromkeys(words))


def _is_router(there: Mapping[str, Any], router: Mapping[str, Any], provider: str) -> bool:
    """Tell whether a listed router is the written one; what was not written is not compared."""
    same = ("rule", "service", "entryPoints", "priority")
    if any(key in router and there.get(key) != router[key] for key in same):
        return False
    tls = router.get("tls")
    if isinstance(tls, Mapping) and not _has(there.get("tls"), tls):
        return False
    names = [f"{name}@{provider}" if "@" not in name else name for name in _names_in(router)]
    return not names or _names_in(there)[-len(names) :] == names


def _is_service(there: Mapping[str, Any], service: Mapping[str, Any]) -> bool:
    """Tell whether a listed service has the written servers and transport."""
    now, written = there.get("loadBalancer"), service.get("loadBalancer")
    if not isinstance(written, Mapping):
        return True
    if not isinstance(now, Mapping):
        return False
    transport = "serversTransport"
    if transport in written and now.get(transport) != written[transport]:
        return False
    servers, wanted = now.get("servers"), written.get("servers")
    if not (isinstance(servers, list) and isinstance(wanted, list)):
        return servers == wanted
    pairs = zip(servers, wanted, strict=False)
    return len(servers) == len(wanted) and all(_has(one, other) for one, other in pairs)


def _has(there: object, wanted: object) -> bool:
    """Tell whether what is listed has all that was written; defaults may have been added."""
    if not isinstance(wanted, Mapping):
        return there == wanted
    return isinstance(there, Mapping) and all(there.get(key) == wanted[key] for key in wanted)


def _names_in(router: Mapping[str, Any]) -> list[str]:
    names = router.get("middlewares")
    return [str(name) for name in names] if isinstance(names, list) else []
