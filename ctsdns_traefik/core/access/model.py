"""What an access file says, as values: who may reach which route, and how it is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.policy.locations import SourceLocation

DEFAULT_RANGES = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
"""The addresses that Tailscale gives to machines."""

MODES: Mapping[str, str] = {
    "public": "",
    "tailscale-only": "",
    "tailscale-bypass": "forwardAuth",
    "forward-auth": "forwardAuth",
    "mtls-strict": "clientAuth",
}
"""The modes of access, and the option that each needs besides."""


EVERY = "*"
"""The pattern of the default, which covers all names."""


class Challenge(NamedTuple):
    """Where a machine that ends its own TLS answers HTTP-01 challenges."""

    entrypoint: str
    port: int


class Backend(NamedTuple):
    """How Traefik checks the certificate of an https backend."""

    server_name: str = ""
    insecure_skip_verify: bool = False


class RouteAccess(NamedTuple):
    """What holds for the routes of one pattern: a name, a wildcard for all below, or all."""

    pattern: str
    place: SourceLocation
    """Of the pattern in the file."""
    mode: str = ""
    """One of :data:`MODES`; ``""`` if nothing is said about access."""
    forward_auth: str = ""
    client_auth: str = ""
    challenge: Challenge | None = None
    middlewares: tuple[str, ...] = ()
    cert_resolver: str = ""
    tls: bool | None = None
    """Whether the router has TLS of its own; ``None`` leaves it to the entrypoint."""
    backend: Backend | None = None
    priority: int | None = None

    @property
    def is_protected(self) -> bool:
        """Whether not everybody may come."""
        return self.mode not in ("", "public")

    @property
    def protection(self) -> tuple[str, str, str]:
        """Who may come."""
        return self.mode, self.forward_auth, self.client_auth


class Dashboard(NamedTuple):
    """Where Traefik's dashboard is served."""

    entrypoint: str
    access: RouteAccess
    """Its pattern is the dashboard's domain."""


class Access(NamedTuple):
    """A whole access file."""

    ranges: tuple[str, ...] = DEFAULT_RANGES
    """The networks that are the tailnet."""
    forward_auth: Mapping[str, Mapping[str, Any]] = {}
    """Options of Traefik's middleware by name."""
    client_auth: Mapping[str, tuple[str, ...]] = {}
    """Files with certificates of authorities by name."""
    routes: Mapping[str, RouteAccess] = {}
    """By pattern."""
    dashboard: Dashboard | None = None
    default: RouteAccess | None = None
    """What holds for every name that no pattern covers; its own pattern is :data:`EVERY`."""

    def find(self, domain: str) -> RouteAccess | None:
        """Return what holds for a domain: the exact name's, else the longest wildcard's.

        Else it is the default, if there is one.
        """
        while domain and domain not in self.routes:
            domain = wider(domain)
        return self.routes.get(domain, self.default)

    def alone(self) -> Access:
        """Return the same without what only other dynamic files can define: middlewares."""
        routes = {name: each._replace(middlewares=()) for name, each in self.routes.items()}
        dashboard = self.dashboard and self.dashboard._replace(
            access=self.dashboard.access._replace(middlewares=())
        )
        default = self.default and self.default._replace(middlewares=())
        return self._replace(routes=routes, dashboard=dashboard, default=default)

    def exact_below(self, wildcard: str) -> list[RouteAccess]:
        """Return the names that have a say of their own in place of a route's wildcard.

        They are one label longer, as is all that a wildcard of Traefik's stands for.
        """
        return [
            route
            for pattern, route in self.routes.items()
            if pattern[0] != "*" and wider(pattern) == wildcard
        ]


def wider(domain: str) -> str:
    """Return the next wildcard that covers a name or a wildcard; ``""`` behind the last."""
    rest = domain.removeprefix("*.").partition(".")[2]
    return f"*.{rest}" if rest else ""


class AccessText(NamedTuple):
    """An access file: its text, and the model read from it."""

    path: str
    """As the user gave it."""
    text: str
    access: Access
