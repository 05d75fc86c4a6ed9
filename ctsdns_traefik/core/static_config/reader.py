"""Traefik's configuration files as sections of settings, looked up as Traefik does.

Seen on Traefik 3.7.15: the case of a key does not matter, a null is no setting, a value may be
written as text (``"true"``), and an empty file is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ctsdns_traefik.core.policy.locations import SourceLocation
from ctsdns_traefik.core.text import quoted, shown

_START = SourceLocation(1, 1)

_FLAGS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)
"""Booleans as Go writes them; Traefik takes no others."""

_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)\Z")


class StaticError(Exception):
    """A static configuration that Traefik would not start with."""

    def __init__(self, message: str, place: SourceLocation = _START) -> None:
        """Take what is wrong, in one line, and where, the column in characters."""
        super().__init__(message)
        self.message, self.place = message, place


class Section:
    """A map of settings; one that is not there has none, and does not exist."""

    def __init__(
        self,
        path: str,
        maps: list[Mapping[Any, Any]],
        places: dict[str, SourceLocation],
        *,
        exists: bool,
    ) -> None:
        """Take the dotted path, the map under each spelling of it, and the places found so far."""
        self.exists = exists
        self.places = places
        self._path, self._maps = path, maps

    def section(self, key: str, *, alone: bool = False) -> Section:
        """Return the section under a key; one that may stand alone may be ``true`` as well."""
        path, values = self._path_of(key), self._values(key)
        maps = [value for value in values if isinstance(value, Mapping)]
        if len(maps) < len(values) and not alone:
            raise self._error(key, "is not a map")
        exists = bool(maps) or any(isinstance(each, list) or _is_true(each) for each in values)
        return Section(path, maps, self.places, exists=exists)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the sections under all keys, which are names of somebody's choice."""
        for each in self._maps:
            for name, value in each.items():
                if value is not None:
                    path = self._remember(each, name, str(name))
                    if not str(name):  # Traefik panics
                        what = f"{self._path} has an empty name"
                        raise StaticError(what, self.places.get(path, _START))
                    maps = [value] if isinstance(value, Mapping) else []
                    yield str(name), Section(path, maps, self.places, exists=True)

    def has(self, key: str) -> bool:
        """Tell whether there is a value under a key that is not empty."""
        return any(self._values(key))

    def text(self, key: str) -> str:
        """Return the text under a key; ``""`` if there is none."""
        values = self._values(key) or [""]
        if isinstance(values[-1], Mapping | list):
            raise self._error(key, "is not a single value")
        return _as_text(values[-1])

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the list of texts under a key, which may be one text with commas as well."""
        values = self._values(key) or [()]
        if isinstance(values[-1], Mapping):
            raise self._error(key, "is not a list")
        if isinstance(values[-1], list | tuple):
            return tuple(_as_text(each) for each in values[-1])
        return tuple(_as_text(values[-1]).split(","))

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return the boolean under a key."""
        text = self.text(key)
        if not text:
            return default
        if text not in _FLAGS:
            raise self._error(key, f"is {quoted(text)}, neither true nor false")
        return _FLAGS[text]

    def number(self, key: str, default: int) -> int:
        """Return the whole number under a key."""
        text = self.text(key)
        try:
            return int(text) if text else default
        except ValueError:
            raise self._error(key, f"is {quoted(text)}, not a whole number") from None

    def _values(self, key: str) -> list[Any]:
        """Return the values under all spellings of a key, and remember where the first stands."""
        found = []
        for each in self._maps:
            for spelling, value in each.items():
                if str(spelling).lower() == key.lower() and value is not None:
                    self._remember(each, spelling, key)
                    found.append(value)
        return found

    def _remember(self, values: Mapping[Any, Any], spelling: object, key: str) -> str:
        """Remember where a key stands; return its path."""
        path = self._path_of(key)
        if place := place_of(values, spelling):
            self.places.setdefault(path, place)
        return path

    def _path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _error(self, key: str, what: str) -> StaticError:
        path = self._path_of(key)
        return StaticError(f"{shown(path)} {what}", self.places.get(path, _START))


def read_sections(text: str, form: Literal["yaml", "toml"]) -> Section:
    """Read a file's text; raise :class:`StaticError` if it does not parse or holds no settings."""
    root = read_yaml(text) if form == "yaml" else _from_toml(text)
    if not root:
        raise StaticError("there is no setting in it")
    if not isinstance(root, Mapping):
        raise StaticError("it is not a map of settings")
    return Section("", [root], {}, exists=True)


def read_yaml(text: str) -> object:
    """Read the first document, as Traefik does; raise :class:`StaticError` if it does not parse."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
    from ruamel.yaml.reader import ReaderError

    class Constructor(RoundTripConstructor):
        def check_mapping_key(
            self,
            node: Any,  # noqa: ARG002
            key_node: Any,
            mapping: Any,
            key: Any,
            value: Any,  # noqa: ARG002
        ) -> bool:
            """Leave the values out of the error: aliases can make them longer than any memory."""
            if key in mapping:
                what = f"found duplicate key {quoted(str(key))}"
                raise DuplicateKeyError(None, None, what, key_node.start_mark)
            return True

    # As text: Traefik minds no date that is in no calendar.
    Constructor.add_constructor(
        "tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str
    )
    yaml = YAML()
    yaml.Constructor = Constructor
    try:
        with warnings.catch_warnings(action="ignore"):
            return next(iter(yaml.load_all(text)), None)
    except ReaderError as error:
        what = f"it is not YAML: the character U+{error.character:04X} may not stand in it"
        raise StaticError(what, _end_of(text[: error.position])) from error
    except Exception as error:  # what people write breaks in many ways
        mark = getattr(error, "problem_mark", None)
        what = shown(getattr(error, "problem", None) or str(error) or type(error).__name__)
        place = SourceLocation(mark.line + 1, mark.column + 1) if mark else _START
        raise StaticError(f"it is not YAML: {what}", place) from error


def _from_toml(text: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what = str(error)
        at = _TOML_PLACE.search(what)
        place = SourceLocation(int(at[1]), int(at[2])) if at else _end_of(text)
        what = _TOML_PLACE.sub("", what).removesuffix(" (at end of document)")
        raise StaticError(f"it is not TOML: {shown(what)}", place) from error


def _end_of(text: str) -> SourceLocation:
    return SourceLocation(text.count("\n") + 1, len(text) - text.rfind("\n"))


def place_of(values: Mapping[Any, Any], key: object) -> SourceLocation | None:
    """Find where a key of a YAML map stands; one that was merged in stands elsewhere."""
    at = getattr(values, "lc", None)
    if at is None or not at.data or key not in at.data:
        return None
    line, column = at.data[key][:2]
    return SourceLocation(line + 1, column + 1)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_true(value: object) -> bool:
    return _FLAGS.get(_as_text(value), False) if not isinstance(value, Mapping | list) else False
