"""The man pages: what --help says, as roff that renders without a warning, in every wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "man"
PAGES = sorted(page.name for page in FOLDER.iterdir())

COMMANDS = [
    pytest.param(f"ctsdns-traefik{f'-{name}' * bool(name)}.1", name, id=name or "program")
    for name in ("", "watch", "render-once", "parse-host", "validate")
]


def test_pages_are_those_of_the_help(tmp_path: Path) -> None:
    """The pages are what .ci/man writes now; run it after a change of an option."""
    subprocess.run([sys.executable, str(ROOT / ".ci" / "man"), str(tmp_path)], check=True)
    assert sorted(page.name for page in tmp_path.iterdir()) == PAGES
    for name in PAGES:
        assert (FOLDER / name).read_text() == (tmp_path / name).read_text(), "run .ci/man"


def rendered(page: str) -> str:
    """Render a page as man does, without bold and lines drawn over; fail at any warning."""
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    command = ["groff", "-ww", "-man", "-Tascii", "-P-cbou", str(FOLDER / page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_page_renders_without_a_warning(page: str) -> None:
    """The formatter has nothing to warn of, and each section that a reader expects is there."""
    text = rendered(page)
    sections = re.findall("^[A-Z].*$", text, re.MULTILINE)
    expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"]
    assert [section for section in sections if section in expected] == expected
    assert re.search(rf"^ +{page.removesuffix('.1')} - [A-Z]", text, re.MULTILINE)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_mandoc_has_nothing_to_warn_of() -> None:
    """The stricter reader of man pages accepts them all."""
    command = ["mandoc", "-T", "lint", "-W", "warning", *(str(FOLDER / page) for page in PAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_page_has_all_of_the_help(page: str, command: str) -> None:
    """Every word of --help is on the page as it is typed: options, variables and examples."""
    words = set(rendered(page).split())
    arguments = [*filter(None, [command]), "--help"]
    said = run(*arguments, environment={"COLUMNS": "100"}).stdout.split()
    headings = {"Usage:", "Exit", "codes:", *(f"{word.capitalize()}:" for word in words)}
    assert [word for word in said if word not in words | headings] == []
