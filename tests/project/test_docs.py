"""What the documents say is what the program has."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from support.paths import ROOT

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import Group, Option
from ctsdns_traefik.cli.program import cli
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.entries.near_misses import PROTOCOLS
from ctsdns_traefik.errors import MEANINGS, Reason


def text_of(name: str) -> str:
    """Return a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section_of(document: str, title: str) -> str:
    """Return a section of a document with its subsections."""
    _, heading, rest = document.partition(f"\n## {title}\n")
    assert heading
    return rest.partition("\n## ")[0]


CONTEXT = click.Context(cli)
COMMANDS = cli.list_commands(CONTEXT)


def options_of(command: click.Command | None) -> set[str]:
    """Return every spelling of every option of a command, help aside."""
    assert command
    return {
        spelling
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }


def groups_of_help(command: click.Command) -> dict[str, list[str]]:
    """Return the options under each heading of a command's --help, by their longest names."""
    text = command.get_help(click.Context(command, info_name="x"))
    groups = {
        heading: re.findall(r"^  (?:-\w, )?(--[a-z-]+)", rows, re.MULTILINE)
        for heading, rows in re.findall(r"^(\w+):\n((?:  .*\n?)+)", text, re.MULTILINE)
    }
    assert groups.pop("Other") == ["--help"]
    return groups


def groups_of_document(command: click.Command, section: str) -> dict[str, list[str]]:
    """Return the options under each group of a section's table of options, by their longest names.

    Other spellings of an option are taken for the option.
    """
    longest = {
        spelling: option.opts[-1]
        for option in command.params
        for spelling in (*option.opts, *option.secondary_opts)
    }
    groups: dict[str, list[str]] = {}
    for cell in re.findall(
        r"^\| (.+?) (?<!\\)\| ", section.partition("| option |")[2], re.MULTILINE
    ):
        if cell.startswith("**"):
            options = groups.setdefault(cell.strip("*"), [])
        elif names := re.findall(r"`(--?[a-z][a-z-]*)", cell):
            options += dict.fromkeys(longest[name] for name in names)
    return groups


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_grouped_alike(name: str) -> None:
    """docs/cli.md has the options of each command in the groups and in the order of its --help."""
    command = cli.get_command(CONTEXT, name)
    assert command
    in_help = groups_of_help(command)
    assert [group for group in get_args(Group) if group in in_help] == list(in_help)
    section = section_of(text_of("docs/cli.md"), name)
    in_document = groups_of_document(command, section)
    assert list(in_document.items()) == list(in_help.items())
    declared = {
        option.opts[-1]: option.group for option in command.params if isinstance(option, Option)
    }
    shown = {name: group for group, names in in_help.items() for name in names}
    assert shown == declared


def test_documented_options_exist() -> None:
    """docs/cli.md names no option that no command has."""
    named = set(re.findall(r"`(--?[a-z][a-z-]*)", text_of("docs/cli.md")))
    there = options_of(cli).union(
        *(options_of(cli.get_command(CONTEXT, name)) for name in COMMANDS)
    )
    assert named - there == {"-h", "--help"}


def test_every_variable_is_in_the_document() -> None:
    """docs/cli.md names each environment variable of a setting, and no other like them."""
    named = set(re.findall(r"\bTRAEFIK_[A-Z_]+", text_of("docs/cli.md")))
    there = {
        each.variable for each in vars(settings).values() if isinstance(each, settings.Setting)
    }
    assert named == there


def test_every_exit_code_is_in_the_document() -> None:
    """docs/cli.md has a row for each exit code in order, with the meaning that --help gives."""
    section = section_of(text_of("docs/cli.md"), "Exit codes")
    rows = dict(re.findall(r"^\| `?(\d+)`? \| (.*) \|$", section, re.MULTILINE))
    assert list(rows) == [str(code.value) for code in MEANINGS]
    logged = zip(rows.values(), MEANINGS.values(), strict=True)
    assert [row for row, meaning in logged if not row.startswith(meaning)] == []


MAKERS = ("DiagnosticError", "Diagnostic", "diagnose", "diagnose_setting")
"""What makes a diagnostic in the core, the code first or by name."""


def problem_codes(*makers: str) -> Iterator[str]:
    """Yield the codes that the core gives to diagnostics where some functions are called."""
    for path in (ROOT / "ctsdns_traefik" / "core").rglob("*.py"):
        if path.stem == "diagnostics":  # of files, not of entries
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in makers:
                named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                for value in (*node.args[:1], *named):
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield value.value


BY_ACCESS = {"access-not-applicable", "option-unsupported", "health-check-unsupported"}
REFUSED = {*problem_codes("DiagnosticError"), "conflict"} - BY_ACCESS
"""Codes of entries that are invalid or in conflict, whatever the configuration."""

EXPLAINED = re.findall(r"^## (.+)$", text_of("docs/problems.md"), re.MULTILINE)

FROM_ELSEWHERE = {"duplicate-key", "merged-section", "not-enabled"}
"""Codes of problems that validate alone finds: in a file, or by asking Traefik."""


def test_every_reason_is_in_schema_and_document() -> None:
    """The reasons of failures are those of the program, in the schema and docs/status.md."""
    schema = text_of("ctsdns_traefik/schemas/status.schema.json")
    (listed,) = re.findall(r'"reason": \{.*?"enum": (\[.*?\])', schema, re.DOTALL)
    section = text_of("docs/status.md").partition("### Reasons")[2].partition("\n## ")[0]
    reasons = [str(reason) for reason in Reason]
    assert [each for each in json.loads(listed) if each] == reasons
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == reasons


def test_every_problem_is_explained() -> None:
    """docs/problems.md has a section for each code that a problem can have, and for no other."""
    assert len(EXPLAINED) == len(set(EXPLAINED))
    assert set(EXPLAINED) == {*problem_codes(*MAKERS), *FROM_ELSEWHERE}
    contents = text_of("docs/problems.md").partition("\n## ")[0]
    assert sorted(re.findall(r"\]\(#(.+?)\)", contents)) == sorted(EXPLAINED)


@pytest.mark.parametrize("code", EXPLAINED)
def test_explanation_has_all_parts(code: str) -> None:
    """A section has a severity, a meaning, a fix and an example."""
    section = section_of(text_of("docs/problems.md"), code)
    assert re.match(r"\n(Error|Warning)[.,]", section)
    parts = re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE)
    assert [part for part in parts if part != "Cause."] == ["Meaning.", "Fix."]
    assert all(f"\n    {part}  " in section for part in ("before", "after "))


@pytest.mark.parametrize("code", sorted(REFUSED))
def test_example_of_a_refused_entry(code: str) -> None:
    """In the section of an entry that is refused, the entry before has the problem, none after."""
    section = section_of(text_of("docs/problems.md"), code)
    before, after = section.partition("\n    before ")[2].split("\n    after ")
    codes = [
        [
            problem.code
            for problem in render(dict(re.findall(r'"(.+?)": "(.+?)"', hosts))).diagnostics
        ]
        for hosts in (before, after)
    ]
    assert codes == [[code], []]


@pytest.mark.parametrize("code", ["missing-underscore", "unusual-scheme"])
def test_example_of_a_near_miss(code: str) -> None:
    """In the section of a near miss, the entry before has the warning, none after."""
    section = section_of(text_of("docs/problems.md"), code)
    before, after = section.partition("\n    before ")[2].split("\n    after ")
    codes = [
        [warning.code for warning in render(dict(re.findall(r'"(.+?)": "(.+?)"', hosts))).warnings]
        for hosts in (before, after)
    ]
    assert codes == [[code], []]


def test_protocols_that_are_no_near_misses_are_documented() -> None:
    """docs/entries.md names each protocol that is one letter away and not reported."""
    section = section_of(text_of("docs/entries.md"), "Warnings")
    named = re.search(r"swapped\. (.+) are protocols", section, re.DOTALL)
    assert named
    assert set(re.findall(r"`(.+?)`", named[1])) == PROTOCOLS


PINNED = (ROOT / "docs" / "ci.md", ROOT / "examples" / "ci" / "github" / "validate-policy.yml")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_ci_examples_name_a_commit_that_exists(path: Path) -> None:
    """What the examples for CI install is a commit of this repository."""
    commits = set(re.findall(r"\b[0-9a-f]{40}\b", path.read_text(encoding="utf-8")))
    assert commits
    for commit in commits:
        asked = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}:.pre-commit-hooks.yaml"]
        subprocess.run(asked, check=True)


def links_of(document: Path) -> Iterator[str]:
    """Yield the relative links of a Markdown document."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            yield target


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that a Markdown document's headings make."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
)


def test_readme_lists_every_document() -> None:
    """README's reading list names each document once."""
    _, _, reading = text_of("README.md").partition("\n## Read on\n")
    listed = re.findall(r"^- \[.+?\]\(docs/(.+?)\)", reading, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Each link between the documents leads to a file, and to a heading in it, that exists."""
    dead = []
    for link in links_of(document):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(link)
    assert dead == []
