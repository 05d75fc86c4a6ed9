"""Traefik's static configuration, read as Traefik reads it.

Rules about it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.core.static_config.configuration import (
    UNKNOWN,
    Entrypoint,
    StaticConfiguration,
    read_running,
    read_static,
    with_entrypoints,
)
from ctsdns_traefik.core.static_config.reader import Form, read_settings, without_keys

__all__ = [
    "UNKNOWN",
    "Entrypoint",
    "Form",
    "StaticConfiguration",
    "read_running",
    "read_settings",
    "read_static",
    "with_entrypoints",
    "without_keys",
]
