"""README's pictures: they are what the programs show, and need nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pictures
import pytest
from support.paths import ROOT

BOTH = [pictures.SESSION, pictures.ROUTES]


@pytest.mark.parametrize(
    ("path", "draw"),
    [
        pytest.param(pictures.SESSION, pictures.draw_session, id="session"),
        pytest.param(pictures.ROUTES, pictures.draw_routes, id="routes"),
    ],
)
def test_picture_is_current(path: Path, draw: pictures.Draw) -> None:
    """A picture is what is drawn from a run now."""
    assert draw() == path.read_text(), "draw it: .venv/bin/python examples/quickstart/pictures.py"


@pytest.mark.parametrize("path", BOTH, ids=lambda path: path.stem)
def test_picture_needs_nothing_else(path: Path) -> None:
    """A picture has no link, no font and no script, and colours for light and dark."""
    text = path.read_text()
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert names <= {"svg", "style", "rect", "circle", "path", "g", "text", "title"}
    assert not re.search(
        r"url\(|@import|@font-face|href|//(?!www\.w3\.org/2000/svg)", text_only(text)
    )
    assert "prefers-color-scheme: dark" in text


def text_only(svg: str) -> str:
    """Return a picture without the texts that it shows, which may hold addresses."""
    return re.sub(r">[^<]+</text>", "></text>", svg)


def test_readme_opens_with_both() -> None:
    """README shows both pictures, with what they show in words, before its first section."""
    opening, _, _ = (ROOT / "README.md").read_text().partition("\n## ")
    shown = re.findall(r'<img src="(.+?)" width="\d+" alt="(.+?)">', opening)
    assert [ROOT / source for source, _ in shown] == BOTH
    assert all(len(alternative) > 20 for _, alternative in shown)


def test_values_of_another_run_are_kept() -> None:
    """What differs from run to run does not change a picture; anything else does."""
    former = "127.0.0.1:11111 _http_22222. 12:00:00 0.41 s Traefik 3.7.15 serves"
    fresh = "127.0.0.1:33333 _http_44444. 13:00:00 10.52 s Traefik 3.7.16 serves"
    assert pictures.keep_values(fresh, former) == former
    assert pictures.keep_values(f"{fresh} it", former) == f"{former} it"
    assert pictures.keep_values(f"{fresh} 1.00 s", former) == f"{fresh} 1.00 s"
