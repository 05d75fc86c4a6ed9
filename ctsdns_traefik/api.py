"""The Python API: parse an entry, render a policy, validate a policy.

Pure functions: text and mappings in, frozen values out; they read no files and log nothing. Import
them from the package itself. Everything else in the package is private. docs/python-api.md has an
example of each.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ctsdns_traefik.core import dynamic
from ctsdns_traefik.core.access import AccessText, read_access
from ctsdns_traefik.core.checks import NEWEST, StaticText, check_policy
from ctsdns_traefik.core.entries import HostEntry, describe_route, parse_host
from ctsdns_traefik.core.policy import (
    HostsMap,
    SnapshotError,
    SourceText,
    hosts_of_text,
    in_bytes,
)
from ctsdns_traefik.core.problems import Diagnostic as CoreDiagnostic
from ctsdns_traefik.core.problems import LocatedError, SourceLocation
from ctsdns_traefik.core.static_config import read_static
from ctsdns_traefik.core.text import json_type, quoted

Input = Literal["policy", "static_config", "access"]
"""The arguments that hold the text of a file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A service entry of the policy's hosts map."""

    name: str
    entrypoint: str
    scheme: str
    """In lower case: ``http``, ``https``, ``tls``, or the name of another protocol."""
    port: int
    domain: str
    """ASCII, in lower case; ``*.`` in front makes it a wildcard, and ``*`` alone is no name."""
    address: str | None
    """An IPv4 or IPv6 address; ``None`` if only the name was given."""
    transport: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True)
class Route:
    """A router of Traefik with its service; most entries have one."""

    entry: str
    """The entry's name; ``""`` for the dashboard of an access file."""
    entrypoint: str
    scheme: str
    port: int
    domain: str
    address: str
    type: Literal["http", "tcp", "udp"]
    router: str
    rule: str | None
    """``None`` for UDP, which has no rules."""
    service: str
    backend: str
    """A URL for HTTP, ``address:port`` for TCP and UDP."""
    passthrough: bool | None
    """Whether the backend, not Traefik, ends the client's TLS; ``None`` if neither of the two
    does, or for HTTP."""
    middlewares: tuple[str, ...]
    tls_options: str
    """The name of TLS options; ``""`` for Traefik's default."""
    other_backends: tuple[str, ...] = ()
    """Those of the entries that share the service, by ``balance`` in the access file."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong with an entry, or with a setting of Traefik or of the access file."""

    code: str
    """Stable; docs/problems.md explains every code."""
    severity: Literal["error", "warning"]
    message: str
    hint: str
    """How to fix it."""
    entry: str | None
    """The entry's name; ``None`` if a setting is wrong."""
    address: str | None
    """The entry's address as the policy has it."""
    span: tuple[int, int]
    """What is wrong, as a half-open range of characters in ``NAME=ADDRESS``."""
    setting: str | None = None
    """The dotted path of the setting."""
    input: Input | None = None
    """The argument in whose text it was found."""
    line: int | None = None
    """From 1, in that text."""
    column: int | None = None
    """From 1, in bytes."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    """A policy as Traefik's dynamic configuration."""

    text: str
    """The document in the format that was asked for; the same hosts always give the same bytes."""
    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Errors, each of which costs its entry the route, then warnings, which cost nothing."""


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What Traefik would do with a policy."""

    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Those of the policy in the order of its text, then of the other inputs."""
    entrypoints_checked: bool
    """Whether a static configuration with entrypoints was given."""

    @property
    def ok(self) -> bool:
        """Whether no diagnostic is an error."""
        return all(each.severity != "error" for each in self.diagnostics)


class EntryError(ValueError):
    """An entry is malformed; ``diagnostics`` has what is wrong, ``diagnostic`` the first of it."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        lines = (f"{each.code}: {each.message}; {each.hint}" for each in diagnostics)
        super().__init__("\n".join(lines))
        self.diagnostics = diagnostics
        self.diagnostic = diagnostics[0]


class InputError(ValueError):
    """A policy, static configuration or access file cannot be used at all.

    ``input`` is the argument's name, ``reason`` says why; ``line`` and ``column`` (in bytes) say
    where, or are ``None`` if ``reason`` says it.
    """

    def __init__(self, name: Input, reason: str, location: SourceLocation | None = None) -> None:
        where = f", line {location.line}, column {location.column}" if location else ""
        super().__init__(f"{name}{where}: {reason}")
        self.input = name
        self.reason = reason
        self.line: int | None = location.line if location else None
        self.column: int | None = location.column if location else None


def parse_entry(name: str, address: str | None = None) -> Entry | None:
    """Parse the name of an entry, and its address if there is one.

    Return ``None`` for an ordinary host alias, which is a name without a leading underscore. Raise
    :class:`EntryError` for a malformed entry.
    """
    parsed = parse_host(name, address)
    if parsed is None:
        return None
    if not isinstance(parsed, HostEntry):
        raise EntryError(*map(_diagnostic, parsed))
    return Entry(*parsed[:5], parsed.address or None, parsed.transport)


def render(
    policy: str | bytes | Mapping[str, object],
    *,
    format: Literal["json", "yaml"] = "json",  # noqa: A002  (the option's name)
    access: str | None = None,
    without_tls: Container[str] = (),
    traefik_version: tuple[int, ...] = NEWEST,
) -> RenderResult:
    """Render a policy as Traefik's dynamic configuration, as ``render-once`` does.

    ``policy`` is the text of a Tailscale policy (JSON or HuJSON) or of a snapshot, or the hosts map
    itself; ``access`` is the text of an access file, in which no option may be that the version
    does not know; ``without_tls`` has the names of entrypoints that are known to have no TLS. Raise
    :class:`InputError` for text that cannot be used.
    """
    hosts = _hosts_map(policy) if isinstance(policy, Mapping) else _read_policy(_as_bytes(policy))
    model = None if access is None else _read_access(access, traefik_version).access
    rendering = dynamic.render(hosts, format, model, without_tls=without_tls)
    found = (*rendering.diagnostics, *rendering.warnings)
    return RenderResult(rendering.text, _routes(rendering.routes), tuple(map(_diagnostic, found)))


def validate_policy(
    policy: str | bytes,
    *,
    static_config: str | None = None,
    static_format: Literal["yaml", "toml"] = "yaml",
    access: str | None = None,
    traefik_version: tuple[int, ...] = NEWEST,
) -> ValidationResult:
    """Check what Traefik would do with a policy, as ``validate`` does without ``--prove``.

    ``policy`` is text as for :func:`render`; ``static_config`` is that of Traefik's static
    configuration, ``access`` that of an access file. Raise :class:`InputError` for one that cannot
    be used.
    """
    content = _as_bytes(policy)
    checked = check_policy(
        _read_policy(content),
        SourceText("policy", content),
        StaticText() if static_config is None else _read_static(static_config, static_format),
        None if access is None else _read_access(access),
        version=traefik_version,
    )
    diagnostics = tuple(map(_located, checked.diagnostics))
    return ValidationResult(_routes(checked.routes), diagnostics, checked.entrypoints_checked)


def _hosts_map(hosts: HostsMap) -> HostsMap:
    """Return a hosts map; reject a whole policy or snapshot, which would have no entries."""
    for name, value in hosts.items():
        if isinstance(value, Mapping | list) and not name.startswith("_"):
            what = f"{quoted(name)} is {json_type(value)}: this is no hosts map"
            raise InputError("policy", f'{what}; pass the text of the policy, or policy["hosts"]')
    return hosts


def _as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _read_policy(content: bytes) -> HostsMap:
    try:
        return hosts_of_text(content, is_file=True)
    except SnapshotError as error:
        raise InputError("policy", str(error)) from error


def _read_access(text: str, release: tuple[int, ...] = NEWEST) -> AccessText:
    text = _require_utf8("access", text)
    try:
        return AccessText("access", text, read_access(text, release))
    except LocatedError as error:
        location = in_bytes(error.location, text)
        raise InputError("access", error.message, location) from error


def _read_static(text: str, form: Literal["yaml", "toml"]) -> StaticText:
    text = _require_utf8("static_config", text)
    try:
        return StaticText("static_config", text, read_static(text, form))
    except LocatedError as error:
        location = in_bytes(error.location, text)
        raise InputError("static_config", error.message, location) from error


def _require_utf8(name: Input, text: str) -> str:
    """Return text without a byte order mark, if it can be the content of a file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(name, "it is not UTF-8: it holds a lone surrogate") from error
    return text.removeprefix("\ufeff")


def _routes(routes: tuple[dynamic.Route, ...]) -> tuple[Route, ...]:
    return tuple(
        Route(
            **describe_route(route),
            middlewares=route.middlewares,
            tls_options=route.tls.options if route.tls else "",
            other_backends=route.others,
        )
        for route in routes
    )


def _diagnostic(diagnostic: CoreDiagnostic, **place: Any) -> Diagnostic:
    return Diagnostic(
        code=diagnostic.code,
        severity=diagnostic.severity.value,
        message=diagnostic.message,
        hint=diagnostic.hint,
        entry=diagnostic.entry or None,
        address=diagnostic.address,
        span=diagnostic.span,
        setting=diagnostic.setting or None,
        **place,
    )


def _located(diagnostic: CoreDiagnostic) -> Diagnostic:
    line, column = diagnostic.location or (None, None)
    return _diagnostic(diagnostic, input=diagnostic.path or None, line=line, column=column)
