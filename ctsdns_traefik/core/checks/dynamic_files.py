"""Check the user's other dynamic files, which Traefik loads with ours or not at all.

Traefik's file provider reads a directory as one configuration: if it refuses one file, it loads
none of the directory. Which fields there are is left to Traefik (``validate --prove``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.dynamic.routes import Route
from ctsdns_traefik.core.policy.locations import in_bytes
from ctsdns_traefik.core.problems import (
    FILE_START,
    Diagnostic,
    LocatedError,
    Severity,
    diagnose_setting,
)
from ctsdns_traefik.core.static_config.configuration import StaticConfiguration
from ctsdns_traefik.core.static_config.reader import Section, read_sections
from ctsdns_traefik.core.text import quoted, shown

_SETTING = "providers.file.directory"
_MAPS = ("http", "tcp", "udp", "tls")
_KINDS = ("http.middlewares", "tcp.middlewares", "tls.options")
_MIDDLEWARE = "middleware"
_ELSEWHERE = {"plugin", "errors", "usersfile", "tls", "redis"}


class DynamicFile(NamedTuple):
    """A dynamic file beside ours, with its text or the reason why it cannot be read."""

    path: str
    text: str = ""
    fault: str = ""

    @property
    def is_template(self) -> bool:
        """Whether Traefik executes it before it reads it, so that its content is not known."""
        return "{{" in self.text


class DynamicFiles(NamedTuple):
    """The files of the directory that Traefik reads, besides ours."""

    files: Sequence[DynamicFile]
    certain: bool
    """Whether Traefik is known to read the directory."""
    refused: Mapping[str, str] = {}
    """By path, what a real Traefik refuses of them, and why."""

    @property
    def complete(self) -> bool:
        """Whether what they define is all that Traefik's file provider has besides ours."""
        return self.certain and all(map(_is_readable, self.files))


def _is_readable(file: DynamicFile) -> bool:
    with suppress(LocatedError):
        _read(file)
        return not (file.is_template or file.fault)
    return False


def check_dynamic_files(found: DynamicFiles) -> Iterator[Diagnostic]:
    """Report each file because of which Traefik would load none of the directory."""
    for file in found.files:
        try:
            why, location = found.refused.get(file.path) or file.fault, None
            if not why:
                _read(file)
                continue
        except LocatedError as error:
            location = in_bytes(error.location, file.text)
            why = f"line {location.line}: {error.message}"
        whether = "" if found.certain else "if it reads the directory, "
        diagnostic = diagnose_setting(
            "directory-file-refused",
            _SETTING,
            f"{whether}Traefik refuses {shown(file.path)}, and then loads no file of its"
            f" directory: {why}",
            "fix the file, or move it out of the directory",
            Severity.ERROR if found.certain else Severity.WARNING,
        )
        yield diagnostic._replace(path=file.path, location=location)


class _Names(NamedTuple):
    """What the files define of one kind, by name, and what is known of their directory."""

    kind: str
    """As a message has it."""
    defined: Mapping[str, Section]
    complete: bool
    """Whether these are all."""
    static: StaticConfiguration

    def check(self, setting: str, names: Iterable[str], what: str) -> Iterator[Diagnostic]:
        """Report names without a definition, and what Traefik disables because of that."""
        for name in names:
            base, _, provider = name.partition("@")
            if provider in ("", "file"):
                yield from self._check_file(setting, base, name, what)
            elif self._lacks(provider):
                message = f"Traefik has no provider {quoted(provider)} for {quoted(name)}"
                hint = f"name the provider that defines {base}"
                yield self._found(setting, f"{message}, and disables {what}", hint)

    def _lacks(self, provider: str) -> bool:
        name = "plugin" if provider.startswith("plugin-") else provider.lower()
        return self.static.described and name not in {*self.static.providers, "internal"}

    def _check_file(self, setting: str, base: str, name: str, what: str) -> Iterator[Diagnostic]:
        if base in self.defined:
            yield from self._check_definition(setting, base, what)
        elif self.complete:
            close = difflib.get_close_matches(base, sorted(self.defined), n=1)
            hint = f"did you mean {shown(close[0])}? " if close else ""
            hint += "define it in a file beside the dynamic file, or remove it"
            message = f"no dynamic file defines the {self.kind} {quoted(name)}"
            yield self._found(setting, f"{message}, and Traefik disables {what}", hint)
        else:
            message = f"the file with the {self.kind} {quoted(name)} was not looked at"
            hint = "name the dynamic file in Traefik's directory with -o"
            message += f"; without it Traefik disables {what}"
            yield self._found(setting, message, hint, Severity.WARNING)

    def _check_definition(self, setting: str, base: str, what: str) -> Iterator[Diagnostic]:
        """Report a middleware of several types or none, and what a chain names."""
        types = [name for name, _ in self.defined[base].sections()]
        if len(types) != 1 and self.kind == _MIDDLEWARE:
            those = " and ".join(map(shown, types)) or "no type with a value"
            message = f"the middleware {quoted(base)} has {those}"
            hint = (
                "give each type a middleware of its own" if types else "write one as compress: {}"
            )
            yield self._found(setting, f"{message}, and Traefik disables {what}", hint)
        elif [name.lower() for name in types] == ["chain"]:
            names = self.defined[base].section("chain").texts("middlewares")
            others = {name: each for name, each in self.defined.items() if name != base}
            yield from self._replace(defined=others).check(setting, filter(None, names), what)

    def _found(
        self, setting: str, message: str, hint: str, severity: Severity = Severity.ERROR
    ) -> Diagnostic:
        found = setting, message, hint, severity
        if self.kind == _MIDDLEWARE:
            return diagnose_setting("unknown-middleware", *found)
        return diagnose_setting("unknown-tls-options", *found)


def check_names(
    routes: Sequence[Route],
    access: Access | None,
    static: StaticConfiguration,
    found: DynamicFiles | None,
) -> Iterator[Diagnostic]:
    """Report middlewares and TLS options that no dynamic file defines.

    Traefik disables the routers with them.
    """
    used = {
        (route.entry.entrypoint, bool(route.tls)) for route in routes if route.protocol == "http"
    }
    of_http, of_tcp, options = (_names(found, static, kind) for kind in _KINDS)
    for name in sorted({name for name, _ in used} & static.entrypoints.keys()):
        entrypoint, path = static.entrypoints[name], f"entryPoints.{name}.http"
        what = f"every HTTP route on entrypoint {name}"
        yield from of_http.check(f"{path}.middlewares", entrypoint.middlewares, what)
        if (name, False) in used and entrypoint.tls_options not in ("", "default"):
            yield from options.check(f"{path}.tls.options", [entrypoint.tls_options], what)
    settings = access.by_setting if access else {}
    for names, protocol in ((of_http, "http"), (of_tcp, "tcp")) if settings else ():
        ours = {name for each in routes if each.protocol == protocol for name in each.middlewares}
        for setting, each in settings.items():
            what = f"the routes of {setting.removeprefix('routes.')}"
            mine = [name for name in each.middlewares if name in ours]
            yield from names.check(setting, mine, what)


def _names(found: DynamicFiles | None, static: StaticConfiguration, path: str) -> _Names:
    defined = {
        place.split(".", 2)[2]: root.at(place, value)
        for _, root in (read_files(found) if found else ())
        for place, value in root.find(f"{path}.*")
    }
    kind = _MIDDLEWARE if path.endswith("middlewares") else "TLS options"
    return _Names(kind, defined, bool(found and found.complete), static)


def provable_middlewares(found: DynamicFiles) -> frozenset[str]:
    """Return the HTTP middlewares of the files that a Traefik on any machine can judge, by name.

    Others need plugins, services or files that may not be here.
    """
    defined = {
        place.split(".", 2)[2]: root.at(place, value)
        for _, root in read_files(found)
        for place, value in root.find("http.middlewares.*")
    }
    known = {
        name
        for name, each in defined.items()
        if len([*each.sections()]) == 1
        and _ELSEWHERE.isdisjoint(path.lower().rpartition(".")[2] for path, _ in each.walk())
    }
    for name in [*known]:
        members = defined[name].section("chain", alone=True).texts("middlewares")
        if not known.issuperset(each.removesuffix("@file") for each in filter(None, members)):
            known.remove(name)
    return frozenset((*known, *(f"{name}@file" for name in known)))


def read_files(found: DynamicFiles) -> Iterator[tuple[str, Section]]:
    """Yield the paths and contents of the files that can be read, templates aside."""
    for file in found.files:
        with suppress(LocatedError):
            if root := _read(file):
                yield file.path, root


@lru_cache(maxsize=256)  # several checks need it, and parsing takes most of their time
def _read(file: DynamicFile) -> Section | None:
    """Return what is in a file; raise :class:`LocatedError` for a bad one."""
    if file.is_template or file.fault or not file.text.strip():
        return None
    try:
        root = read_sections(file.text, "toml" if file.path.endswith(".toml") else "yaml")
    except LocatedError as error:
        if error.message == "there is no setting in it":
            return None
        raise
    for kind in _MAPS:
        for path, value in (*root.find(kind), *root.find(f"{kind}.*")):
            if isinstance(value, dict) and not root.has_values(value):
                raise LocatedError(f"{path} is empty", root.locations.get(path, FILE_START))
    for path, value in (found for kind in _KINDS for found in root.find(f"{kind}.*")):
        definition = root.at(path, value)
        for _ in definition.sections():  # none has an empty name
            definition.section("chain").texts("middlewares")
    return root
