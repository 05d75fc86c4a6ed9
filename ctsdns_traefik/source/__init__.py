"""Where policies come from: the seam, and what implements it.

Only this package and the access service speak HTTP through requests.
"""

from __future__ import annotations

from ctsdns_traefik.source.base import (
    MachineList,
    OtherEvent,
    Policy,
    Received,
    Source,
    Untrusted,
    WorkerError,
)
from ctsdns_traefik.source.dispatch import SourceSettings, source_from
from ctsdns_traefik.source.endpoint import (
    Endpoint,
    Header,
    endpoint_from,
    header_from,
    is_private,
)
from ctsdns_traefik.source.file import FileSource, path_from
from ctsdns_traefik.source.http_client import (
    HttpError,
    Response,
    http_get,
    require_certificates,
)
from ctsdns_traefik.source.once import list_machines, read_policy, standard_input

__all__ = [
    "Endpoint",
    "FileSource",
    "Header",
    "HttpError",
    "MachineList",
    "OtherEvent",
    "Policy",
    "Received",
    "Response",
    "Source",
    "SourceSettings",
    "Untrusted",
    "WorkerError",
    "endpoint_from",
    "header_from",
    "http_get",
    "is_private",
    "list_machines",
    "path_from",
    "read_policy",
    "require_certificates",
    "source_from",
    "standard_input",
]
