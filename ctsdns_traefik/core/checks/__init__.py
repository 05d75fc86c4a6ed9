"""Rules that report what Traefik would do with entries, settings and access.

Each rule is a function that yields diagnostics.
"""

from __future__ import annotations

from ctsdns_traefik.core.checks.access import check_access, check_unused, setting_locations
from ctsdns_traefik.core.checks.diagnostics import locate_in_policy, locate_in_settings
from ctsdns_traefik.core.checks.entries import NEWEST, check

__all__ = [
    "NEWEST",
    "check",
    "check_access",
    "check_unused",
    "locate_in_policy",
    "locate_in_settings",
    "setting_locations",
]
