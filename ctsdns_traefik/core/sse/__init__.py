"""Server-Sent Events: framing, responses that are no event stream, and the delay to reconnect.

Connections are made in source.
"""

from __future__ import annotations

from ctsdns_traefik.core.sse.backoff import SHORTEST, poll_backoff, retry_delay
from ctsdns_traefik.core.sse.framing import OversizedEvent, read_blocks
from ctsdns_traefik.core.sse.http_errors import (
    EVENT_STREAM,
    Answer,
    explain_answer,
    explain_content,
)

__all__ = [
    "EVENT_STREAM",
    "SHORTEST",
    "Answer",
    "OversizedEvent",
    "explain_answer",
    "explain_content",
    "poll_backoff",
    "read_blocks",
    "retry_delay",
]
