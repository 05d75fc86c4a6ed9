"""The status of watch as a value, as JSON, as Prometheus text, and whether it is healthy.

No clock is read here: times are passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.core.status.health import BEAT, Health, allowed_age, judge
    from ctsdns_traefik.core.status.prometheus import metrics_to_text
    from ctsdns_traefik.core.status.status import (
        LISTED_AT_MOST,
        AccessFile,
        ErrorRecord,
        Hook,
        MachineCheck,
        PendingRemoval,
        Role,
        State,
        Status,
        TraefikAnswer,
        WriterLease,
        summarize,
    )
    from ctsdns_traefik.core.status.status_json import status_to_text
    from ctsdns_traefik.core.status.timestamps import time_to_text

__all__ = [
    "BEAT",
    "LISTED_AT_MOST",
    "AccessFile",
    "ErrorRecord",
    "Health",
    "Hook",
    "MachineCheck",
    "PendingRemoval",
    "Role",
    "State",
    "Status",
    "TraefikAnswer",
    "WriterLease",
    "allowed_age",
    "judge",
    "metrics_to_text",
    "status_to_text",
    "summarize",
    "time_to_text",
]

__getattr__ = make_face(
    __name__, ("timestamps", "status", "status_json", "prometheus", "health"), __all__
)
