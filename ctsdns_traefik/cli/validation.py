"""A policy held against the rules, Traefik's static configuration and, if asked, Traefik itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ctsdns_traefik.core.access import DASHBOARD
from ctsdns_traefik.core.checks import (
    NEWEST,
    check,
    check_access,
    locate_in_policy,
    locate_in_settings,
    setting_locations,
)
from ctsdns_traefik.core.dynamic import Rendering, Route, render
from ctsdns_traefik.core.policy import in_bytes
from ctsdns_traefik.core.problems import Diagnostic, LocatedError, Severity
from ctsdns_traefik.core.static_config import StaticConfiguration, read_static, with_entrypoints
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.daemon import AccessText
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.source import Reading
from ctsdns_traefik.traefik import SandboxEntrypoint, prove


class StaticFile(NamedTuple):
    """Traefik's static configuration, as far as it is known."""

    path: str = ""
    text: str = ""
    configuration: StaticConfiguration | None = None


class Validation(NamedTuple):
    """What Traefik would do with a policy."""

    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Those of the policy in the order of its file, then of the static and the access file."""
    traefik: str = ""
    """The version of the Traefik that has proved it, ``""`` if none was asked."""
    entrypoints_checked: bool = False
    """Whether it was known which entrypoints Traefik has."""

    def count(self, severity: Severity) -> int:
        """Count the diagnostics of one severity."""
        return sum(diagnostic.severity is severity for diagnostic in self.diagnostics)


def read_static_file(path: Path | None, entrypoints: Iterable[str]) -> StaticFile:
    """Read a static configuration, and add the entrypoints given as ``NAME`` or ``NAME=ADDRESS``.

    Raise :class:`SettingsError`, with the place, for one that Traefik would not start with.
    """
    if path is None:
        return StaticFile(configuration=with_entrypoints(None, entrypoints))
    name = shown(str(path))
    if path.suffix.lower() not in (".yml", ".yaml", ".toml"):
        raise SettingsError(f"{name}: Traefik reads its configuration from .yml, .yaml and .toml")
    try:
        text = path.read_text(encoding="utf-8-sig")
        static = read_static(text, "toml" if path.suffix.lower() == ".toml" else "yaml")
    except LocatedError as why:
        line, column = in_bytes(why.location, text)
        raise SettingsError(f"{name}:{line}:{column}: {why.message}") from why
    except OSError as why:
        raise SettingsError(f"cannot read {name}: {str(why.strerror).lower()}") from why
    except ValueError as why:
        raise SettingsError(f"{name}: it is not UTF-8") from why
    return StaticFile(str(path), text, with_entrypoints(static, entrypoints))


def validate(
    reading: Reading,
    static: StaticFile,
    access: AccessText | None = None,
    *,
    output: str | None = None,
    version: tuple[int, int] = NEWEST,
    proving: bool = False,
) -> Validation:
    """Find every problem of a policy, and prove its routes in a real Traefik if that is wanted.

    ``output`` is the dynamic file's path, ``version`` that of the Traefik that will run. Raise
    :class:`SettingsError` if there is no Traefik to prove with.
    """
    said = access.access if access else None
    rendering = render(reading.hosts, access=said)
    entries, routes, configuration = rendering.entries, rendering.routes, static.configuration
    diagnostics = [
        *rendering.diagnostics,
        *rendering.warnings,
        *check(entries, configuration, output=output, traefik_version=version, routes=routes),
    ]
    if said:
        diagnostics += check_access(entries, routes, said, configuration)
    traefik = ""
    if proving:
        provable = render(reading.hosts, access=said.without_middlewares()) if said else rendering
        traefik, unproved = _prove(provable, static.configuration)
        diagnostics += unproved
    located = tuple(_located(diagnostics, reading, static, access))
    return Validation(routes, located, traefik, bool(configuration and configuration.entrypoints))


def _prove(
    rendering: Rendering, static: StaticConfiguration | None
) -> tuple[str, list[Diagnostic]]:
    """Return Traefik's version, and a problem for each route that it does not enable."""
    entrypoints = static and [
        SandboxEntrypoint(each.name, each.protocol == "udp", each.tls)
        for each in static.entrypoints.values()
    ]
    proof = prove(rendering.text, rendering.routes, entrypoints)
    return proof.version, [
        Diagnostic(
            code="not-enabled",
            entry=verdict.route.entry.name,
            message=f"Traefik {proof.version} does not enable the route: {verdict.error}",
            hint="fix what Traefik reports",
            span=(0, len(verdict.route.entry.name)),
            address=verdict.route.entry.address,
            setting="" if verdict.route.entry.name else DASHBOARD,
        )
        for verdict in proof.failed
    ]


def _located(
    diagnostics: list[Diagnostic], reading: Reading, static: StaticFile, access: AccessText | None
) -> Iterator[Diagnostic]:
    of_entries = [each for each in diagnostics if not each.setting]
    yield from locate_in_policy(of_entries, reading.source)
    known = setting_locations(access.access) if access else {}
    locations = static.configuration.locations if static.configuration else {}
    of_settings = [each for each in diagnostics if each.setting]
    of_static = [each for each in of_settings if each.setting not in known]
    yield from locate_in_settings(of_static, static.path, static.text, locations)
    if access:
        of_access = [each for each in of_settings if each.setting in known]
        yield from locate_in_settings(of_access, access.path, access.text, known)
