"""Rules that report what Traefik would do with entries, settings and access.

Each rule is a function from what is known to diagnostics.
"""

from __future__ import annotations

from ctsdns_traefik.core.checks.access import (
    check_access,
    check_unused,
    places_in,
)
from ctsdns_traefik.core.checks.diagnostics import (
    LocatedDiagnostic,
    locate_in_policy,
    locate_in_settings,
)
from ctsdns_traefik.core.checks.run import (
    NEWEST,
    check,
)

__all__ = [
    "NEWEST",
    "LocatedDiagnostic",
    "check",
    "check_access",
    "check_unused",
    "locate_in_policy",
    "locate_in_settings",
    "places_in",
]
