"""Redis or Valkey as the output, from which Traefik's Redis provider reads.

Only the connection module imports redis-py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.output.redis.connection import (
        load_library,
    )
    from ctsdns_traefik.output.redis.publisher import (
        RedisOutput,
    )
    from ctsdns_traefik.output.redis.url import (
        Address,
        address_from,
        is_store_url,
    )

__all__ = [
    "Address",
    "RedisOutput",
    "address_from",
    "is_store_url",
    "load_library",
]

__getattr__ = make_face(__name__, ("url", "connection", "publisher"), __all__)
