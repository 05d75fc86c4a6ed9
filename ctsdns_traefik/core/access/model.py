"""The contents of an access file: who may reach which route, and how it is served."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic.routes import Balanced, HealthCheck, slug_of
from ctsdns_traefik.core.entries.address import TAILNET_RANGES
from ctsdns_traefik.core.entries.grammar import ANY, HostEntry
from ctsdns_traefik.core.problems import SourceLocation
from ctsdns_traefik.core.releases import NEWEST, Release

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""The form of the names that an access file gives to its definitions."""

EVERY = "*"
"""The pattern of the default, which covers all names."""

DASHBOARD = "dashboard"
"""The name of the dashboard's router, its part, and its setting."""


class Challenge(NamedTuple):
    """Where a machine that terminates its own TLS answers HTTP-01 challenges."""

    entrypoint: str
    port: int


class Backend(NamedTuple):
    """How Traefik verifies the certificate of an https backend."""

    server_name: str = ""
    insecure_skip_verify: bool = False


Balancing = tuple[bool, HealthCheck | None, bool]
NO_BALANCING: Balancing = (False, None, False)


class RouteAccess(NamedTuple):
    """The settings for one pattern: a name, a wildcard for all names below it, or all names."""

    pattern: str
    location: SourceLocation
    """Where the pattern is in the file."""
    mode: str = ""
    """One of :data:`.modes.MODES`, or ``""`` if none is set."""
    forward_auth: str = ""
    client_auth: str = ""
    challenge: Challenge | None = None
    middlewares: tuple[str, ...] = ()
    cert_resolver: str = ""
    tls: bool | None = None
    """Whether the router has its own TLS section; ``None`` leaves TLS to the entrypoint."""
    alpn_protocols: tuple[str, ...] = ()
    """What Traefik negotiates by ALPN, ``()`` for the scheme's or Traefik's own protocols."""
    backend: Backend | None = None
    priority: int | None = None
    balance: bool = False
    """Whether all entries of one entrypoint, name and scheme share one service."""
    health_check: HealthCheck | None = None
    sticky: bool = False

    @property
    def is_protected(self) -> bool:
        """Whether access is restricted."""
        return self.mode not in ("", "public")

    @property
    def balancing(self) -> Balancing:
        """Everything that decides how a service spreads requests."""
        return self.balance, self.health_check, self.sticky

    @property
    def protection(self) -> tuple[str, str, str]:
        """Everything that decides who has access."""
        return self.mode, self.forward_auth, self.client_auth


class Dashboard(NamedTuple):
    """Where Traefik's dashboard is served."""

    entrypoint: str
    access: RouteAccess
    """Its pattern is the dashboard's domain."""


class Access(NamedTuple):
    """A whole access file.

    The most specific pattern alone applies to a name; nothing is inherited from wider ones, so that
    one line of the file shows everything about a name.
    """

    ranges: tuple[str, ...] = TAILNET_RANGES
    """The networks that are the tailnet."""
    tailnet_entrypoints: frozenset[str] = frozenset()
    """The entrypoints that listen on addresses of the tailnet only."""
    forward_auth: Mapping[str, Mapping[str, Any]] = {}
    """Options of Traefik's middleware by name."""
    client_auth: Mapping[str, tuple[str, ...]] = {}
    """Files with certificates of authorities by name."""
    routes: Mapping[str, RouteAccess] = {}
    """By pattern."""
    raw: Mapping[str, RouteAccess] = {}
    """The settings for entries whose domain is ``*``, by entrypoint."""
    dashboard: Dashboard | None = None
    default: RouteAccess | None = None
    """The settings for every name that no pattern covers, under the pattern :data:`EVERY`."""
    release: Release = NEWEST
    """That of the Traefik that will run, which decides what can be written for it."""

    @property
    def balanced(self) -> Balanced | None:
        """Whether an entry is balanced with others; ``None`` if none is."""
        if any(each.balance for each in (*self.routes.values(), *self.raw.values())):
            return lambda entry: bool((found := self.settings_for(entry)) and found.balance)
        return None

    def settings_for(self, entry: HostEntry) -> RouteAccess | None:
        """Return the settings for an entry: of its domain, or of its entrypoint if it has none."""
        if entry.domain == ANY:
            return self.raw.get(entry.entrypoint, self.default)
        if entry.is_recovered_udp:
            return self._find_by_slug(entry.domain)
        return self.find(entry.domain)

    def _find_by_slug(self, slug: str) -> RouteAccess | None:
        """Return the settings for a domain of which only the slug is known, in doubt the strictest.

        UDP routers have no rule, so that a document holds their domain only as a part of names.
        """
        exact = [each for pattern, each in self.routes.items() if slug_of(pattern) == slug]
        around = [
            self.routes[pattern]
            for pattern in sorted(self.routes, key=len, reverse=True)
            if pattern.startswith("*.") and slug.endswith(slug_of(pattern[1:]))
        ]
        found = exact or around[:1]
        return next((each for each in found if each.is_protected), (*found, self.default)[0])

    @property
    def all_settings(self) -> tuple[RouteAccess, ...]:
        """The settings of every pattern and of the default."""
        return (*self.routes.values(), *((self.default,) if self.default else ()))

    @property
    def by_setting(self) -> Mapping[str, RouteAccess]:
        """All settings by their paths in the file."""
        found = {f"routes.{pattern}": each for pattern, each in self.routes.items()}
        found |= {f"raw.{name}": each for name, each in self.raw.items()}
        others = {"default": self.default, DASHBOARD: self.dashboard and self.dashboard.access}
        return found | {name: each for name, each in others.items() if each}

    def find(self, domain: str) -> RouteAccess | None:
        """Return the settings for a domain: of its name, its longest wildcard, or the default."""
        while domain and domain not in self.routes:
            domain = wider(domain)
        return self.routes.get(domain, self.default)

    def self_contained(self, others: Container[str] = ()) -> Access:
        """Return a copy without what reaches out to backends or needs another dynamic file.

        ``others`` are the middlewares of those that may stay.
        """
        routes, raw = (
            {
                name: _with_middlewares(each, others)._replace(health_check=None)
                for name, each in settings.items()
            }
            for settings in (self.routes, self.raw)
        )
        dashboard = self.dashboard and self.dashboard._replace(
            access=_with_middlewares(self.dashboard.access, others)
        )
        default = self.default and _with_middlewares(self.default, others)
        return self._replace(routes=routes, raw=raw, dashboard=dashboard, default=default)

    def exact_below(self, wildcard: str) -> list[RouteAccess]:
        """Return the settings of exact names that a route's wildcard would serve.

        They are one label longer, as are all names that a wildcard of Traefik's matches.
        """
        return [
            route
            for pattern, route in self.routes.items()
            if pattern[0] != "*" and wider(pattern) == wildcard
        ]


def _with_middlewares(settings: RouteAccess, names: Container[str]) -> RouteAccess:
    return settings._replace(middlewares=tuple(n for n in settings.middlewares if n in names))


def wider(domain: str) -> str:
    """Return the next wildcard that covers a name or a wildcard, ``""`` after the last."""
    rest = domain.removeprefix("*.").partition(".")[2]
    return f"*.{rest}" if rest else ""


class AccessText(NamedTuple):
    """An access file: its text, and the model read from it."""

    path: str
    """As the user gave it."""
    text: str
    access: Access
