"""Traefik's dynamic configuration: entries to routes, to the document, to its text and back.

Comparing documents, with each other and with what Traefik serves, belongs here too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctsdns_traefik.core.dynamic.diff import (
        NAMED_AT_MOST,
        Changes,
        Outline,
        compare,
        count_by_entrypoint,
        find_removed,
        listed,
        outline,
    )
    from ctsdns_traefik.core.dynamic.document import (
        Document,
        Format,
        from_text,
        to_plain_text,
        to_text,
    )
    from ctsdns_traefik.core.dynamic.key_values import (
        Difference,
        KeyValues,
        difference,
        digest,
        find_guarded,
        from_key_values,
        to_key_values,
    )
    from ctsdns_traefik.core.dynamic.ownership import (
        examine,
    )
    from ctsdns_traefik.core.dynamic.rendering import (
        Rendering,
        render,
        render_routes,
    )
    from ctsdns_traefik.core.dynamic.routes import (
        INTERNAL,
        Protocol,
        Route,
        RouterTls,
        make_route,
        plan_routes,
        priority_of,
    )
    from ctsdns_traefik.core.dynamic.served import (
        RouterError,
        RouterKey,
        Verdict,
        judge,
        kinds_of,
        routers_of,
        words_of,
    )
    from ctsdns_traefik.core.dynamic.standing import (
        find_unprotected,
        recover_routes,
    )

_FACE = {
    "diff": (
        "Changes",
        "NAMED_AT_MOST",
        "Outline",
        "compare",
        "count_by_entrypoint",
        "find_removed",
        "listed",
        "outline",
    ),
    "document": (
        "Document",
        "Format",
        "from_text",
        "to_plain_text",
        "to_text",
    ),
    "key_values": (
        "Difference",
        "KeyValues",
        "difference",
        "digest",
        "find_guarded",
        "from_key_values",
        "to_key_values",
    ),
    "ownership": ("examine",),
    "rendering": (
        "Rendering",
        "render",
        "render_routes",
    ),
    "routes": (
        "INTERNAL",
        "Protocol",
        "Route",
        "RouterTls",
        "make_route",
        "plan_routes",
        "priority_of",
    ),
    "served": (
        "RouterError",
        "RouterKey",
        "Verdict",
        "judge",
        "kinds_of",
        "routers_of",
        "words_of",
    ),
    "standing": (
        "find_unprotected",
        "recover_routes",
    ),
}


def __getattr__(name: str) -> object:
    """Import an exported name when it is first used: parse-host needs the routes alone."""
    for module, names in _FACE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "INTERNAL",
    "NAMED_AT_MOST",
    "Changes",
    "Difference",
    "Document",
    "Format",
    "KeyValues",
    "Outline",
    "Protocol",
    "Rendering",
    "Route",
    "RouterError",
    "RouterKey",
    "RouterTls",
    "Verdict",
    "compare",
    "count_by_entrypoint",
    "difference",
    "digest",
    "examine",
    "find_guarded",
    "find_removed",
    "find_unprotected",
    "from_key_values",
    "from_text",
    "judge",
    "kinds_of",
    "listed",
    "make_route",
    "outline",
    "plan_routes",
    "priority_of",
    "recover_routes",
    "render",
    "render_routes",
    "routers_of",
    "to_key_values",
    "to_plain_text",
    "to_text",
    "words_of",
]
