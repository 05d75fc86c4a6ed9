"""Rules that report what Traefik would do with entries, settings and access.

Each rule is a function from what is known to diagnostics.
"""

from __future__ import annotations

from ctsdns_traefik.core.checks.access import check_unused
from ctsdns_traefik.core.checks.diagnostics import LocatedDiagnostic
from ctsdns_traefik.core.checks.run import NEWEST
from ctsdns_traefik.core.checks.validation import StaticText, Validation, check_policy

__all__ = [
    "NEWEST",
    "LocatedDiagnostic",
    "StaticText",
    "Validation",
    "check_policy",
    "check_unused",
]
