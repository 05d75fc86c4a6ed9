"""Traefik's static configuration, read as Traefik reads it.

It is only read here; rules about it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.core.static_config.configuration import (
    Entrypoint,
    FileProvider,
    StaticConfiguration,
    read_static,
    with_entrypoints,
)
from ctsdns_traefik.core.static_config.reader import (
    StaticError,
    place_of,
    read_yaml,
)

__all__ = [
    "Entrypoint",
    "FileProvider",
    "StaticConfiguration",
    "StaticError",
    "place_of",
    "read_static",
    "read_yaml",
    "with_entrypoints",
]
