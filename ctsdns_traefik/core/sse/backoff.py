"""When to connect again."""

from __future__ import annotations

SHORTEST = 0.1
"""Seconds; without a pause an endpoint that refuses would be asked hundreds of times a second."""

LONGEST_RAISE = 300.0
"""Seconds; a server that asks for more is not believed, so that routes are never stale for long."""

JITTER = 0.2
"""The part of the delay that chance may add, so that many hosts do not come back at once."""


def retry_delay(configured: float, asked: float, chance: float) -> float:
    """Return the seconds to wait before the next connection.

    ``configured`` is the user's delay, raised to :data:`SHORTEST`; ``asked`` is what the server
    wants (SSE's ``retry:`` or HTTP's ``Retry-After``, 0 for nothing): it can only raise the delay,
    and not above :data:`LONGEST_RAISE`. ``chance`` is from 0 to 1.
    """
    return max(configured, SHORTEST, min(asked, LONGEST_RAISE)) * (1 + JITTER * chance)
