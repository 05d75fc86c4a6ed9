"""Where policies come from: the seam, and what implements it.

Only this package and the access service speak HTTP through requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
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
        BAD_AUTHORITY,
        BAD_CHARACTER,
        Endpoint,
        Header,
        OnAnswer,
        endpoint_from,
        header_from,
        is_private,
    )
    from ctsdns_traefik.source.file import FileSource, path_from
    from ctsdns_traefik.source.http_client import (
        HttpError,
        Response,
        clock_offset,
        http_get,
        require_certificates,
    )
    from ctsdns_traefik.source.once import (
        list_machines,
        read_policy,
        read_standard_input,
        scopes_of,
    )
    from ctsdns_traefik.source.url import UrlSource

__all__ = [
    "BAD_AUTHORITY",
    "BAD_CHARACTER",
    "Endpoint",
    "FileSource",
    "Header",
    "HttpError",
    "MachineList",
    "OnAnswer",
    "OtherEvent",
    "Policy",
    "Received",
    "Response",
    "Source",
    "SourceSettings",
    "Untrusted",
    "UrlSource",
    "WorkerError",
    "clock_offset",
    "endpoint_from",
    "header_from",
    "http_get",
    "is_private",
    "list_machines",
    "path_from",
    "read_policy",
    "read_standard_input",
    "require_certificates",
    "scopes_of",
    "source_from",
]

_MODULES = ("base", "endpoint", "http_client", "dispatch", "file", "once")
__getattr__ = make_face(__name__, _MODULES, __all__)
