"""Compare a document with what Traefik's API lists, to find whether Traefik serves the document.

Traefik applies a file with a delay, and until then lists the previous routers, possibly of the same
names. So the fields of each router and service are compared, not only its name. Traefik lists them
as written, with defaults added and the provider appended to names of middlewares. TLS options and
transports are not listed, and middlewares are not compared: an error in one disables the routers
that refer to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic.document import Document, texts_in
from ctsdns_traefik.core.dynamic.routes import SECTIONS
from ctsdns_traefik.core.text import shown

ENABLED = "enabled"

Listed = Mapping[str, Mapping[str, Any]]
"""Routers or services in Traefik's API, by name without the provider."""

RouterKey = tuple[str, str]
"""``http``, ``tcp`` or ``udp``, and the router's name."""


class RouterError(NamedTuple):
    """A router that Traefik has loaded but does not serve completely, with Traefik's message."""

    router: str
    message: str


class Verdict(NamedTuple):
    """How a document compares with what Traefik serves; names are sorted: HTTP, TCP, UDP."""

    routers: int
    """The number of routers in the document."""
    missing: tuple[str, ...] = ()
    """Routers that Traefik does not list, or lists, with their services, otherwise than written."""
    lingering: tuple[str, ...] = ()
    """Removed routers that Traefik still lists."""
    errors: tuple[RouterError, ...] = ()

    @property
    def loaded(self) -> int:
        """How many routers Traefik serves."""
        return self.routers - len(self.missing) - len(self.errors)

    @property
    def settled(self) -> bool:
        """Whether Traefik has loaded exactly this document, with or without errors."""
        return not (self.missing or self.lingering)

    @property
    def good(self) -> bool:
        """Whether Traefik serves exactly this document, without errors."""
        return self.settled and not self.errors


def routers_of(document: Document) -> Iterator[RouterKey]:
    """Yield the keys of a document's routers."""
    for section in SECTIONS:
        for name in document.get(section, {}).get("routers", {}):
            yield section, name


def kinds_of(document: Document, gone: Iterable[RouterKey]) -> tuple[str, ...]:
    """Return the paths of the lists in Traefik's API that :func:`judge` needs."""
    removed = {section for section, _ in gone}
    return tuple(
        f"{section}/{part}"
        for section in SECTIONS
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

    ``gone`` are routers that were removed; ``provider`` is Traefik's name for the source of the
    document, such as ``redis``.
    """
    missing, errors, written = [], [], sorted(routers_of(document))
    for section, name in written:
        parts = {key: listed.get(f"{section}/{key}", {}) for key in ("routers", "services")}
        items = _listed_as_written(document[section], name, parts, provider)
        if not items:
            missing.append(name)
        elif messages := errors_of(items):
            errors.append(RouterError(name, shown("; ".join(messages))))
    lingering = (
        name for section, name in sorted(gone) if name in listed.get(f"{section}/routers", {})
    )
    return Verdict(len(written), tuple(missing), tuple(lingering), tuple(errors))


def _listed_as_written(
    section: Mapping[str, Mapping[str, Any]],
    name: str,
    listed: Mapping[str, Listed],
    provider: str,
) -> list[Mapping[str, Any]]:
    """Return a router and its service from Traefik's lists, or nothing if one is not as written."""
    router = section["routers"][name]
    there = listed["routers"].get(name)
    if not there or not _is_router(there, router, provider):
        return []
    service = section.get("services", {}).get(str(router.get("service")))
    if service is None:  # Traefik's own, or another provider's
        return [there]
    served = listed["services"].get(str(router["service"]))
    return [there, served] if served and _is_service(served, service) else []


def errors_of(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return Traefik's messages for listed routers and services; none if all are enabled."""
    flawed = [item for item in items if item.get("status") != ENABLED]
    messages = [str(message) for item in flawed for message in item.get("error") or ()]
    messages = messages or [f"Traefik says only: {item.get('status')}" for item in flawed]
    return list(dict.fromkeys(messages))


def _is_router(there: Mapping[str, Any], router: Mapping[str, Any], provider: str) -> bool:
    """Return whether a listed router is the written one; only written fields are compared."""
    same = ("rule", "service", "entryPoints", "priority")
    if any(key in router and there.get(key) != router[key] for key in same):
        return False
    tls = router.get("tls")
    if isinstance(tls, Mapping) and not _has(there.get("tls"), tls):
        return False
    written = texts_in(router, "middlewares")
    names = [name if "@" in name else f"{name}@{provider}" for name in written]
    # Traefik puts the middlewares of the entrypoint before those of the router.
    return not names or texts_in(there, "middlewares")[-len(names) :] == names


def _is_service(there: Mapping[str, Any], service: Mapping[str, Any]) -> bool:
    """Return whether a listed service is the written one; only written fields are compared."""
    now, written = there.get("loadBalancer"), service.get("loadBalancer")
    if not isinstance(written, Mapping):
        return True
    if not isinstance(now, Mapping):
        return False
    options = {name: value for name, value in written.items() if name != "servers"}
    if not _has(now, options):
        return False
    servers, wanted = now.get("servers"), written.get("servers")
    if not (isinstance(servers, list) and isinstance(wanted, list)):
        return servers == wanted
    pairs = zip(servers, wanted, strict=False)
    return len(servers) == len(wanted) and all(_has(one, other) for one, other in pairs)


def _has(there: object, wanted: object) -> bool:
    """Return whether a listed value has all that was written; it may have added defaults."""
    if not isinstance(wanted, Mapping):
        return there == wanted
    return isinstance(there, Mapping) and all(_has(there.get(key), wanted[key]) for key in wanted)
