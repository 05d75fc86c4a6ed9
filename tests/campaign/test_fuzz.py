"""Coverage-guided fuzzing of every reader of what comes from outside, for a while."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.campaigns import FULL, rounds

pytest.importorskip(
    "atheris", reason="atheris has no wheel for every Python and system", exc_type=ImportError
)

FOLDER = Path(__file__).parent / "fuzz"
PROGRAM = FOLDER / "readers.py"
TARGETS = ("stream", "snapshot", "policy", "grammar", "core", "document")
SECONDS = rounds(3, 120)
FEWEST_RUNS = rounds(100, 5_000)


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("target", TARGETS)
def test_reader_keeps_its_promises(target: str, tmp_path: Path) -> None:
    """No input that a while of guided search comes upon breaks a promise of the reader."""
    output = fuzz(target, tmp_path, f"-max_total_time={SECONDS}", f"-runs={rounds(50_000, -1)}")
    assert runs_in(output) >= FEWEST_RUNS


def test_every_target_is_run() -> None:
    """The targets above are those that the program has, and each has inputs to start from."""
    functions = re.findall(
        r"^def ([a-z]+)\(data: bytes\) -> None:", PROGRAM.read_text(), re.MULTILINE
    )
    assert tuple(functions) == TARGETS
    assert {folder.name for folder in (FOLDER / "seeds").iterdir()} == set(TARGETS)
    assert all(any((FOLDER / "seeds" / target).iterdir()) for target in TARGETS)


def fuzz(target: str, folder: Path, *bounds: str) -> str:
    """Fuzz a target within bounds; keep what is found in a folder, and return what is set.

    Every day's search is the same; one in full starts with a seed of its own, which is reported.
    """
    corpus = folder / "corpus"
    corpus.mkdir()
    seed = 0 if FULL else 1
    options = [f"-dict={FOLDER / 'tokens.dict'}", f"-artifact_prefix={folder}/", f"-seed={seed}"]
    options += ["-rss_limit_mb=1024", "-malloc_limit_mb=512", "-timeout=60", *bounds]
    command = [sys.executable, str(PROGRAM), target, *options]
    done = subprocess.run(
        [*command, str(corpus), str(FOLDER / "seeds" / target)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS + 90,
        check=False,
    )
    output = re.sub(r"INFO: Instrumenting .*\n", "", done.stdout.decode("utf-8", "replace"))
    assert done.returncode == 0, f"exit {done.returncode}; its last words:\n{output[-5_000:]}"
    return output


def runs_in(output: str) -> int:
    """Return how many runs libFuzzer says that it has done."""
    done = re.search(r"^Done ([0-9]+) runs in [0-9]+ second", output, re.MULTILINE)
    assert done, f"it did not come to its end:\n{output[-5_000:]}"
    return int(done[1])
