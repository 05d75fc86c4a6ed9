"""Where the keys and items of a YAML file are, as ruamel.yaml has recorded it."""

from __future__ import annotations

from ctsdns_traefik.core.problems import SourceLocation


def location_of(values: object, key: object) -> SourceLocation | None:
    """Return where a key of a map or an item of a list is, ``None`` for one that was merged in."""
    places = getattr(getattr(values, "lc", None), "data", None) or {}
    if key not in places:
        return None
    line, column = places[key][:2]
    return SourceLocation(line + 1, column + 1)
