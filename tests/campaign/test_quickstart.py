"""Ctrl-C at any moment of the quickstart leaves nothing behind."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.campaigns import rounds
from support.quickstarts import interrupt

AT_ONCE = 3
"""Quickstarts that run at the same time."""


@pytest.mark.timeout(300)
def test_ctrl_c_at_random_moments(tmp_path: Path) -> None:
    """Wherever it comes, it ends with 130, no traceback, no process and no temporary folder."""
    chance = random.Random(19)
    moments = [chance.uniform(0, 4) for _ in range(rounds(12, 30))]
    folders = [tmp_path / str(number) for number in range(len(moments))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = list(pool.map(interrupt, folders, moments))
    assert [pair for pair in zip(moments, faults, strict=True) if pair[1]] == []
