"""Traefik's dynamic configuration: entries to routes, to the document, to its text and back.

Comparing documents, with each other and with what Traefik serves, belongs here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

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
        udp_entrypoints,
    )
    from ctsdns_traefik.core.dynamic.document import (
        Document,
        Format,
        build_document,
        from_text,
        to_plain_text,
        to_text,
    )
    from ctsdns_traefik.core.dynamic.key_values import (
        Difference,
        KeyValues,
        UnstorableText,
        difference,
        digest,
        find_guarded,
        from_key_values,
        to_key_values,
    )
    from ctsdns_traefik.core.dynamic.ownership import examine
    from ctsdns_traefik.core.dynamic.recovery import find_unprotected, recover_routes
    from ctsdns_traefik.core.dynamic.rendering import Basis, Rendering, render, render_routes
    from ctsdns_traefik.core.dynamic.routes import INTERNAL, Protocol, Route
    from ctsdns_traefik.core.dynamic.served import (
        RouterKey,
        Verdict,
        errors_of,
        judge,
        kinds_of,
        routers_of,
    )

__all__ = [
    "INTERNAL",
    "NAMED_AT_MOST",
    "Basis",
    "Changes",
    "Difference",
    "Document",
    "Format",
    "KeyValues",
    "Outline",
    "Protocol",
    "Rendering",
    "Route",
    "RouterKey",
    "UnstorableText",
    "Verdict",
    "build_document",
    "compare",
    "count_by_entrypoint",
    "difference",
    "digest",
    "errors_of",
    "examine",
    "find_guarded",
    "find_removed",
    "find_unprotected",
    "from_key_values",
    "from_text",
    "judge",
    "kinds_of",
    "listed",
    "outline",
    "recover_routes",
    "render",
    "render_routes",
    "routers_of",
    "to_key_values",
    "to_plain_text",
    "to_text",
    "udp_entrypoints",
]

__getattr__ = make_face(
    __name__,
    ("routes", "document", "rendering", "diff", "ownership", "recovery", "key_values", "served"),
    __all__,
)
