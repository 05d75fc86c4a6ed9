"""The access file: its text to a model, and the model applied to routes.

Rules that only report problems with it are in core/checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.core.access.model import DASHBOARD, Access, AccessText
    from ctsdns_traefik.core.access.parser import read_access

__all__ = ["DASHBOARD", "Access", "AccessText", "read_access"]

__getattr__ = make_face(__name__, ("model", "parser"), __all__)
