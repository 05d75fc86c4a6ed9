"""Find routers in the user's other dynamic files that take what our routes are for.

This was observed with Traefik 3.7.15; tests/traefik/test_other_routers.py repeats it. Rules are
judged by their form: what is not certain is not reported.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ctsdns_traefik.core.access.model import DASHBOARD, wider
from ctsdns_traefik.core.checks.dynamic_files import DynamicFiles, read_files
from ctsdns_traefik.core.dynamic.routes import SECTIONS, Protocol, Route, priority_of
from ctsdns_traefik.core.entries.grammar import ANY, diagnose
from ctsdns_traefik.core.problems import Diagnostic, LocatedError, Severity, diagnose_setting
from ctsdns_traefik.core.releases import NEWEST, Release
from ctsdns_traefik.core.static_config.configuration import Entrypoint, StaticConfiguration
from ctsdns_traefik.core.static_config.reader import Section
from ctsdns_traefik.core.text import shown

_MATCHER = re.compile(
    r"(?P<kind>Host|HostSNI|HostRegexp|HostSNIRegexp|PathPrefix|PathRegexp)\(\s*[`\"](?P<value>[^`\"]*)[`\"]\s*\)"
)
_ANY_PATH = ("/", "/any/other.path")
_NESTED = re.compile(r"\)[*+{]")
_REPEATED = re.compile(r"[*+{]")
_MOST_REPEATED = 2
_NAMES = re.compile(r"\bHost(?:SNI)?\(\s*[`\"]([^`\"]*)[`\"]\s*\)")
_HOST = re.compile(r"(!?)\s*\bHost\(\s*[`\"]([^`\"]*)[`\"]\s*\)")
_EXCLUDED_COUNTS_UNTIL = (3, 7, 12)
"""The last release in which a rule has TLS for a name that it excludes (``!Host``), too."""


_Name = tuple[str, str, str]
"""The protocol, ``routers`` or ``services``, and a name."""


class Router(NamedTuple):
    """A router of another file."""

    protocol: Protocol
    name: str
    path: str
    rule: str
    service: str
    entrypoints: tuple[str, ...]
    """Those that it names; without any it is on all default ones."""
    priority: int
    tls: bool
    """Whether it has a TLS section of its own."""
    options: str
    """The TLS options of that section."""
    hosts: frozenset[str]
    """The names for which it has TLS, if it is an HTTP router."""

    def has_service(self, named: Container[_Name]) -> bool:
        """Return whether its service may exist, without which Traefik disables it."""
        name = self.service.removesuffix("@file")
        return "@" in name or (self.protocol, "services", name) in named

    def is_on(self, entrypoint: Entrypoint, static: StaticConfiguration) -> bool:
        """Return whether it is on an entrypoint."""
        if self.entrypoints:
            return entrypoint.name in self.entrypoints
        flagged = any(each.as_default for each in static.entrypoints.values())
        return self.protocol == "udp" or entrypoint.as_default or not flagged

    def options_on(self, entrypoint: Entrypoint) -> str:
        """Return the name of its TLS options there."""
        return _options(self.options if self.tls else entrypoint.tls_options)

    @property
    def keys(self) -> frozenset[str]:
        """The names that its rule has, and ``*`` if it may be for others, too."""
        each_has = all(_NAMES.search(each) for each in self.rule.split("||"))
        return frozenset(map(str.lower, _NAMES.findall(self.rule))) | (set() if each_has else {ANY})

    def takes_all_of(self, domain: str) -> bool:
        """Return whether its rule matches all that comes for a domain."""
        rule = self.rule
        if not ("&&" in rule or "!" in rule):
            rule = re.sub(r"\(\s*(?=\w+\()|(?<=\))\s*\)", "", rule)
        return any(
            all(_takes_all(each.strip(), domain) for each in alternative.split("&&"))
            for alternative in rule.split("||")
        )


def check_other_routers(
    routes: Sequence[Route],
    static: StaticConfiguration,
    found: DynamicFiles,
    output: str,
    version: Release = NEWEST,
) -> Iterator[Diagnostic]:
    """Report routes whose requests, or whose names, are taken by a router of another file."""
    routers: list[Router] = []
    named: dict[_Name, str] = {(each.protocol, "services", each.service): "" for each in routes}
    for path, root in read_files(found):
        with suppress(LocatedError):  # Traefik refuses the file
            routers += _routers(path, root, version)
        first = path if path.split("/") < output.split("/") else ""  # which Traefik reads first
        named |= {name: first for name in _names(root) if not named.get(name)}
    by_name: dict[str, list[Router]] = {}
    for router in routers:
        for key in router.keys if router.has_service(named) else ():
            by_name.setdefault(key, []).append(router)
    severity = Severity.ERROR if found.certain else Severity.WARNING
    for route in routes:
        keys = (route.entry.domain, wider(route.entry.domain), ANY)
        others = [router for key in dict.fromkeys(keys) for router in by_name.get(key, ())]
        for why, hint in (*_doubled(route, named), *_rivals(route, others, static)):
            yield _taken(route, why, hint)._replace(severity=severity)


def _doubled(route: Route, named: Mapping[_Name, str]) -> Iterator[tuple[str, str]]:
    for kind, name in (("routers", route.router), ("services", route.service)):
        if path := named.get((route.protocol, kind, name)):
            why = f"{shown(path)} has {kind[:-1]} {shown(name)} too, and Traefik reads it first"
            yield why, "remove it there, or move that file out of the directory"
            return


def _rivals(
    route: Route, routers: Sequence[Router], static: StaticConfiguration
) -> Iterator[tuple[str, str]]:
    name = route.entry.entrypoint
    entrypoint = static.entrypoints.get(name, Entrypoint(name, described=False))
    for other in routers if not route.part else ():
        applies = other.name != route.router and other.is_on(entrypoint, static)
        if applies and (why := _reason(route, other, entrypoint)):
            what = f"router {shown(other.name)} of {shown(other.path)}"
            yield f"{what} {why}", "remove that router, or change its rule or entrypoints"
            return


def _reason(route: Route, other: Router, entrypoint: Entrypoint) -> str:
    """Return what a router takes of a route, ``""`` if nothing is known to be taken."""
    domain, kinds = route.entry.domain, (route.protocol, other.protocol)
    ours = bool(route.tls) or entrypoint.tls if route.protocol == "http" else not route.entry.is_raw
    theirs = other.tls or (other.protocol == "http" and entrypoint.tls)
    hosts = other.hosts if ours and theirs and other.protocol == "http" else ()
    takes, why = False, ""
    if "udp" in kinds:
        takes, why = kinds == ("udp", "udp") and other.name > route.router, "takes all datagrams"
    elif kinds == ("tcp", "http"):
        takes = any(_matches("Host", host, domain) for host in hosts)
        why = "takes its TLS connections"
    elif kinds == ("http", "tcp"):
        takes = not (ours or theirs) and other.takes_all_of(ANY)
        why = "takes all connections without TLS"
    elif domain in hosts and _options_of(route, entrypoint) != other.options_on(entrypoint):
        takes, why = True, "has other TLS options for this name: Traefik drops those of both"
    elif ours == theirs and other.priority >= priority_of(route):
        takes = other.takes_all_of(domain)
        why = f"takes its requests, with priority {other.priority} against {priority_of(route)}"
        if other.priority == priority_of(route):
            why = "has the same priority: Traefik sends the requests to either"
    return why * takes


def _options_of(route: Route, entrypoint: Entrypoint) -> str:
    return _options(route.tls.options if route.tls else entrypoint.tls_options)


def _options(name: str) -> str:
    return name.removesuffix("@file") or "default"


def _takes_all(matcher: str, domain: str) -> bool:
    found = _MATCHER.fullmatch(matcher)
    return found is not None and _matches(found["kind"], found["value"], domain)


def _matches(kind: str, value: str, domain: str) -> bool:
    """Return whether a matcher takes all of a domain, of which a wildcard stands for many."""
    if kind == "PathPrefix":
        return value == "/"
    if kind.endswith("Regexp"):
        if _NESTED.search(value) or len(_REPEATED.findall(value)) > _MOST_REPEATED:
            return False  # Python backtracks, which may take very long, and Go does not
        wanted = _ANY_PATH if kind.startswith("Path") else (domain.replace("*", "a"),)
        with suppress(re.error):
            return all(re.search(value, each, re.IGNORECASE) for each in wanted)
        return False
    return value.lower() in (ANY, domain, wider(domain) if domain[0] != "*" else domain)


def _names(root: Section) -> Iterator[_Name]:
    for protocol in SECTIONS:
        for kind in ("routers", "services"):
            for place, _ in root.find(f"{protocol}.{kind}.*"):
                yield protocol, kind, place.split(".", 2)[2]


def _routers(path: str, root: Section, version: Release) -> Iterator[Router]:
    excluded = (*version, 99)[:3] <= _EXCLUDED_COUNTS_UNTIL
    for protocol in SECTIONS:
        for place, value in root.find(f"{protocol}.routers.*"):
            router = root.at(place, value)
            tls = router.section("tls", alone=True)
            rule = router.text("rule")
            yield Router(
                protocol,
                place.split(".", 2)[2],
                path,
                rule,
                router.text("service"),
                tuple(filter(None, router.texts("entryPoints"))),
                router.number("priority", 0) or len(rule),
                tls.exists,
                tls.text("options"),
                frozenset(host for no, host in _HOST.findall(rule) if excluded or not no),
            )


def _taken(route: Route, why: str, hint: str) -> Diagnostic:
    if route.entry.name:
        return diagnose("taken-by-file", route.entry, why, hint)
    return diagnose_setting("taken-by-file", DASHBOARD, why, hint)
