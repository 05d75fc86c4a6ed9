"""The examples for CI: the script is run for real, the workflow is linted."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.commands import UNCHECKED
from support.paths import ROOT
from support.repositories import Repository

CI = ROOT / "examples" / "ci"
SCRIPT = CI / "validate-policy.sh"
WORKFLOW = CI / "github" / "validate-policy.yml"

APP = "_websecure_http_3000._tcp.app.example.com"
WIKI = "_websecure_http_3001._tcp.wiki.example.com"
BAD = "_websecure_http_99999._tcp.bad.example.com"

STATIC = """\
entryPoints: {websecure: {address: ":443", http: {tls: {}}}}
providers: {file: {filename: /etc/traefik/dynamic.yml}}
"""

UNCHANGED = "The routes stay as they are.\n"

ADDED = """\
+    router-wiki-example-com:
+      rule: "Host(`wiki.example.com`)"
+      service: "service-wiki-example-com-http-3001"
+      entryPoints:
+        - "websecure"
"""


def policy(*entries: str) -> dict[str, str]:
    """Return a policy file with some entries, the first in its third line."""
    lines = [f'    "{entry}": "100.64.0.1", // ours' for entry in entries]
    return {"policy.hujson": "\n".join(["{", '  "hosts": {', *lines, "  },", "}", ""])}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Make a repository with a policy of one entry, committed."""
    made = Repository(tmp_path / "policy", {"TMPDIR": str(tmp_path)})
    made.commit({"traefik.yml": STATIC, **policy(APP)})
    return made


def validate(
    repository: Repository, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script; nothing of it may stay behind."""
    before = sorted(repository.folder.parent.iterdir())
    environment = {"GITHUB_STEP_SUMMARY": "", **environment}
    done = repository.run("sh", SCRIPT, *arguments, **environment)
    assert sorted(repository.folder.parent.iterdir()) == before
    return done


def test_good_change_shows_the_added_route(repository: Repository) -> None:
    """An entry that a change adds is fine, and its route is shown as added to what there was."""
    repository.commit(policy(APP, WIKI))
    done = validate(repository, "policy.hujson", "HEAD^1", "--static-config", "traefik.yml")
    assert (done.returncode, done.stderr) == (0, "")
    printed, _, diff = done.stdout.partition("--- routes before\n+++ routes after\n")
    assert printed.endswith("\n2 routes, 0 errors, 0 warnings\n")
    assert ADDED in diff
    assert "\n-" not in diff


def test_bad_entry_is_a_finding(repository: Repository) -> None:
    """A bad entry is an annotation at its place and exit code 1; the diff is shown all the same."""
    repository.commit(policy(BAD))
    done = validate(repository, "policy.hujson", "HEAD^1", "--format", "github")
    assert (done.returncode, done.stderr) == (1, "")
    annotation, summary, *diff = done.stdout.splitlines()
    assert annotation.startswith(f"::error file=policy.hujson,line=3,col=5,title=bad-port::{BAD}=")
    assert summary == f"0 routes, 1 error, 0 warnings{UNCHECKED}"
    assert "-    router-app-example-com:" in diff


def test_github_gets_a_summary_of_the_job(repository: Repository) -> None:
    """On GitHub the diff is added to the job's summary as a block of Markdown."""
    repository.commit(policy(APP, WIKI))
    summary = repository.folder.parent / "summary.md"
    summary.write_text("before\n")
    done = validate(repository, "policy.hujson", "HEAD^1", GITHUB_STEP_SUMMARY=str(summary))
    diff = done.stdout[done.stdout.index("--- routes before") :]
    assert summary.read_text() == f"before\n```diff\n{diff}```\n"


def test_change_that_is_none(repository: Repository) -> None:
    """A change that leaves the routes alone is reported to, on GitHub too."""
    repository.commit({"policy.hujson": f"// ours\n{policy(APP)['policy.hujson']}"})
    summary = repository.folder.parent / "summary.md"
    summary.touch()
    done = validate(repository, "policy.hujson", "HEAD^1", GITHUB_STEP_SUMMARY=str(summary))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"warnings{UNCHECKED}\n{UNCHANGED}")
    assert summary.read_text() == UNCHANGED


@pytest.mark.parametrize("before", [None, "{ broken"], ids=["new", "mended"])
def test_policy_without_a_readable_past(repository: Repository, before: str | None) -> None:
    """A policy that is new, or that the change fixes, has all its routes added."""
    (repository.folder / "policy.hujson").unlink()
    repository.commit({} if before is None else {"policy.hujson": before})
    repository.commit(policy(WIKI))
    done = validate(repository, "policy.hujson", "HEAD^1")
    assert done.returncode == 0
    assert done.stderr.endswith("policy.hujson at HEAD^1; every route counts as new\n")
    assert ADDED in done.stdout


def test_policy_in_a_folder(repository: Repository) -> None:
    """The policy's path is relative to the current folder, and may have spaces."""
    repository.commit({f"our tailnet/{name}": text for name, text in policy(APP).items()})
    done = validate(repository, "our tailnet/policy.hujson", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(UNCHANGED)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["policy.hujson"], 2, "usage: validate-policy.sh POLICY REVISION [OPTION...]"),
        (["policy.hujson", "nowhere"], 2, "git knows no revision nowhere here"),
        (["policy.hujson", "--all"], 2, "git knows no revision --all here"),
        (["missing.hujson", "HEAD"], 3, "cannot read missing.hujson"),
        (["policy.hujson", "HEAD", "--unknown"], 2, "no such option --unknown"),
    ],
)
def test_what_cannot_be_done(
    repository: Repository, arguments: list[str], code: int, complaint: str
) -> None:
    """What keeps the script from its work is reported, and no exit code of findings."""
    done = validate(repository, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert complaint in done.stderr


def workflow() -> dict[str, Any]:
    """Return the workflow as GitHub reads it, apart from "on", which YAML 1.1 takes for true."""
    read = YAML(typ="safe").load(WORKFLOW)
    assert isinstance(read, dict)
    return read


def test_last_step_of_the_workflow(repository: Repository) -> None:
    """The workflow's last step, run as it stands, proves the change in a real Traefik."""
    repository.write({".github/validate-policy.sh": SCRIPT.read_text()})
    repository.commit(policy(APP, WIKI))
    summary = repository.folder.parent / "summary.md"
    step = workflow()["jobs"]["validate"]["steps"][-1]["run"]
    environment = {**workflow()["env"], "GITHUB_STEP_SUMMARY": str(summary)}
    done = repository.run("bash", "-e", "-c", step, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 routes, 0 errors, 0 warnings; proved by Traefik 3.")
    assert ADDED in summary.read_text()


ZIZMOR = {"rules": {"unpinned-uses": {"config": {"policies": {"actions/*": "ref-pin"}}}}}
"""GitHub's own actions may be named by a tag; others would need a commit."""


def complaints(file: Path, folder: Path) -> str:
    """Return what the linters have against a workflow: its schema, and its security."""
    configuration = folder / "zizmor.json"
    configuration.write_text(json.dumps(ZIZMOR))
    printed = ""
    for program, *arguments in (
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
        ("zizmor", "--offline", "--strict-collection", "--quiet", "--config", str(configuration)),
    ):
        command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        printed += done.stdout + done.stderr if done.returncode else ""
    return printed


def test_workflow_is_linted(tmp_path: Path) -> None:
    """The linters have nothing against the workflow."""
    assert complaints(WORKFLOW, tmp_path) == ""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("runs-on:", "run-on:", "'runs-on' is a required property"),
        ("contents: read", "contents: reed", "'reed' is not one of"),
        ("permissions:\n  contents: read\n", "", "excessive-permissions"),
        ("persist-credentials: false", "clean: true", "artipacked"),
        ('"$REQUIREMENT"', "${{ github.head_ref }}", "template-injection"),
    ],
)
def test_linters_find_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """A workflow that is wrong or unsafe does not pass the linters."""
    text = WORKFLOW.read_text()
    assert old in text
    spoilt = tmp_path / "spoilt.yml"
    spoilt.write_text(text.replace(old, new))
    assert complaint in complaints(spoilt, tmp_path)


def test_workflow_may_only_read() -> None:
    """The workflow may only read, and expands no text that a pull request has chosen."""
    assert workflow()["permissions"] == {"contents": "read"}
    assert "${{" not in WORKFLOW.read_text()


def test_script_can_be_run() -> None:
    """The script is executable, for those who call it by its path."""
    assert os.access(SCRIPT, os.X_OK)
