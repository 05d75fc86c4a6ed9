"""A real Traefik: its API, its binary, and the sandbox that proves a document.

What only a running Traefik can answer belongs here; rules about it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.traefik.api import (
    ApiError,
    TraefikApi,
    traefik_api_from,
)
from ctsdns_traefik.traefik.proof import (
    prove,
)
from ctsdns_traefik.traefik.sandbox import (
    SandboxEntrypoint,
)

__all__ = [
    "ApiError",
    "SandboxEntrypoint",
    "TraefikApi",
    "prove",
    "traefik_api_from",
]
