"""A campaign and the benchmarks show how far they are, on a terminal alone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from support.terminals import Terminal, on_terminal, screen

ROOT = Path(__file__).resolve().parents[2]

RUN = str(ROOT / "tests" / "benchmarks" / "run.py")

SLOW = """\
import time
from support.progress import counted

def test_slow() -> None:
    for _ in counted(range(100)):
        time.sleep(0.014)

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
    assert re.search(r" of 100, [1-9]\d* s", shown)
    lines = screen(shown)
    assert [line for line in lines if "test_slow," in line] == []
    assert [line for line in lines if "1 failed, 1 passed" in line] != []
    assert [line for line in lines if "test_bad" in line] != []


def test_campaign_in_a_pipe_prints_dots(tmp_path: Path) -> None:
    """Elsewhere pytest reports as usual."""
    done = subprocess.run(campaign(tmp_path), capture_output=True, text=True, check=False)
    assert done.stdout.startswith(".F")
    assert "\x1b" not in done.stdout + done.stderr


def test_interrupted_campaign_leaves_no_line(tmp_path: Path) -> None:
    """Ctrl-C ends a campaign, and the line is gone."""
    terminal = Terminal(campaign(tmp_path), 100)
    terminal.until("test_slow, 7")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.until_end() == 2
    assert [line for line in screen(terminal.shown) if "test_slow," in line] == []


def test_interrupted_benchmark_leaves_no_line() -> None:
    """Ctrl-C ends the benchmarks, with nothing after their first lines."""
    terminal = Terminal([sys.executable, RUN, "--quick", "--only", "starts"], 100)
    terminal.until("\x1b[2Kstarts, 3 of 7, ")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.until_end() == 130
    assert len(screen(terminal.shown)) == 3


def test_benchmarks_show_their_progress() -> None:
    """The line has the section, and tables are printed in its place."""
    code, shown = on_terminal([sys.executable, RUN, "--quick", "--only", "starts"], 100)
    assert code == 0
    lines = screen(shown)
    assert "\x1b[2Kstarts, 3 of 7, " in shown
    assert [line for line in lines if line.startswith("starts,")] == []
    assert [line for line in lines if line.startswith("## ")] != []
