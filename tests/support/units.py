"""systemd's units, as far as a test has to read them, and what systemd-analyze says of them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PREFIX = "/opt/ctsdns-traefik/bin"
"""Where the units expect the program."""


class Assignment(NamedTuple):
    """One line of a unit: ``key=value`` in a section."""

    section: str
    key: str
    value: str


class Unit:
    """A unit with its drop-ins."""

    def __init__(self, path: Path, *drop_ins: Path) -> None:
        self.assignments = [each for file in (path, *drop_ins) for each in _assignments(file)]

    def values(self, key: str) -> list[str]:
        """Return all values of a key, in order."""
        return [each.value for each in self.assignments if each.key == key]

    def value(self, key: str) -> str:
        """Return the only value of a key."""
        (value,) = self.values(key)
        return value

    def command(self, places: Mapping[str, str], key: str = "ExecStart") -> list[str]:
        """Return the command line of ExecStart or another key, some paths in it replaced."""
        return shlex.split(_placed(self.value(key).lstrip("-"), places))

    def environment(self, places: Mapping[str, str]) -> dict[str, str]:
        """Return what Environment= sets, some paths and specifiers in it replaced."""
        pairs = [shlex.split(_placed(each, places)) for each in self.values("Environment")]
        return dict(pair.split("=", 1) for line in pairs for pair in line)

    def allowed_calls(self) -> set[str]:
        """Return the system calls that SystemCallFilter= leaves: an allow-list, changed in order.

        Source: systemd.exec(5), SystemCallFilter=.
        """
        groups = _syscall_groups()
        allowed: set[str] = set(groups["@default"])
        for line in self.values("SystemCallFilter"):
            named = set().union(*(groups.get(each, {each}) for each in line.strip("~").split()))
            allowed = allowed - named if line.startswith("~") else allowed | named
        return allowed


def environment_file(path: Path) -> dict[str, str]:
    """Read a file of settings as EnvironmentFile= does, as far as the examples use its form."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which looks at files alone."""
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def systemd_version() -> int:
    """Return the version of the systemd that is installed, 252 for one."""
    found = re.match(r"systemd (\d+)", analyze("--version").stdout)
    assert found
    return int(found[1])


def _assignments(path: Path) -> list[Assignment]:
    section, found = "", []
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.append(Assignment(section, key, value))
    return found


def _placed(text: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def _syscall_groups() -> dict[str, set[str]]:
    """Return the groups of system calls, each with its groups' members in place of their names."""
    logged = analyze("syscall-filter").stdout
    groups: dict[str, set[str]] = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", logged).splitlines():
        if line.startswith("@"):
            members = groups.setdefault(line.strip(), set())
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.add(line.strip())
    return {name: _expanded(name, groups) for name in groups}


def _expanded(name: str, groups: Mapping[str, set[str]]) -> set[str]:
    if name not in groups:
        return {name}
    return set().union(*(_expanded(member, groups) for member in groups[name]))
