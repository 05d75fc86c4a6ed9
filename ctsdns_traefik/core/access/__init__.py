"""The access file: its text to a model, and the model applied to routes.

Rules that only report problems with it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.core.access.apply import DASHBOARD
from ctsdns_traefik.core.access.model import Access, AccessText
from ctsdns_traefik.core.access.parser import read_access

__all__ = ["DASHBOARD", "Access", "AccessText", "read_access"]
