"""Rules that report what Traefik would do with entries, settings and access.

Each rule is a function that yields diagnostics.
"""

from __future__ import annotations

from ctsdns_traefik.core.checks.access import check_unused
from ctsdns_traefik.core.checks.dynamic_files import (
    DynamicFile,
    DynamicFiles,
    check_dynamic_files,
    provable_middlewares,
)
from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.checks.validation import StaticText, Validation, check_policy
from ctsdns_traefik.core.releases import NEWEST

__all__ = [
    "NEWEST",
    "DynamicFile",
    "DynamicFiles",
    "StaticText",
    "Validation",
    "check_dynamic_files",
    "check_policy",
    "check_static",
    "check_unused",
    "provable_middlewares",
]
