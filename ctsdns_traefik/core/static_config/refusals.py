"""Find what keeps Traefik 3 from starting with a static configuration that parses.

Traefik itself has the last word (:mod:`ctsdns_traefik.traefik.static_check`). Without one, three
tables know the keys that public files still have, and the table of releases the newer ones. The
source of the first is what Traefik 3 refuses by name (``pkg/cli/deprecation.go`` of 3.7) and the
fields that went with Traefik 1; that of the others what Traefik 3.7.15 was seen to refuse.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from ctsdns_traefik.core.releases_table import SETTINGS
from ctsdns_traefik.core.static_config.launch import SECTIONS
from ctsdns_traefik.core.static_config.reader import Section
from ctsdns_traefik.core.text import did_you_mean, shown

_CA_OPTIONAL = "which certificates clients need is set at the server"
_TRACING = "set tracing.otlp"

REMOVED = {
    "pilot": "Pilot is no more",
    "providers.marathon": "the provider is no more",
    "providers.rancher": "the provider is no more",
    "providers.docker.swarmMode": "set providers.swarm",
    "providers.docker.swarmModeRefreshSeconds": "set providers.swarm.refreshSeconds",
    "providers.*.namespace": "set namespaces",
    "providers.*.tls.caOptional": _CA_OPTIONAL,
    "providers.*.endpoint.tls.caOptional": _CA_OPTIONAL,
    "experimental.http3": "set http3 of the entrypoint",
    "tracing.spanNameLimit": "span names have a fixed length",
    "tracing.jaeger": _TRACING,
    "tracing.zipkin": _TRACING,
    "tracing.datadog": _TRACING,
    "tracing.instana": _TRACING,
    "tracing.haystack": _TRACING,
    "tracing.elastic": _TRACING,
    "metrics.influxDB": "set metrics.influxDB2",
    "api.entryPoint": "write a router to api@internal",
    "entryPoints.*.redirect": "set http.redirections.entryPoint of the entrypoint",
    "entryPoints.*.tls": "set http.tls of the entrypoint",
    "entryPoints.*.auth": "set http.middlewares of the entrypoint",
    "entryPoints.*.compress": "set http.middlewares of the entrypoint",
    "entryPoints.*.whiteList": "set http.middlewares of the entrypoint",
}
"""The settings that Traefik 3 does not have any more, with what replaces them."""

NEVER_EMPTY = (
    "entryPoints",
    "entryPoints.*.http",
    "entryPoints.*.http.encodedCharacters",
    "entryPoints.*.http.redirections",
    "entryPoints.*.http.redirections.entryPoint",
    "entryPoints.*.http2",
    "entryPoints.*.forwardedHeaders",
    "entryPoints.*.observability",
    "entryPoints.*.transport",
    "entryPoints.*.transport.lifeCycle",
    "entryPoints.*.transport.respondingTimeouts",
    "entryPoints.*.udp",
    "providers",
    "providers.file",
    "providers.*.tls",
    "accessLog.fields",
    "accessLog.fields.headers",
    "accessLog.filters",
    "metrics",
    "global",
    "serversTransport",
    "serversTransport.forwardingTimeouts",
    "tcpServersTransport",
    "spiffe",
    "experimental",
    "experimental.plugins",
    "experimental.localPlugins",
    "certificatesResolvers",
    "certificatesResolvers.*.acme",
    "certificatesResolvers.*.acme.eab",
    "core",
)
"""The sections that must have a setting with a value."""

KNOWN = {
    "entryPoints.*": (
        *("address", "allowACMEByPass", "asDefault", "forwardedHeaders", "http", "http2", "http3"),
        *("observability", "proxyProtocol", "reusePort", "transport", "udp"),
    ),
    "entryPoints.*.http": (
        *("aliasHeadersStrategy", "encodeQuerySemicolons", "encodedCharacters", "maxHeaderBytes"),
        *("middlewares", "redirections", "sanitizePath", "tls", "underscoreHeadersStrategy"),
    ),
    "entryPoints.*.http.redirections": ("entryPoint",),
    "entryPoints.*.http.redirections.entryPoint": ("permanent", "priority", "scheme", "to"),
    "entryPoints.*.http.tls": ("certResolver", "domains", "options"),
    "providers.file": ("debugLogGeneratedTemplate", "directory", "filename", "watch"),
}
"""All settings of the sections that routes depend on: one that is similar is misspelt."""

_NODE = re.compile(r"field not found, node: (\S+)")
_ALONE = re.compile(r"(\S+) cannot be a standalone element")
_VALUE = re.compile(r'"([^"]*)"[^"]*$')


class Refusal(NamedTuple):
    """One reason why Traefik does not start, for the setting of a dotted path."""

    setting: str
    message: str
    hint: str


def find_refusals(root: Section, *, flags: bool) -> tuple[Refusal, ...]:
    """Return what the tables know to keep Traefik 3 from starting."""
    return (*_removed(root), *_empty(root), *_misspelt(root), *(_unknown(root) if flags else ()))


def find_newer(root: Section, *, flags: bool) -> tuple[tuple[str, str], ...]:
    """Return the settings that not every release has, each after its name in the table.

    In a file or in variables, sections at the top that Traefik does not know are ignored.
    """
    names = (name for name in SETTINGS if flags or "." in name)
    return tuple((name, path) for name in names for path, _ in root.find(name))


def explain(root: Section, why: str) -> Refusal:
    """Return Traefik's own refusal for the setting that it names, as far as it can be found."""
    for found in _removed(root):
        if found.setting.rpartition(".")[2].lower() in why.lower():
            return found._replace(message=why)
    if alone := _ALONE.search(why):
        empty = [path for path, value in root.walk() if _is_named(path, alone[1], value)]
        return Refusal(next(iter(empty), alone[1]), why, "give it a setting, or remove it")
    if node := _NODE.search(why):
        named = [path for path, _ in root.walk() if path.lower().endswith(f".{node[1].lower()}")]
        return Refusal(next(iter(named), node[1]), why, "correct or remove it")
    value = _VALUE.search(why)
    having = [path for path, each in root.walk() if value and str(each) == value[1]]
    return Refusal(next(iter(having), "static configuration"), why, "fix what Traefik reports")


def _is_named(path: str, name: str, value: object) -> bool:
    return f".{path}".lower().endswith(f".{name.lower()}") and not Section.has_values(value)


def _removed(root: Section) -> Iterator[Refusal]:
    for pattern, hint in REMOVED.items():
        for path, _ in root.find(pattern):
            yield Refusal(path, f"Traefik 3 has no {shown(path)}, and does not start with it", hint)


def _misspelt(root: Section) -> Iterator[Refusal]:
    """Find settings that differ little from what there is; others may be those of a new release."""
    for pattern, known in KNOWN.items():
        names = {name.lower() for name in known}
        maps = [value for _, value in root.find(pattern) if isinstance(value, dict)]
        for key in dict.fromkeys(key for each in maps for key in each):
            name = str(key).partition("[")[0].lower()  # flags count the elements of a list
            if name not in names and difflib.get_close_matches(name, names, n=1, cutoff=0.75):
                meant = did_you_mean(name, known).removeprefix("; ")
                for path, _ in root.find(f"{pattern}.{key}"):
                    yield Refusal(
                        path, f"Traefik 3 has no {shown(path)}, and does not start", meant
                    )


def _unknown(root: Section) -> Iterator[Refusal]:
    """Find flags of no section, which Traefik ignores only in a file."""
    for path, _ in root.find("*"):
        if path not in SECTIONS:
            what = f"Traefik 3 has no --{shown(path)}, and does not start"
            yield Refusal(path, what, "correct or remove it")


def _empty(root: Section) -> Iterator[Refusal]:
    for pattern in NEVER_EMPTY:
        for path, value in root.find(pattern):
            if isinstance(value, dict) and not Section.has_values(value):
                yield Refusal(
                    path,
                    f"{shown(path)} is empty, and Traefik does not start with it",
                    "give it a setting, or remove it",
                )
