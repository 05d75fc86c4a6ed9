"""Server-Sent Events: framing, answers that are no stream, and when to connect again.

Bytes and numbers in, values out; the connection itself is in source.
"""

from __future__ import annotations

from ctsdns_traefik.core.sse.backoff import (
    SHORTEST,
    retry_delay,
)
from ctsdns_traefik.core.sse.framing import (
    OversizedEvent,
    read_blocks,
)
from ctsdns_traefik.core.sse.http_errors import (
    EVENT_STREAM,
    Answer,
    explain_answer,
)

__all__ = [
    "EVENT_STREAM",
    "SHORTEST",
    "Answer",
    "OversizedEvent",
    "explain_answer",
    "read_blocks",
    "retry_delay",
]
