"""Tables in plain text that Markdown can read too, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Spread
from support.progress import LINE


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Print a table, the first column to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * width + ":" for width in widths]
    rule[0] = "-" * (widths[0] + 1)
    LINE.clear()
    print(f"\n## {title}\n")
    print(_row(head, widths))
    print(f"|{'|'.join('-' + dashes for dashes in rule)}|")
    for row in rows:
        print(_row(row, widths))
    for note in notes:
        print(f"\n{note}")
    print(flush=True)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *others])} |"


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds, without the unit."""
    return number(seconds * 1000)


def megabytes(size: float) -> str:
    """Write a size in millions of bytes, without the unit."""
    return number(size / 1e6)


def spread(values: Spread) -> str:
    """Write a median with the least and the most."""
    return f"{number(values.median)} ({number(values.least)} to {number(values.most)})"
