"""Problems with their places: in the policy's file, or in Traefik's static configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ctsdns_traefik.core.excerpts import EXCERPT, Excerpt
from ctsdns_traefik.core.policy.entry_locations import Repeat, locate_entries
from ctsdns_traefik.core.policy.json_scanner import Member
from ctsdns_traefik.core.policy.locations import Lines, Source, SourceLocation, in_bytes
from ctsdns_traefik.core.policy.reader import fold
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import shown


class LocatedDiagnostic(NamedTuple):
    """One problem, and where it is."""

    problem: Diagnostic
    path: str = ""
    """The file, as the user named it; ``""`` for what is in no file."""
    place: SourceLocation | None = None
    """Where the entry or the setting starts, if that is known."""
    excerpt: Excerpt | None = None


def locate_in_policy(problems: Iterable[Diagnostic], source: Source) -> list[LocatedDiagnostic]:
    """Give problems with entries their places, and add one for each name that is there twice.

    Return them in the order of the places.
    """
    entries = locate_entries(source)
    lines = Lines(source.content)
    found = [(entries.by_name.get(problem.entry), problem) for problem in problems] + [
        (repeat.member, _repeated(repeat, source, lines)) for repeat in entries.repeats
    ]
    found.sort(key=lambda pair: pair[0].at if pair[0] else -1)
    return [_found(problem, member, source, lines) for member, problem in found]


def locate_in_settings(
    problems: Iterable[Diagnostic], path: str, text: str, places: Mapping[str, SourceLocation]
) -> Iterator[LocatedDiagnostic]:
    """Give problems with settings their places in the static configuration, where it has any."""
    content = text.encode()
    lines = Lines(content)
    for problem in problems:
        if known := _nearest(problem.setting, places):
            place = in_bytes(places[known], text)
            start, end = lines.bounds(place.line)
            excerpt = _excerpt(content, lines, start + place.column - 1, end)
            yield LocatedDiagnostic(problem, path, place, excerpt)
        else:
            yield LocatedDiagnostic(problem, path)


def _nearest(setting: str, places: Mapping[str, SourceLocation]) -> str:
    """Return a setting that has a place, or the nearest section around one that is not there."""
    while setting and setting not in places:
        setting = setting.rpartition(".")[0]
    return setting


def _repeated(repeat: Repeat, source: Source, lines: Lines) -> Diagnostic:
    name = repeat.member.name
    where = f" in line {lines.place(repeat.last.at).line}" if source.path else ""
    if repeat.merged:
        return Diagnostic(
            code="merged-section",
            entry=name,
            message=f"{shown(name)} is merged with {shown(repeat.last.name)}{where}",
            hint="write one section; of a name in both the last value counts",
            span=(0, len(name)),
            severity=Severity.WARNING,
        )
    return Diagnostic(
        code="duplicate-key",
        entry=name,
        message=f"{shown(name)} stands again{where}, and only the last one counts",
        hint="remove one of the two",
        span=(0, len(name)),
        severity=Severity.ERROR if _loses_entries(repeat, source.content) else Severity.WARNING,
    )


def _loses_entries(repeat: Repeat, content: bytes) -> bool:
    name = repeat.member.name
    lost, kept = (content[each.start : each.end] for each in (repeat.member, repeat.last))
    holds_some = name == "acl" or fold(name) == "hosts"
    return lost != kept and (name.startswith("_") or (holds_some and b'"_' in lost))


def _found(
    problem: Diagnostic, member: Member | None, source: Source, lines: Lines
) -> LocatedDiagnostic:
    if member is None or not source.path:
        return LocatedDiagnostic(problem, source.path)
    excerpt = _excerpt(source.content, lines, *_wrong_bytes(problem, member, source.content))
    return LocatedDiagnostic(problem, source.path, lines.place(member.at), excerpt)


def _excerpt(content: bytes, lines: Lines, start: int, end: int) -> Excerpt:
    number = lines.place(start).line
    line_start, line_end = lines.bounds(number)
    end = min(end, line_end, start + EXCERPT)
    left, right = max(line_start, start - EXCERPT), min(line_end, end + EXCERPT)
    before = _text(content[left:start])
    return Excerpt(
        number,
        f"...{before}" if left > line_start else before.lstrip(),
        _text(content[start:end]),
        _text(content[end:right]).rstrip() + "..." * (right < line_end),
    )


def _wrong_bytes(problem: Diagnostic, member: Member, content: bytes) -> tuple[int, int]:
    """Return where in the content stands what is wrong; of an entry written with escapes, all."""
    start, end = problem.span
    in_name = start < len(problem.entry) or problem.address is None
    text = problem.entry if in_name else problem.address or ""
    at, behind = (member.at, member.name_end) if in_name else (member.start, member.end)
    if content[at + 1 : behind - 1] != text.encode("utf-8", "surrogatepass"):
        return at, behind
    before = 0 if in_name else len(problem.entry) + 1
    offsets = [len(text[: edge - before].encode("utf-8", "surrogatepass")) for edge in (start, end)]
    return at + 1 + offsets[0], at + 1 + offsets[1]


def _text(part: bytes) -> str:
    """Decode a part of a line; letters that its edges cut in two are left out."""
    return part.decode("utf-8", "ignore")
