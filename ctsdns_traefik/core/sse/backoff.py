"""Compute the delay before the next connection or poll."""

from __future__ import annotations

SHORTEST = 0.1
"""Seconds; without a pause a failing endpoint would get hundreds of requests a second."""

LONGEST_RAISE = 300.0
"""Seconds; a server that asks for a longer delay gets this one, so that routes do not go stale."""

JITTER = 0.2
"""The share of the delay that may be added at random, so that clients do not return at once."""


def retry_delay(configured: float, asked: float, chance: float) -> float:
    """Return the seconds to wait before the next connection.

    ``configured`` is the user's delay, at least :data:`SHORTEST`; ``asked`` is the server's (SSE's
    ``retry:`` or HTTP's ``Retry-After``, 0 for none), which can only raise the delay, and not above
    :data:`LONGEST_RAISE`. ``chance`` is a random number from 0 to 1.
    """
    return max(configured, SHORTEST, min(asked, LONGEST_RAISE)) * (1 + JITTER * chance)


def poll_backoff(interval: float, failures: int) -> float:
    """Return the seconds without polls that a source gets after so many failures in a row.

    It starts with the interval and doubles up to :data:`LONGEST_RAISE`.
    """
    return min(interval * 2.0 ** min(failures - 1, 10), LONGEST_RAISE)
