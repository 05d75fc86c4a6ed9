"""A real Traefik: its API, its binary, its directory, and the sandbox that proves a document.

What only a running Traefik can answer belongs here; rules about it are in core/checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.traefik.api import ApiError, TraefikApi, traefik_api_from
    from ctsdns_traefik.traefik.binary import find_traefik, release_of
    from ctsdns_traefik.traefik.directory import paths_beside, read_beside, texts_to_load
    from ctsdns_traefik.traefik.proof import Proof, Verdict, prove
    from ctsdns_traefik.traefik.sandbox import SandboxEntrypoint
    from ctsdns_traefik.traefik.static_check import refusal_of

__all__ = [
    "ApiError",
    "Proof",
    "SandboxEntrypoint",
    "TraefikApi",
    "Verdict",
    "find_traefik",
    "paths_beside",
    "prove",
    "read_beside",
    "refusal_of",
    "release_of",
    "texts_to_load",
    "traefik_api_from",
]

__getattr__ = make_face(
    __name__, ("directory", "api", "binary", "static_check", "sandbox", "proof"), __all__
)
