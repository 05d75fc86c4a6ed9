"""Whole hosts maps and what becomes of them: the folders in ``cases``.

Each holds ``hosts.json``, the hosts map, or ``policy.hujson``, a policy with one; ``dynamic.yml``,
the exact text; and, if an entry is refused, ``problems.txt``, a line for each problem.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.paths import TESTS

from ctsdns_traefik.core.dynamic.document import from_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy.reader import HostsMap, hosts_of_policy

CASES = sorted((TESTS / "cases").iterdir())
FILES = {"hosts.json", "policy.hujson", "dynamic.yml", "problems.txt"}

EACH_CASE = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


def hosts_of(case: Path) -> HostsMap:
    """Return the hosts map of a case."""
    policy = case / "policy.hujson"
    if policy.exists():
        return hosts_of_policy(policy.read_bytes())
    hosts: dict[str, Any] = json.loads((case / "hosts.json").read_bytes())
    return hosts


@EACH_CASE
def test_text_of_case(case: Path) -> None:
    """The hosts map becomes exactly this text."""
    assert render(hosts_of(case)).text.encode() == (case / "dynamic.yml").read_bytes()


@EACH_CASE
def test_problems_of_case(case: Path) -> None:
    """Exactly these problems are reported, in the order of the entries' names."""
    expected = case / "problems.txt"
    lines = "".join(f"{problem}\n" for problem in render(hosts_of(case)).diagnostics)
    assert lines == (expected.read_text("utf-8") if expected.exists() else "")


@EACH_CASE
def test_yaml_of_case(case: Path) -> None:
    """In the other format the text says the same."""
    text = (case / "dynamic.yml").read_text("utf-8")
    assert from_text(render(hosts_of(case), "yaml").text) == json.loads(text)


def test_cases_hold_known_files() -> None:
    """There are cases, and none has a file that no test reads or that says nothing."""
    files = [file for case in CASES for file in case.iterdir()]
    assert {file.name for file in files} == FILES
    assert [file for file in files if not file.stat().st_size] == []
