"""The hook for pre-commit, run by the real pre-commit in scratch repositories."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML
from support.paths import ROOT
from support.repositories import Repository

pytestmark = pytest.mark.timeout(300)  # pip builds the hook's environment, once

INSTALLED = (".pre-commit-hooks.yaml", "LICENSE", "README.md", "pyproject.toml", "setup.cfg")
"""What pip needs of this repository, beside the package."""

DOCUMENT = (ROOT / "docs/ci.md").read_text(encoding="utf-8")

SNIPPETS = re.findall(r"(?sm)^```yaml\n(.+?)^```", DOCUMENT)
"""The configurations in docs/ci.md: for one policy, and for two."""

PRE_COMMIT = (sys.executable, "-m", "pre_commit")

STATIC = 'entryPoints: {websecure: {address: ":443", http: {tls: {}}}}\n'

BAD_PORT = "policy.hujson:3:5: error bad-port: _websecure_http_99999._tcp.app.example.com="


def policy(entry: str) -> str:
    """Return a policy whose third line has one entry."""
    return f'{{\n  "hosts": {{\n    "{entry}": "100.64.0.1", // ours\n  }},\n}}\n'


GOOD = policy("_websecure_http_3000._tcp.app.example.com")
BAD = policy("_websecure_http_99999._tcp.app.example.com")
ELSEWHERE = policy("_web_http_3000._tcp.app.example.com")


class Hooks(NamedTuple):
    """This repository as pre-commit takes it, and where it has built the environment."""

    repository: Repository
    home: Path


def configured(hooks: Hooks, snippet: str) -> str:
    """Return a configuration of the document, with this repository in the example's place."""
    text, places = re.subn(r"https://git\.example\.com/\S+", str(hooks.repository.folder), snippet)
    commit = hooks.repository.git("rev-parse", "HEAD").strip()
    text, commits = re.subn(r"rev: [0-9a-f]{40}", f"rev: {commit}", text)
    assert places == commits == 1
    return text


def policy_repository(folder: Path, hooks: Hooks, configuration: str) -> Repository:
    """Make a policy's repository with a configuration of pre-commit."""
    repository = Repository(folder, {"PRE_COMMIT_HOME": str(hooks.home)})
    repository.write(
        {".pre-commit-config.yaml": configured(hooks, configuration), "traefik.yml": STATIC}
    )
    return repository


def install(repository: Repository) -> None:
    """Have git run the hook at each commit."""
    done = repository.run(*PRE_COMMIT, "install", "--install-hooks")
    assert done.returncode == 0, done.stdout + done.stderr


def run_on_all(repository: Repository) -> subprocess.CompletedProcess[str]:
    """Run the hooks on everything that is staged."""
    return repository.run(*PRE_COMMIT, "run", "--all-files", "--color=never")


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Hooks:
    """Commit the working tree as it is to another repository, for pre-commit to install from."""
    folder = tmp_path_factory.mktemp("ctsdns-traefik")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ctsdns_traefik", folder / "ctsdns_traefik", ignore=ignored)
    for name in INSTALLED:
        shutil.copy(ROOT / name, folder)
    repository = Repository(folder)
    repository.commit()
    hooks = Hooks(repository, tmp_path_factory.mktemp("pre-commit"))
    install(policy_repository(tmp_path_factory.mktemp("first"), hooks, SNIPPETS[0]))
    return hooks


def test_commit_with_a_bad_entry_is_refused(tmp_path: Path, hooks: Hooks) -> None:
    """A commit with a bad entry is refused, with its place, and accepted when it is fixed."""
    repository = policy_repository(tmp_path / "policy", hooks, SNIPPETS[0])
    install(repository)
    before = repository.commit({"policy.hujson": GOOD})
    repository.write({"policy.hujson": BAD})
    refused = repository.run("git", "commit", "--message", "a bad entry")
    assert refused.returncode == 1
    assert f"\n{BAD_PORT}" in refused.stdout + refused.stderr
    assert repository.git("rev-parse", "HEAD") == before
    assert repository.commit({"policy.hujson": f"// mended\n{GOOD}"}) != before


def test_document_shows_what_a_refused_commit_prints(tmp_path: Path, hooks: Hooks) -> None:
    """The session in docs/ci.md is what pre-commit prints for a bad entry."""
    repository = policy_repository(tmp_path / "policy", hooks, SNIPPETS[0])
    repository.write({"policy.hujson": BAD})
    done = run_on_all(repository)
    assert done.returncode == 1
    assert f"```\n{done.stdout.strip()}\n```\n" in DOCUMENT


def test_only_a_change_of_the_policy_runs_the_hook(tmp_path: Path, hooks: Hooks) -> None:
    """A commit of other files is none of the hook's business, even beside a bad policy."""
    repository = policy_repository(tmp_path / "policy", hooks, SNIPPETS[0])
    install(repository)
    repository.write({"policy.hujson": BAD})
    repository.git("commit", "--quiet", "--no-verify", "--message", "a bad entry")
    repository.write({"README.md": "Our policy.\n", "package.json": "{}\n"})
    done = repository.run("git", "commit", "--message", "other files")
    assert done.returncode == 0
    assert "(no files to check)Skipped" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ("[]", None),
        ("[--entrypoint, web]", None),
        ("[--entrypoint, websecure]", "error unknown-entrypoint"),
        ("[--static-config, traefik.yml]", "error unknown-entrypoint"),
    ],
)
def test_arguments_reach_validate(
    tmp_path: Path, hooks: Hooks, arguments: str, printed: str | None
) -> None:
    """What a repository writes as args are options of validate."""
    configuration = re.sub(r"args: .*", f"args: {arguments}", SNIPPETS[0])
    repository = policy_repository(tmp_path / "policy", hooks, configuration)
    repository.write({"policy.hujson": ELSEWHERE})
    done = run_on_all(repository)
    assert done.returncode == (1 if printed else 0), done.stdout
    assert (printed or "Passed") in done.stdout


def test_each_of_two_policies_has_its_hook(tmp_path: Path, hooks: Hooks) -> None:
    """With the document's second configuration each policy is validated on its own terms."""
    repository = policy_repository(tmp_path / "policy", hooks, SNIPPETS[1])
    static = {"work/traefik.yml": STATIC}
    repository.write({"home/policy.hujson": ELSEWHERE, "work/policy.hujson": GOOD, **static})
    assert run_on_all(repository).stdout.count("Passed") == 2
    repository.write({"work/policy.hujson": ELSEWHERE})
    done = run_on_all(repository)
    assert done.returncode == 1
    assert "\nwork/policy.hujson:3:5: error unknown-entrypoint" in done.stdout
    assert done.stdout.count("Passed") == 1


def test_two_policies_of_one_hook_are_refused(tmp_path: Path, hooks: Hooks) -> None:
    """Two policies that one hook gets are bad usage, as the document says; none is passed over."""
    repository = policy_repository(tmp_path / "policy", hooks, SNIPPETS[0])
    repository.write({"a.hujson": GOOD, "b.hujson": GOOD})
    done = run_on_all(repository)
    assert done.returncode == 1
    assert "- exit code: 2\n" in done.stdout
    for printed in ("got unexpected extra argument", "b.hujson"):
        assert printed in done.stdout
    assert "got unexpected extra argument" in " ".join(DOCUMENT.split())


def hook() -> dict[str, Any]:
    """Return the declaration of the hook."""
    (declared,) = YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
    assert isinstance(declared, dict)
    return declared


USUAL = (
    *("policy.hujson", "acl.hujson", "home.hujson", "tailscale/policy.hujson"),
    *("policy.json", "acl.json", "tailnet.json", "tailscale.json", "infra/tailscale/acl.json"),
)

OTHERS = ("package.json", "my-policy.json", "policy.json5", "policy.hujson.bak", "hujson", "a.yml")


@pytest.mark.parametrize("path", USUAL)
def test_hook_takes_the_usual_names(path: str) -> None:
    """The hook looks at policies by the names that they usually have, in any folder."""
    assert re.search(hook()["files"], path)


@pytest.mark.parametrize("path", OTHERS)
def test_hook_passes_over_other_names(path: str) -> None:
    """The hook looks at no file that is likely to be something else."""
    assert not re.search(hook()["files"], path)
