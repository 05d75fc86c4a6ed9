"""How much to measure: in earnest, or only to see that everything works."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """Sizes and repetitions."""

    sizes: tuple[int, ...] = (10, 100, 1000, 10_000, 50_000)
    """Numbers of hosts, for all but the budgets."""
    repeat: int = 5
    """Measurements of each thing."""
    limit: float = 60.0
    """Seconds that anything may take before it counts as unfinished."""
    hosts: int = 10_000
    """What the budgets are for."""
    growth: tuple[int, int] = (2_000, 20_000)
    polls: int = 20
    """Unchanged polls that are measured together: one takes a fraction of a millisecond."""
    starts: int = 15
    """Pairs of processes."""
    snapshots: tuple[int, int] = (10, 1_000)
    """Between which memory must not grow."""
    snapshot_hosts: int = 1_000
    processes: int = 3
    """Processes whose memory is measured."""
    followers: int = 500
    """Of one hub."""
    judged: bool = True
    """Whether the budgets are meant for these sizes."""


QUICK = Scale(
    sizes=(10, 100),
    repeat=1,
    limit=10.0,
    hosts=100,
    growth=(10, 100),
    polls=2,
    starts=3,
    snapshots=(10, 50),
    snapshot_hosts=100,
    processes=1,
    followers=20,
    judged=False,
)
"""All sections in half a minute; its ratios say nothing."""
