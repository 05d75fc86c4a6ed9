"""One route and what an access file says about it to routers that hold it, or to a reason why not.

A mode gives a route its middlewares or TLS options. ``tailscale-bypass`` takes two routers, and
priorities: Traefik prefers the longer rule, and the one for the tailnet is longer than any name's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ctsdns_traefik.core.access.model import Access, Backend, RouteAccess
from ctsdns_traefik.core.dynamic.routes import Route, RouterTls, priority_of

TAILNET = "access-tailnet"
"""The name of the middlewares that let the tailnet in, and nobody else."""

TAILNET_PART = "tailnet"

TRUSTED = "authResponseHeaders"
TRUSTED_BY_PATTERN = "authResponseHeadersRegex"
"""The options of an auth server that say which headers a backend has from it alone."""


class NotApplicable(Exception):
    """A route cannot be served as the access file says."""

    def __init__(self, message: str, hint: str) -> None:
        """Take what is wrong and how to mend it, each in one line."""
        super().__init__(message)
        self.message, self.hint = message, hint


def protect(route: Route, said: RouteAccess, access: Access) -> tuple[Route, ...]:
    """Return the routers of a route; raise :class:`NotApplicable` if there is no way."""
    return _MODES[said.mode](_with_options(route, said), said, access)


def forward_auth_name(name: str) -> str:
    """Return the name of an auth server's middleware."""
    return f"access-forward-auth-{name}"


def drop_headers_name(name: str) -> str:
    """Return the name of the middleware that removes an auth server's headers from a request."""
    return f"access-drop-headers-{name}"


def client_auth_name(name: str) -> str:
    """Return the name of the TLS options with some authorities."""
    return f"access-client-auth-{name}"


def transport_name(backend: Backend) -> str:
    """Return the name of what a backend's service refers to; no two backends share one."""
    unchecked = "-insecure" if backend.insecure_skip_verify else ""
    return f"access-backend{unchecked}.{backend.server_name}".removesuffix(".")


def part_of(route: Route, part: str) -> Route:
    """Return another router of the route's entry."""
    return route._replace(router=f"{route.router}~{part}", part=part)


def depends_on_address(route: Route) -> bool:
    """Return whether a router serves some clients only because of the address they come from."""
    return TAILNET in route.middlewares or route.part == TAILNET_PART


def _with_options(route: Route, said: RouteAccess) -> Route:
    """Add what is not about access."""
    if said.backend and route.entry.scheme == "https":
        name = transport_name(said.backend)
        service = f"{route.service}~{name.removeprefix('access-')}"
        route = route._replace(service=service, servers_transport=name)
    return route._replace(
        middlewares=said.middlewares,
        tls=_tls(route, said),
        priority=said.priority or route.priority,
    )


def _tls(route: Route, said: RouteAccess) -> RouterTls | None:
    if route.passthrough and (said.cert_resolver or said.tls is not None):
        raise NotApplicable(
            "its TLS ends at the backend, so that certResolver and tls have no effect",
            "remove them for this name, or let TLS end at Traefik",
        )
    if route.protocol == "tcp" and said.tls is False:
        raise NotApplicable("a TCP route without TLS has no names", "remove tls: false")
    if said.cert_resolver or (said.tls and route.protocol == "http"):
        return RouterTls(said.cert_resolver)
    return None


def _open(route: Route, _said: RouteAccess, _access: Access) -> tuple[Route, ...]:
    return (route,)


def _tailscale_only(route: Route, _said: RouteAccess, _access: Access) -> tuple[Route, ...]:
    return (_behind(TAILNET, route),)


def _forward_auth(route: Route, said: RouteAccess, _access: Access) -> tuple[Route, ...]:
    if route.protocol == "tcp":
        raise NotApplicable(
            f"{said.mode} asks an auth server about each HTTP request, and a TCP route sees none",
            "use tailscale-only or mtls-strict for this name",
        )
    return (_behind(forward_auth_name(said.forward_auth), route),)


def _tailscale_bypass(route: Route, said: RouteAccess, access: Access) -> tuple[Route, ...]:
    """Put the tailnet's router one above the other, and both of a wildcard below all names.

    A name's rule is longer than its wildcard's by one at least, or raised by one. No auth server
    replaces its headers in the tailnet's requests, so they are removed from these.
    """
    (guarded,) = _forward_auth(route, said, access)
    options = access.forward_auth[said.forward_auth]
    if TRUSTED_BY_PATTERN in options:
        raise NotApplicable(
            f"its auth server sets headers by {TRUSTED_BY_PATTERN}, and Traefik cannot remove by"
            " pattern what the tailnet's clients send",
            f"name the headers in {TRUSTED}, or use forward-auth",
        )
    least = priority_of(route)
    if route.entry.domain.startswith("*"):
        least = max(1, least - 1)
        guarded = guarded._replace(priority=least)
    ranges = " || ".join(f"ClientIP(`{each}`)" for each in access.ranges)
    bypass = part_of(route, TAILNET_PART)
    if TRUSTED in options:
        bypass = _behind(drop_headers_name(said.forward_auth), bypass)
    return guarded, bypass._replace(rule=f"{route.rule} && ({ranges})", priority=least + 1)


def _mtls_strict(route: Route, said: RouteAccess, _access: Access) -> tuple[Route, ...]:
    if route.passthrough:
        raise NotApplicable(
            "its TLS ends at the backend, so that Traefik cannot ask for a certificate",
            "ask for it at the backend, or let TLS end at Traefik",
        )
    return (route._replace(tls=RouterTls(said.cert_resolver, client_auth_name(said.client_auth))),)


def _behind(middleware: str, route: Route) -> Route:
    return route._replace(middlewares=(middleware, *route.middlewares))


_MODES: Mapping[str, Callable[[Route, RouteAccess, Access], tuple[Route, ...]]] = {
    "": _open,
    "public": _open,
    "tailscale-only": _tailscale_only,
    "tailscale-bypass": _tailscale_bypass,
    "forward-auth": _forward_auth,
    "mtls-strict": _mtls_strict,
}
