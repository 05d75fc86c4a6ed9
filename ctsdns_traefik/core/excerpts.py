"""What is wrong, with what stands around it on its line."""

from __future__ import annotations

from typing import NamedTuple

from ctsdns_traefik.core.problems import Diagnostic

EXCERPT = 100
"""Characters of a line that are shown before, in and after what is wrong."""


class Excerpt(NamedTuple):
    """A part of a line, in three: before what is wrong, that itself, and behind it."""

    line: int
    """The line's number in its file, from 1; 0 for an entry in no file."""
    before: str
    wrong: str
    behind: str


def excerpt_of_entry(problem: Diagnostic) -> Excerpt:
    """Return the problem's entry itself as an excerpt."""
    source, (start, end) = problem.source, problem.span
    end = min(end, start + EXCERPT)
    left, right = max(0, start - EXCERPT), end + EXCERPT
    return Excerpt(
        0,
        "..." * (left > 0) + source[left:start],
        source[start:end],
        source[end:right] + "..." * (right < len(source)),
    )
