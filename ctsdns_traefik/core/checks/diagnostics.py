"""Add locations to diagnostics: in the policy's file or in a file of settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ctsdns_traefik.core.policy.json_scanner import Member
from ctsdns_traefik.core.policy.locations import Lines, Repeat, SourceText, in_bytes, locate_entries
from ctsdns_traefik.core.policy.reader import fold
from ctsdns_traefik.core.problems import (
    EXCERPT_LENGTH,
    Diagnostic,
    Excerpt,
    Severity,
    SourceLocation,
)
from ctsdns_traefik.core.text import SHOWN_AT_MOST, shown


def locate_in_policy(diagnostics: Iterable[Diagnostic], source: SourceText) -> list[Diagnostic]:
    """Add locations to diagnostics for entries, and a diagnostic for each repeated name.

    Return them in the order of the file.
    """
    entries = locate_entries(source)
    lines = Lines(source.content)
    found = [(entries.by_name.get(diagnostic.entry), diagnostic) for diagnostic in diagnostics] + [
        (repeat.member, _repeated(repeat, source, lines)) for repeat in entries.repeats
    ]
    found.sort(key=lambda pair: pair[0].name_start if pair[0] else -1)
    return [_located(diagnostic, member, source, lines) for member, diagnostic in found]


def locate_in_settings(
    diagnostics: Iterable[Diagnostic],
    path: str,
    text: str,
    locations: Mapping[str, SourceLocation],
) -> Iterator[Diagnostic]:
    """Add locations, where known, to diagnostics for settings of one file."""
    content = text.encode()
    lines = Lines(content)
    for diagnostic in diagnostics:
        if known := _nearest(diagnostic.setting, locations):
            location = in_bytes(locations[known], text)
            start, end = lines.bounds(location.line)
            wrong = start + location.column - 1, end
            excerpt = _excerpt(content, lines, wrong, wrong)
            yield diagnostic._replace(path=path, location=location, excerpt=excerpt)
        else:
            yield diagnostic._replace(path=path)


def _nearest(setting: str, locations: Mapping[str, SourceLocation]) -> str:
    """Return a setting with a location: the given one or the nearest section around it."""
    while setting and setting not in locations:
        setting = setting.rpartition(".")[0]
    return setting


def _repeated(repeat: Repeat, source: SourceText, lines: Lines) -> Diagnostic:
    name = repeat.member.name
    where = f" in line {lines.location(repeat.last.name_start).line}" if source.path else ""
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
        message=f"{shown(name)} is repeated{where}, and only the last one counts",
        hint="remove one of the two",
        span=(0, len(name)),
        severity=Severity.ERROR if _loses_entries(repeat, source.content) else Severity.WARNING,
    )


def _loses_entries(repeat: Repeat, content: bytes) -> bool:
    name = repeat.member.name
    lost, kept = (content[each.start : each.end] for each in (repeat.member, repeat.last))
    holds_some = name == "acl" or fold(name) == "hosts"
    return lost != kept and (name.startswith("_") or (holds_some and b'"_' in lost))


def _located(
    diagnostic: Diagnostic, member: Member | None, source: SourceText, lines: Lines
) -> Diagnostic:
    if member is None or not source.path:
        return diagnostic._replace(path=source.path)
    wrong = _wrong_bytes(diagnostic, member, source.content)
    excerpt = _excerpt(source.content, lines, wrong, (member.name_start, member.end + 1))
    location = lines.location(member.name_start)
    return diagnostic._replace(path=source.path, location=location, excerpt=excerpt)


def _excerpt(
    content: bytes, lines: Lines, wrong: tuple[int, int], entry: tuple[int, int]
) -> Excerpt:
    """Return what is wrong, and of its line what is near and all of the entry, within limits."""
    (start, end), (first, last) = wrong, entry
    line_start, line_end = lines.bounds(lines.location(start).line)
    end = min(end, line_end, start + SHOWN_AT_MOST)
    left = max(line_start, start - SHOWN_AT_MOST, min(first, start - EXCERPT_LENGTH))
    right = min(line_end, end + SHOWN_AT_MOST, max(last, end + EXCERPT_LENGTH))
    before = _text(content[left:start])
    return Excerpt(
        f"...{before}" if left > line_start else before.lstrip(),
        _text(content[start:end]),
        _text(content[end:right]).rstrip() + "..." * (right < line_end),
    )


def _wrong_bytes(diagnostic: Diagnostic, member: Member, content: bytes) -> tuple[int, int]:
    """Return the offsets of what is wrong; of a name or value written with escapes, all of it."""
    start, end = diagnostic.span
    in_name = start < len(diagnostic.entry) or diagnostic.address is None
    text = diagnostic.entry if in_name else diagnostic.address or ""
    at, after = (member.name_start, member.name_end) if in_name else (member.start, member.end)
    if content[at + 1 : after - 1] != text.encode("utf-8", "surrogatepass"):
        return at, after
    before = 0 if in_name else len(diagnostic.entry) + 1
    offsets = [len(text[: edge - before].encode("utf-8", "surrogatepass")) for edge in (start, end)]
    return at + 1 + offsets[0], at + 1 + offsets[1]


def _text(part: bytes) -> str:
    """Decode a part of a line, without characters that are cut in two at its ends."""
    return part.decode("utf-8", "ignore")
