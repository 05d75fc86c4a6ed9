"""When to connect again."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.sse.backoff import JITTER, LONGEST_RAISE, SHORTEST, retry_delay


@pytest.mark.parametrize(
    ("configured", "asked", "chance", "seconds"),
    [
        pytest.param(5.0, 0.0, 0.0, 5.0, id="nothing-asked"),
        pytest.param(5.0, 3.0, 0.0, 5.0, id="less-asked"),
        pytest.param(5.0, 30.0, 0.0, 30.0, id="more-asked"),
        pytest.param(5.0, 1e9, 0.0, 300.0, id="too-much-asked"),
        pytest.param(5.0, float("inf"), 0.0, 300.0, id="for-ever-asked"),
        pytest.param(600.0, 1e9, 0.0, 600.0, id="more-configured-than-is-believed"),
        pytest.param(5.0, 0.0, 1.0, 6.0, id="most-jitter"),
        pytest.param(5.0, 0.0, 0.5, 5.5, id="half-the-jitter"),
        pytest.param(5.0, 30.0, 1.0, 36.0, id="jitter-on-what-is-asked"),
        pytest.param(0.0, 0.0, 0.0, 0.1, id="no-delay"),
        pytest.param(0.05, 0.0, 1.0, 0.12, id="less-than-the-least"),
        pytest.param(0.0, 0.15, 0.0, 0.15, id="more-asked-than-the-least"),
    ],
)
def test_retry_delay(configured: float, asked: float, chance: float, seconds: float) -> None:
    """A tenth of a second at least; a server can raise it to five minutes, chance by a fifth."""
    assert retry_delay(configured, asked, chance) == pytest.approx(seconds)
    assert (SHORTEST, LONGEST_RAISE, JITTER) == (0.1, 300.0, 0.2)
