"""Traefik's static configuration, read as Traefik reads it.

Rules about it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.core.static_config.configuration import (
    StaticConfiguration,
    read_static,
    with_entrypoints,
)

__all__ = ["StaticConfiguration", "read_static", "with_entrypoints"]
