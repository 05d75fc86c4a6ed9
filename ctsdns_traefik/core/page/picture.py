"""The picture: lines from each entrypoint to its names, and on to the machines behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ctsdns_traefik.core.dynamic.document import Document
from ctsdns_traefik.core.page.rows import Row, rows_of
from ctsdns_traefik.core.page.style import PICTURE_STYLE
from ctsdns_traefik.core.text import printable

MOST = 60
"""Names that are drawn; a picture of more shows nothing."""

_STEP = 34
_TOP = 44
_COLUMNS = ((16, 130), (196, 270), (536, 190))
"""Left edge and width of entrypoints, names and machines."""

_WIDTH = 742
_HEIGHT = 26
_LETTER = 7.4
"""Width of a letter, about: longer texts are cut."""

Spot = tuple[str, float]
"""What a node is called, and the middle of its height."""


def picture_to_svg(document: Document) -> str:
    """Return a picture of a document's routes as a file of its own."""
    picture = draw(rows_of(document), PICTURE_STYLE)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}'


def draw(rows: Sequence[Row], style: str = "") -> str:
    """Draw rows as an ``svg`` element; ``style`` goes into it if nothing around it has it."""
    drawn = rows[:MOST]
    heights = [_TOP + _STEP * (index + 0.5) for index in range(len(drawn))]
    entrypoints = dict(_middles([row.entrypoint for row in drawn], heights))
    machines = dict(_spread(_middles(*_by_machine(drawn, heights))))
    lowest = max([_TOP, *heights, *machines.values()])
    more = len(rows) - len(drawn)
    bottom = lowest + _STEP + (_STEP if more else 0)
    parts = [
        *_heads(),
        *(
            _edges(row, height, entrypoints, machines)
            for row, height in zip(drawn, heights, strict=True)
        ),
        *(_node(0, "node entrypoint", spot) for spot in entrypoints.items()),
        *(_node(1, "node", (row.name, y)) for row, y in zip(drawn, heights, strict=True)),
        *(_node(2, "node", spot) for spot in machines.items()),
    ]
    if more:
        parts.append(f'<text x="{_COLUMNS[1][0]}" y="{lowest + _STEP:g}">and {more} more</text>')
    paper = f'<rect class="paper" width="{_WIDTH}" height="{bottom:g}"/>'
    own = f"<style>{style}</style>{paper}" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" viewBox="0 0 {_WIDTH} {bottom:g}"'
        f' role="img" aria-label="{_summary(rows)}">{own}'
        f"{''.join(parts)}</svg>\n"
    )


def _summary(rows: Sequence[Row]) -> str:
    names = f"{len(rows)} route{'' if len(rows) == 1 else 's'}"
    return f"{names}, drawn from entrypoint to name to machine"


def _by_machine(rows: Sequence[Row], heights: Sequence[float]) -> tuple[list[str], list[float]]:
    """Return the machines of all rows, and beside them the heights of their rows."""
    pairs = [
        (machine, height)
        for row, height in zip(rows, heights, strict=True)
        for machine in row.machines
    ]
    return [machine for machine, _ in pairs], [height for _, height in pairs]


def _middles(names: Sequence[str], heights: Sequence[float]) -> Iterator[Spot]:
    """Yield each name once, in the middle of the rows that have it; from top to bottom."""
    found: dict[str, list[float]] = {}
    for name, height in zip(names, heights, strict=True):
        found.setdefault(name, []).append(height)
    means = ((name, sum(each) / len(each)) for name, each in found.items())
    yield from sorted(means, key=lambda spot: (spot[1], spot[0]))


def _spread(spots: Iterable[Spot]) -> Iterator[Spot]:
    """Move nodes down until none lies on another."""
    free = float(_TOP)
    for name, height in spots:
        free = max(height, free + (_STEP if free > _TOP else 0))
        yield name, free


def _heads() -> Iterator[str]:
    for (left, _), title in zip(_COLUMNS, ("ENTRYPOINT", "NAME", "MACHINE"), strict=True):
        yield f'<text class="head" x="{left}" y="22">{title}</text>'


def _edges(
    row: Row, height: float, entrypoints: dict[str, float], machines: dict[str, float]
) -> str:
    kind = "edge" if row.access == "public" else "edge restricted"
    to_machines = (_edge(1, height, machines[each], kind) for each in row.machines)
    return "".join([_edge(0, entrypoints[row.entrypoint], height, kind), *to_machines])


def _edge(column: int, begin: float, end: float, kind: str) -> str:
    left = sum(_COLUMNS[column])
    right = _COLUMNS[column + 1][0]
    middle = (left + right) / 2
    path = f"M{left} {begin:g}C{middle:g} {begin:g} {middle:g} {end:g} {right} {end:g}"
    return f'<path class="{kind}" d="{path}"/>'


def _node(column: int, kind: str, spot: Spot) -> str:
    (left, width), (name, height) = _COLUMNS[column], spot
    full = printable(name)
    most = int((width - 16) / _LETTER)
    shown = full if len(full) <= most else f"{full[: most - 1]}\u2026"
    title = f"<title>{escape(full)}</title>" if shown != full else ""
    text = f'<text x="{left + 8}" y="{height:g}">{escape(shown)}</text>'
    return (
        f'<g>{title}<rect class="{kind}" x="{left}" y="{height - _HEIGHT / 2:g}" width="{width}"'
        f' height="{_HEIGHT}" rx="5"/>{text}</g>'
    )
