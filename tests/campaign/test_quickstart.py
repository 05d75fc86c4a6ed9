"""The quickstart ends in time and leaves nothing behind, at any moment."""

from __future__ import annotations

import random
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.campaigns import rounds
from support.quickstarts import interrupt, left_behind, printed, quickstart

from ctsdns_traefik.errors import ExitCode

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


def test_endpoint_that_stays_silent(tmp_path: Path) -> None:
    """An endpoint that does not answer ends it after 15 seconds, as a source that failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with quickstart(tmp_path, "--endpoint", endpoint) as process:
            assert process.wait(timeout=90) == ExitCode.SOURCE
    assert "\nrun.py: error: no policy came within 15 s" in printed(tmp_path)
    assert left_behind(tmp_path) == []
