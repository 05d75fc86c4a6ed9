"""Draw README's pictures from real runs: a session of the quickstart, and a map of routes.

    python examples/quickstart/pictures.py

Ports, times and Traefik's release, which differ from run to run, stay as they are in a picture
that is there, so that it changes only if something else does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path

from ctsdns_traefik.core.page.style import COLOURS

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent.parent / "docs" / "pictures"
SESSION, ROUTES = PICTURES / "session.svg", PICTURES / "routes.svg"
POLICY = PICTURES / "homelab.hujson"
PROMPT = "\x1b[2m$\x1b[0m .venv/bin/python examples/quickstart/run.py\n"

VARYING = re.compile(
    r"(?<=127\.0\.0\.1:)\d{5}|(?<=_http_)\d{5}|\d\d:\d\d:\d\d|\d+\.\d\d s\b|Traefik 3\.[\d.]*\d"
)
COLUMN, LINE, TOP, LEFT = 8.4, 18, 54, 20
"""Width and height of a character, and where the first one stands."""

STYLE = """
text { font: 14px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--ink); white-space: pre; }
.window { fill: var(--card); stroke: var(--line); }
.button { fill: var(--line); }
.s1 { font-weight: bold; }
.s2 { fill: var(--soft); }
.s32 { fill: var(--good); }
.s36 { fill: var(--accent); }
"""
"""Colours of the terminal's styles, by the numbers of their escape sequences."""

Draw = Callable[[], str]


def main() -> None:
    """Draw both pictures, and write those that have changed."""
    for path, picture in ((SESSION, draw_session()), (ROUTES, draw_routes())):
        if not path.exists() or path.read_text() != picture:
            path.write_text(picture)
            print(f"written: {path}")


def draw_routes() -> str:
    """Return the map of the routes of a policy."""
    command = ["-m", "ctsdns_traefik", "render-once", "--format", "svg", str(POLICY)]
    return run(*command)


def draw_session() -> str:
    """Return a picture of what the quickstart shows, without its last section."""
    shown = run(str(HERE / "run.py"), FORCE_COLOR="1", NO_COLOR="")
    former = SESSION.read_text() if SESSION.exists() else ""
    session, _, _ = shown.partition("\n\x1b[1mNext:")
    return draw(PROMPT + keep_values(session, unescape(re.sub(r"<[^>]+>", "", former))))


def run(*command: str, **environment: str) -> str:
    """Run a Python program, without the user's settings for it; return what it prints."""
    others = ("TRAEFIK_", "TAILSCALE_")
    kept = {name: each for name, each in os.environ.items() if not name.startswith(others)}
    done = subprocess.run(
        [sys.executable, *command], env={**kept, **environment}, check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode()


def keep_values(fresh: str, former: str) -> str:
    """Put the values that vary in a former text into a fresh one, if it has as many."""
    values = VARYING.findall(former)
    if len(values) != len(VARYING.findall(fresh)):
        return fresh
    return VARYING.sub(lambda _: values.pop(0), fresh)


def draw(text: str) -> str:
    """Draw what a terminal shows as an SVG that needs nothing from elsewhere."""
    lines = text.rstrip("\n").split("\n")
    width, height = round(80 * COLUMN + 2 * LEFT), TOP + LINE * len(lines) + 4
    window = (
        f'<rect class="window" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    )
    buttons = (f'<circle class="button" cx="{x}" cy="20" r="6"/>' for x in (22, 42, 62))
    drawn = (
        part for number, line in enumerate(lines) for part in draw_line(line, TOP + LINE * number)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="A terminal that runs the quickstart">'
        f"<style>{COLOURS}{STYLE}</style>\n{window}{''.join(buttons)}\n{''.join(drawn)}</svg>\n"
    )


def draw_line(line: str, y: int) -> Iterator[str]:
    """Draw one line, each style at its column, however wide the font's letters are."""
    column = 0
    for style, text, plain in re.findall(r"\x1b\[([\d;]+)m(.*?)\x1b\[0m|([^\x1b]+)", line):
        shown = text or plain
        visible = shown.strip(" ")
        if visible:
            x = LEFT + COLUMN * (column + len(shown) - len(shown.lstrip(" ")))
            classes = (
                f' class="{" ".join(f"s{each}" for each in style.split(";"))}"' if style else ""
            )
            yield (
                f'<text{classes} x="{x:.1f}" y="{y}" textLength="{COLUMN * len(visible):.1f}"'
                f' lengthAdjust="spacingAndGlyphs">{escape(visible, quote=False)}</text>\n'
            )
        column += len(shown)


if __name__ == "__main__":
    main()
