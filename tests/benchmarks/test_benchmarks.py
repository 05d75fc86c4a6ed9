"""The benchmarks: that they run and say everything; what they measure is for people to judge."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from local import running
from support.paths import TESTS

RUN = TESTS / "benchmarks" / "run.py"
HEADINGS = ["Budgets", "Pieces", "Starts", "Whole way", "Peers", "Store", "Hub", "Readers"]
NUMBER = re.compile(r"[0-9][0-9,]*(\.[0-9]+)?")
BUDGETS = [
    "event of 100 hosts to text / json.loads + json.dumps(indent=2)",
    "one of 100 entries edited, polled policy to file / c763fe5, event",
    "one of 100 entries edited, event to file / c763fe5, event",
    "unchanged poll of 100 entries, body there / json.loads",
    "unchanged event of 100 hosts / json.loads",
    "event to live on three Traefiks by the HTTP provider / by one file",
    "event to text, 100 hosts / 10 hosts",
    "parse-host ENTRY / python -c 'import click'",
    "memory of watch at rest, 100 routes / import click, requests, sseclient",
    "memory after 50 snapshots of 100 hosts / after 10",
]
WITH_HISTORY, ELSEWHERE = BUDGETS[1:3], BUDGETS[5]
"""What a shallow clone cannot measure, and what another section does."""
PEERS = [
    "ctsdns-traefik watch",
    "SSEClient(response) + ruamel.yaml",
    "SSEClient(iter_content(None)) + json.dumps",
    "curl -sN, sed -un, jq -c",
    "json.loads + json.dumps alone",
]


def rows_of(section: str) -> dict[str, list[str]]:
    """Return the cells of a table's rows, without its head, by their names."""
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: others for name, *others in cells}


@pytest.mark.timeout(400)
def test_quick_run_prints_every_table(tmp_path: Path) -> None:
    """A quick run ends well, with every table, budget and peer, and a number in every cell."""
    log = tmp_path / "logged"
    with running([sys.executable, "-W", "error", str(RUN), "--quick"], log) as process:
        status = process.wait(timeout=380)
    logged = log.read_text()
    assert status == 0, logged
    assert "Error" not in logged
    sections = dict(part.split("\n", 1) for part in logged.split("\n## ")[1:])
    assert list(sections) == HEADINGS
    tables = {name: rows_of(section) for name, section in sections.items()}
    assert list(tables["Budgets"]) == BUDGETS
    assert list(tables["Peers"]) == PEERS
    assert "All documents of 100 hosts hold the same 95 rules" in sections["Peers"]
    for name, rows in tables.items():
        for row, cells in rows.items():
            measured = cells[1:2] if name == "Budgets" else cells
            if cells[-1] != "skipped" or row not in (*WITH_HISTORY, ELSEWHERE):
                assert all(is_measured(cell) for cell in measured), (name, row, cells)


def is_measured(cell: str) -> bool:
    """Return whether a cell holds a finite number, or why there is none on this machine."""
    if cell == "-":
        return sys.platform != "linux"
    return bool(NUMBER.search(cell) or re.fullmatch("no (curl|sed|jq)", cell))
