"""What one document changes about another, in routers: added, changed, removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ctsdns_traefik.core.document import Document

FEWEST_GUARDED = 4
"""A document with fewer routers may lose any number of them at once."""


class Changes(NamedTuple):
    """Names of routers, sorted, HTTP before TCP."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    before: int
    """How many routers there were."""

    @property
    def drastic(self) -> bool:
        """Tell whether more than half of at least :data:`FEWEST_GUARDED` routers go."""
        return self.before >= FEWEST_GUARDED and 2 * len(self.removed) > self.before


def compare(old: Document, new: Document) -> Changes:
    """Compare two documents; a router has changed if it or its service has."""
    before = _routers(old)
    after = before if new is old else _routers(new)
    return Changes(
        added=_names(key for key in after if key not in before),
        changed=_names(key for key in after if key in before and before[key] != after[key]),
        removed=_names(key for key in before if key not in after),
        before=len(before),
    )


def _routers(document: Document) -> dict[tuple[str, str], Any]:
    """Return each router with its service, by section and name."""
    return {
        (section, name): (router, parts.get("services", {}).get(str(router.get("service"))))
        for section, parts in document.items()
        for name, router in parts.get("routers", {}).items()
    }


def _names(keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for _, name in sorted(keys))
