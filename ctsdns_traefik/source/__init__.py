"""Where policies come from: one connection or file at a time, as events and hosts.

Only this package and the access service speak HTTP through requests.
"""

from __future__ import annotations

from ctsdns_traefik.source.endpoint import (
    Endpoint,
    Header,
    endpoint_from,
    header_from,
    is_private,
)
from ctsdns_traefik.source.http_client import (
    HttpError,
    Response,
    http_get,
    require_certificates,
)
from ctsdns_traefik.source.once import (
    Reading,
    read_hosts,
    standard_input,
)
from ctsdns_traefik.source.stream import (
    Event,
    StreamError,
    load_libraries,
    open_stream,
)

__all__ = [
    "Endpoint",
    "Event",
    "Header",
    "HttpError",
    "Reading",
    "Response",
    "StreamError",
    "endpoint_from",
    "header_from",
    "http_get",
    "is_private",
    "load_libraries",
    "open_stream",
    "read_hosts",
    "require_certificates",
    "standard_input",
]
