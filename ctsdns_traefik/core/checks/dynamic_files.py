"""Check the user's other dynamic files, which Traefik loads with ours or not at all.

Traefik's file provider reads a directory as one configuration: if it refuses one file, it loads
none of the directory. Which fields there are is left to Traefik (``validate --prove``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ctsdns_traefik.core.static_config.reader import read_sections
from ctsdns_traefik.core.text import quoted, shown

_SETTING = "providers.file.directory"
_MAPS = ("http", "tcp", "udp", "tls")


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


def check_middlewares(
    routes: Sequence[Route],
    access: Access | None,
    static: StaticConfiguration,
    found: DynamicFiles | None,
) -> Iterator[Diagnostic]:
    """Report middlewares that no dynamic file defines: Traefik disables the routers with them."""
    used = {route.entry.entrypoint for route in routes if route.protocol == "http"}
    for name in sorted(used & static.entrypoints.keys()):
        setting = f"entryPoints.{name}.http.middlewares"
        what = f"every HTTP route on entrypoint {name}"
        yield from _missing(setting, static.entrypoints[name].middlewares, what, static, found)
    ours = {name for route in routes for name in route.middlewares}
    for pattern, settings in access.routes.items() if access else ():
        if ours.intersection(settings.middlewares):
            what = f"the routes of {pattern}"
            yield from _missing(f"routes.{pattern}", settings.middlewares, what, static, found)


def _missing(
    setting: str,
    names: Iterable[str],
    what: str,
    static: StaticConfiguration,
    found: DynamicFiles | None,
) -> Iterator[Diagnostic]:
    for name in names:
        base, _, provider = name.partition("@")
        if provider not in ("", "file"):
            if static.described and _provider(provider) not in {*static.providers, "internal"}:
                message = f"Traefik has no provider {quoted(provider)} for {quoted(name)}"
                hint = f"name the provider that defines {base}"
                yield _not_found(setting, f"{message}, and disables {what}", hint)
            continue
        known, complete = _middlewares(found)
        if base in known:
            continue
        if complete:
            close = difflib.get_close_matches(base, sorted(known), n=1)
            hint = f"did you mean {shown(close[0])}? " if close else ""
            hint += "define it in a file beside the dynamic file, or remove it"
            message = f"no dynamic file defines the middleware {quoted(name)}"
            yield _not_found(setting, f"{message}, and Traefik disables {what}", hint)
        else:
            message = f"the file with the middleware {quoted(name)} was not looked at"
            hint = "name the dynamic file in Traefik's directory with -o"
            message += f"; without it Traefik disables {what}"
            yield _not_found(setting, message, hint, Severity.WARNING)


def _not_found(
    setting: str, message: str, hint: str, severity: Severity = Severity.ERROR
) -> Diagnostic:
    return diagnose_setting("unknown-middleware", setting, message, hint, severity)


def _provider(suffix: str) -> str:
    return "plugin" if suffix.startswith("plugin-") else suffix.lower()


def _middlewares(found: DynamicFiles | None) -> tuple[set[str], bool]:
    """Return the middlewares that the files define, and whether these are all."""
    if found is None:
        return set(), False
    known: set[str] = set()
    complete = found.certain
    for file in found.files:
        try:
            known |= _read(file)
        except LocatedError:
            complete = False
        complete &= not (file.is_template or file.fault)
    return known, complete


def _read(file: DynamicFile) -> set[str]:
    """Return the HTTP middlewares of a file; raise :class:`LocatedError` for a bad file."""
    if file.is_template or file.fault or not file.text.strip():
        return set()
    try:
        root = read_sections(file.text, "toml" if file.path.endswith(".toml") else "yaml")
    except LocatedError as error:
        if error.message == "there is no setting in it":
            return set()
        raise
    for kind in _MAPS:
        for path, value in (*root.find(kind), *root.find(f"{kind}.*")):
            if isinstance(value, dict) and not root.has_values(value):
                raise LocatedError(f"{path} is empty", root.locations.get(path, FILE_START))
    return {path.split(".", 2)[2] for path, _ in root.find("http.middlewares.*")}
