"""Look up settings in Traefik's configuration files as Traefik does.

Observed with Traefik 3.7.15: keys are case-insensitive, null is no setting, a value may be text
(``"true"``), and an empty file is an error.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ctsdns_traefik.core.problems import FILE_START, LocatedError, SourceLocation
from ctsdns_traefik.core.static_config.launch import Launch, find_launch, launch_of_variables
from ctsdns_traefik.core.static_config.places import location_of
from ctsdns_traefik.core.text import quoted, shown

_FLAGS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)
"""The booleans of Go's ``strconv.ParseBool``, which are all that Traefik accepts."""

_TOML_LOCATION = re.compile(r" \(at line (\d+), column (\d+)\)\Z")

_TOML_PART = re.compile(r"""\s*(?:"[^"]*"|'[^']*'|[\w-]+)\s*""")
_TOML_KEY = re.compile(
    rf"""\s*(?:(?P<table>\[\[?)\s*)?(?P<key>{_TOML_PART.pattern}(?:\.{_TOML_PART.pattern})*)(?:=|\])"""
)


_AFTER_INDENT = re.compile(r"^([ -]*)([^\s-].*)$", re.MULTILINE)

Form = Literal["yaml", "toml", "variables"]
"""How a static configuration is written; ``variables`` are lines of TRAEFIK_ variables."""


class Locations(dict[str, SourceLocation]):
    """The locations of the settings that were looked up so far, by dotted path.

    Those of YAML are in its maps; those of other forms have to be given.
    """

    def __init__(self, known: Mapping[str, SourceLocation] | None = None) -> None:
        super().__init__()
        self.known = known or {}
        """By path in lower case."""
        self.ignored: list[str] = []
        """Lists that are written as maps, of which Traefik takes nothing."""


class Section:
    """A map of settings under its dotted path, or an absent one without settings.

    There is a map for each spelling of its key. The locations are those of all settings that have
    been looked up so far.
    """

    def __init__(
        self,
        path: str,
        maps: list[Mapping[Any, Any]],
        locations: Locations,
        *,
        exists: bool,
    ) -> None:
        self.exists = exists
        self.locations = locations
        self._path, self._maps = path, maps

    def section(self, key: str, *, alone: bool = False) -> Section:
        """Return the section under a key; with ``alone``, ``true`` means an empty section."""
        path, values = self._path_of(key), self._values(key)
        maps = [value for value in values if isinstance(value, Mapping)]
        if len(maps) < len(values) and not alone:
            raise self._error(key, "is not a map of settings")
        exists = bool(maps) or any(isinstance(each, list) or _is_true(each) for each in values)
        return Section(path, maps, self.locations, exists=exists)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the sections under all keys, with the keys, which are names chosen by the user."""
        for each in self._maps:
            for name, value in each.items():
                if value is not None:
                    path = self._record(each, name, str(name))
                    if not str(name):  # Traefik panics
                        what = f"{self._path} has an empty name"
                        raise LocatedError(what, self.locations.get(path, FILE_START))
                    maps = [value] if isinstance(value, Mapping) else []
                    yield str(name), Section(path, maps, self.locations, exists=True)

    def items(self, key: str) -> Iterator[Section]:
        """Yield the maps of a list of a file, of flags (``key[0]``) or of variables (``KEY_0``)."""
        for path, value in self.find("*"):
            name, _, index = path.removeprefix(f"{self._path}.").lower().partition("[")
            if name == key.lower():
                found = value if isinstance(value, list) else [value]
                if isinstance(value, Mapping) and not index:
                    found = list(value.values())
                yield from (self.at(path, each) for each in found)

    def find(self, pattern: str) -> Iterator[tuple[str, Any]]:
        """Yield the paths, as written, and values of all settings of a dotted path.

        A ``*`` is any one key.
        """
        key, _, rest = pattern.partition(".")
        for each in self._maps:
            for spelling, value in each.items():
                if value is None or (key != "*" and str(spelling).lower() != key.lower()):
                    continue
                path = self._record(each, spelling, str(spelling))
                if not rest:
                    yield path, value
                else:
                    yield from self.at(path, value).find(rest)

    def at(self, path: str, value: object) -> Section:
        """Return the section of a setting that :meth:`find` has yielded."""
        return Section(
            path, [value] if isinstance(value, Mapping) else [], self.locations, exists=True
        )

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Yield the paths and values of all settings, outer ones first."""
        for path, value in self.find("*"):
            yield path, value
            yield from self.at(path, value).walk()

    @staticmethod
    def has_values(value: object) -> bool:
        """Return whether a value is more than a map of nothing but nulls."""
        return not isinstance(value, Mapping) or any(each is not None for each in value.values())

    def has(self, key: str) -> bool:
        """Return whether a key has a value that is not empty."""
        return any(self._values(key))

    def text(self, key: str) -> str:
        """Return the text under a key, ``""`` if there is none."""
        values = self._values(key) or [""]
        if isinstance(values[-1], Mapping | list):
            raise self._error(key, "is not a single value")
        return _as_text(values[-1])

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts under a key: a list, or one text with commas; of a map Traefik has none.

        With anything else in a list, or maps in a map, it does not start.
        """
        value = (self._values(key) or [()])[-1]
        if isinstance(value, Mapping):
            if any(isinstance(each, Mapping) and each for each in value.values()):
                raise self._error(key, "is not a list")
            if self.has_values(value):
                self.locations.ignored.append(self._path_of(key))
            return ()
        if isinstance(value, list | tuple):
            if any(each is None or isinstance(each, Mapping | list) for each in value):
                raise self._error(key, "is not a list of texts alone")
            return tuple(_as_text(each).strip() for each in value)
        return tuple(each.strip() for each in _as_text(value).split(","))

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
        """Return the values under all spellings of a key, and record the first one's location."""
        found = []
        for each in self._maps:
            for spelling, value in each.items():
                if str(spelling).lower() == key.lower() and value is not None:
                    self._record(each, spelling, key)
                    found.append(value)
        return found

    def _record(self, values: Mapping[Any, Any], spelling: object, key: str) -> str:
        """Record a key's location; return its path."""
        path = self._path_of(key)
        if location := location_of(values, spelling) or self.locations.known.get(path.lower()):
            self.locations.setdefault(path, location)
        return path

    def _path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _error(self, key: str, what: str) -> LocatedError:
        path = self._path_of(key)
        return LocatedError(f"{shown(path)} {what}", self.locations.get(path, FILE_START))


def read_sections(text: str, form: Form) -> Section:
    """Read a file's text; raise :class:`LocatedError` if it does not parse or has no settings."""
    return _section(next(_documents(text, form), None), text, form)


def read_settings(text: str, form: Form) -> tuple[Section, Launch | None]:
    """Read a static configuration, and what starts Traefik with it if that is no file.

    Raise :class:`LocatedError` for a file that does not parse or is something else.
    """
    if form == "variables":
        launch: Launch | None = launch_of_variables(text)
    else:
        documents = _documents(text, form)
        root = next(documents, None)
        launch = find_launch(root, documents)
    if not launch:
        return _section(root, text, form), None
    settings, known = launch.settings
    return Section("", [settings], Locations(known), exists=True), launch


def _section(root: object, text: str, form: Form) -> Section:
    if not root:
        raise LocatedError("there is no setting in it")
    if not isinstance(root, Mapping):
        raise LocatedError("it is not a map of settings")
    locations = Locations(_in_toml(text) if form == "toml" else None)
    return Section("", [root], locations, exists=True)


def _documents(text: str, form: Form) -> Iterator[object]:
    return _yaml_documents(text) if form == "yaml" else iter([_from_toml(text)])


def without_keys(text: str, form: Form, key: str) -> str:
    """Return a file's text as JSON, without a key (in lower case) wherever it is.

    Raise :class:`LocatedError` if it does not parse.
    """

    def kept(value: object) -> object:
        if isinstance(value, Mapping):
            return {
                str(name): kept(each) for name, each in value.items() if str(name).lower() != key
            }
        return [kept(each) for each in value] if isinstance(value, list) else value

    return json.dumps(kept(next(_documents(text, form), None)), default=str)


def read_yaml(text: str) -> object:
    """Read the first document, as Traefik does; raise :class:`LocatedError` if it is invalid."""
    return next(_yaml_documents(text), None)


def _yaml_documents(text: str) -> Iterator[object]:
    """Read one document after the other, each when it is asked for."""
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
            if key in mapping:  # without the values: aliases can make them larger than any memory
                what = f"found duplicate key {quoted(str(key))}"
                raise DuplicateKeyError(None, None, what, key_node.start_mark)
            return True

    # As text: Traefik accepts dates that are not in the calendar.
    Constructor.add_constructor(
        "tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str
    )
    yaml = YAML()
    yaml.Constructor = Constructor
    try:
        with warnings.catch_warnings(action="ignore"):
            yield from yaml.load_all(_AFTER_INDENT.sub(_with_spaces, text))
    except ReaderError as error:
        what = f"it is not YAML: the character U+{error.character:04X} is not allowed"
        raise LocatedError(what, _end_of(text[: error.position])) from error
    except Exception as error:  # invalid input makes ruamel.yaml raise many types
        mark = getattr(error, "problem_mark", None)
        what = shown(getattr(error, "problem", None) or str(error) or type(error).__name__)
        if what.startswith(r"found character '\t'"):
            what = "it has a tab; indent with spaces"
        location = SourceLocation(mark.line + 1, mark.column + 1) if mark else FILE_START
        raise LocatedError(f"it is not YAML: {what}", location) from error


def _with_spaces(line: re.Match[str]) -> str:
    """Return a line with spaces for the tabs that Traefik accepts: those behind its first word."""
    return line[1] + line[2].replace("\t", " ")


def _from_toml(text: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what = str(error)
        at = _TOML_LOCATION.search(what)
        location = SourceLocation(int(at[1]), int(at[2])) if at else _end_of(text)
        what = _TOML_LOCATION.sub("", what).removesuffix(" (at end of document)")
        what = shown(what[:1].lower() + what[1:])
        raise LocatedError(f"it is not TOML: {what}", location) from error


def _in_toml(text: str) -> dict[str, SourceLocation]:
    """Return where tables and keys are, by path in lower case; a long text's lines count too."""
    found: dict[str, SourceLocation] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TOML_KEY.match(line):
            names = tuple(each.strip(" \t\"'") for each in _TOML_PART.findall(match["key"]))
            path = names if match["table"] else (*table, *names)
            table = path if match["table"] else table
            for length in range(1, len(path) + 1):
                location = SourceLocation(number, match.start("key") + 1)
                found.setdefault(".".join(path[:length]).lower(), location)
    return found


def _end_of(text: str) -> SourceLocation:
    return SourceLocation(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_true(value: object) -> bool:
    return _FLAGS.get(_as_text(value), False) if not isinstance(value, Mapping | list) else False
