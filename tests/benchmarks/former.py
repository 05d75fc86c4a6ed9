"""The former build that budgets are compared with: taken out of git, and run beside this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from benchmarks.data import Sample
from support.paths import ROOT, TESTS

COMMIT = "c763fe5160ab4fa7ef6fb69427a7825f0fdc1f56"
_SCRIPT = TESTS / "benchmarks" / "peers" / "former_build.py"


class NoFormerBuild(Exception):
    """The history does not have that build, as in a shallow clone."""


class FormerBuild:
    """A process of the former build that keeps a file; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        code = self._folder / "code"
        check_out(code)
        self._event = self._folder / "event"
        command = [sys.executable, str(_SCRIPT), str(self._folder / "dynamic.yml")]
        self._process = self._stack.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(code)},
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, sample: Sample) -> float:
        """Have it write a sample's routes; return the CPU seconds from event to file."""
        assert self._process.stdin
        assert self._process.stdout
        self._event.write_bytes(sample.event)
        print(self._event, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def check_out(folder: Path) -> None:
    """Write its package into a folder; raise :class:`NoFormerBuild` without its history."""
    try:
        archive = subprocess.run(
            ["git", "-C", ROOT, "archive", COMMIT, "ctsdns_traefik"],
            check=True,
            capture_output=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as why:
        raise NoFormerBuild(f"git has no commit {COMMIT[:7]} here") from why
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
