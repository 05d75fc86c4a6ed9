"""A campaign and the benchmarks show how far they are, on a terminal alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.terminals import on_terminal, screen

ROOT = Path(__file__).resolve().parents[2]

SLOW = """\
import time
from support.progress import counted

def test_slow() -> None:
    for _ in counted(range(100)):
        time.sleep(0.02)

def test_bad() -> None:
    assert not "as it should be"
"""


def campaign(folder: Path) -> list[str]:
    """Write a campaign of two tests with the options of all; return the command that runs it."""
    (folder / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (folder / "test_slow.py").write_text(SLOW)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'tests'}\n")
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]


def test_campaign_shows_its_progress(tmp_path: Path) -> None:
    """The line has the test, the number of rounds and the time, and is gone in the end."""
    code, shown = on_terminal(campaign(tmp_path), 100)
    assert code == 1
    assert "test 1 of 2, test_slow, 9" in shown
    assert " of 100, 2 s" in shown
    lines = screen(shown)
    assert [line for line in lines if "test_slow," in line] == []
    assert [line for line in lines if "1 failed, 1 passed" in line] != []
    assert [line for line in lines if "test_bad" in line] != []


def test_campaign_in_a_pipe_prints_dots(tmp_path: Path) -> None:
    """Elsewhere pytest reports as usual."""
    done = subprocess.run(campaign(tmp_path), capture_output=True, text=True, check=False)
    assert done.stdout.startswith(".F")
    assert "\x1b" not in done.stdout + done.stderr


def test_benchmarks_show_their_progress() -> None:
    """The line has the section, and tables are printed in its place."""
    run = str(ROOT / "tests" / "benchmarks" / "run.py")
    code, shown = on_terminal([sys.executable, run, "--quick", "--only", "starts"], 100)
    assert code == 0
    lines = screen(shown)
    assert "\x1b[2Kstarts, 3 of 7, " in shown
    assert [line for line in lines if line.startswith("starts,")] == []
    assert [line for line in lines if line.startswith("## ")] != []
