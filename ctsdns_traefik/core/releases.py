"""Which release of Traefik has what: the one table that rules, options and documents use.

The table itself is made by ``tests/traefik_releases.py``, which asks every release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ctsdns_traefik.core.releases_table import FEATURES, RELEASES, SETTINGS

Release = tuple[int, ...]
"""``(3, 6, 15)``, or ``(3, 6)`` for the last release of that minor version."""

NEWEST: Release = RELEASES[-1]
"""The release that is assumed unless another is known."""

OLDEST: Release = RELEASES[0]
"""The oldest one that is known."""

_SPANS = {**FEATURES, **SETTINGS}


def has(release: Release, feature: str) -> bool:
    """Return whether a release has a feature or a setting; all have what is not in the table."""
    first, last = _SPANS.get(feature, (None, None))
    release = _full(release)
    return (first or release) <= release <= (last or release)


def since(feature: str) -> str:
    """Return the first release with a feature, as text: ``3.7.0``."""
    return as_text(oldest_with([feature]))


def oldest_with(features: Iterable[str]) -> Release:
    """Return the oldest release with all of some features."""
    firsts = (_SPANS.get(feature, (None, None))[0] for feature in features)
    return max(filter(None, firsts), default=OLDEST)


def release_in(text: str) -> Release | None:
    """Return the release in Traefik's own text, ``3.7.0-rc.1`` as 3.7.0; ``None`` without one."""
    found = re.match(r"v?(\d{1,3})\.(\d{1,3})\.(\d{1,3})", text)
    return found and (int(found[1]), int(found[2]), int(found[3]))


def as_text(release: Release) -> str:
    """Return a release as Traefik writes it."""
    return ".".join(map(str, release))


def _full(release: Release) -> Release:
    """Return a release with three numbers; the last that is known of a minor version, else .0."""
    if len(release) == len(NEWEST):
        return release
    return max(
        (each for each in RELEASES if each[: len(release)] == release), default=(*release, 0)
    )
