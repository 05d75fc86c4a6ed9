"""The access file: its text to a model, and the model applied to routes.

Rules that only warn about it are in core/checks.
"""

from __future__ import annotations

from ctsdns_traefik.core.access.apply import (
    API,
    CHALLENGE_PART,
    DASHBOARD,
    Applied,
    apply_access,
)
from ctsdns_traefik.core.access.definitions import (
    NAME,
)
from ctsdns_traefik.core.access.model import (
    Access,
    AccessText,
    Backend,
    wider,
)
from ctsdns_traefik.core.access.modes import (
    TAILNET,
    TAILNET_PART,
    TRUSTED,
    TRUSTED_BY_PATTERN,
    client_auth_name,
    depends_on_address,
    drop_headers_name,
    forward_auth_name,
    transport_name,
)
from ctsdns_traefik.core.access.parser import (
    read_access,
)
from ctsdns_traefik.core.access.resources import (
    NOTHING,
    References,
)
from ctsdns_traefik.core.access.yaml_nodes import (
    AccessError,
)

__all__ = [
    "API",
    "CHALLENGE_PART",
    "DASHBOARD",
    "NAME",
    "NOTHING",
    "TAILNET",
    "TAILNET_PART",
    "TRUSTED",
    "TRUSTED_BY_PATTERN",
    "Access",
    "AccessError",
    "AccessText",
    "Applied",
    "Backend",
    "References",
    "apply_access",
    "client_auth_name",
    "depends_on_address",
    "drop_headers_name",
    "forward_auth_name",
    "read_access",
    "transport_name",
    "wider",
]
