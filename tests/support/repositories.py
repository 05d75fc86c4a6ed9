"""Scratch git repositories, apart from the settings of the user who runs the tests."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_PERSON = {"NAME": "A Person", "EMAIL": "person@example.com"}


def git_environment() -> dict[str, str]:
    """Return an environment with an identity for git, no settings, and this Python's programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    programs = sysconfig.get_path("scripts")
    return {
        **kept,
        **{
            f"GIT_{role}_{part}": _PERSON[part]
            for role in ("AUTHOR", "COMMITTER")
            for part in _PERSON
        },
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}",
    }


class Repository:
    """A git repository with one branch, main."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = {**git_environment(), **(environment or {})}
        folder.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command there and return what it reported."""
        return subprocess.run(
            [*map(str, command)],
            cwd=self.folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        """Run git, which has to succeed, and return what it printed."""
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files by their paths, and stage them."""
        for path, text in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git("add", "--all")

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Commit everything there is, some files written before, and return the commit."""
        self.write(files or {})
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")
