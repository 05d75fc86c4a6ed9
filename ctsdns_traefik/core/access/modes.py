"""Apply an access mode to one route, giving routers that enforce it or the reason why not.

A mode adds middlewares or TLS options to a route; ``tailscale-bypass`` adds a second router.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ctsdns_traefik.core.access.model import Access, Backend, RouteAccess
from ctsdns_traefik.core.dynamic.routes import Route, RouterTls, priority_of
from ctsdns_traefik.core.entries.grammar import ANY
from ctsdns_traefik.core.problems import DiagnosticError
from ctsdns_traefik.core.releases import as_text, has, since

TAILNET = "access-tailnet"
"""The name of the middlewares that admit only the tailnet."""

TAILNET_PART = "tailnet"

TRUSTED = "authResponseHeaders"
TRUSTED_BY_PATTERN = "authResponseHeadersRegex"
"""The options of an auth server that list the headers that only it may set for a backend."""


ALPN: Mapping[str, tuple[str, ...]] = {
    "mqtt": ("mqtt", "http/1.1"),  # WebSockets, too, which brokers serve at a port of their own
    "mqtts": ("mqtt", "http/1.1"),
    "postgres": ("postgresql",),
    "postgresql": ("postgresql",),
}
"""The ALPN protocols of schemes that have one of their own. A client that offers it alone fails
where the server does not know it, as by Traefik's default; one that offers none does not."""

ALWAYS_OFFERED = ("postgresql",)
"""Those of them that usual clients offer in every handshake: libpq 17 and newer."""


def not_applicable(message: str, hint: str) -> DiagnosticError:
    """Return the error for a route that cannot be served with the access that is required."""
    return DiagnosticError("access-not-applicable", message, hint)


def protect(route: Route, settings: RouteAccess, access: Access) -> tuple[Route, ...]:
    """Return the routers of a route; raise :func:`not_applicable` if none can enforce its mode."""
    if route.protocol == "udp":
        _require_udp_can(route, settings, access)
        return (_balanced(route, settings, access),)
    mode = MODES[settings.mode or "public"]
    return mode.protect(_with_options(route, settings, access), settings, access)


def forward_auth_name(name: str) -> str:
    """Return the name of an auth server's middleware."""
    return f"access-forward-auth-{name}"


def drop_headers_name(name: str) -> str:
    """Return the name of the middleware that removes an auth server's headers from a request."""
    return f"access-drop-headers-{name}"


def client_auth_name(name: str, protocols: tuple[str, ...] = ()) -> str:
    """Return the name of the TLS options with some authorities, and perhaps ALPN protocols."""
    return f"access-client-auth-{name}{alpn_name(protocols).removeprefix('access')}"


def alpn_name(protocols: tuple[str, ...]) -> str:
    """Return the name of the TLS options with some ALPN protocols, ``""`` for Traefik's own."""
    return f"access-alpn.{'+'.join(protocols).replace('/', '_')}" if protocols else ""


def transport_name(backend: Backend) -> str:
    """Return the name of a backend's servers transport, which is different for each backend."""
    unchecked = "-insecure" if backend.insecure_skip_verify else ""
    return f"access-backend{unchecked}.{backend.server_name}".removesuffix(".")


def part_of(route: Route, part: str) -> Route:
    """Return an additional router for the route's entry."""
    return route._replace(router=f"{route.router}~{part}", part=part)


def depends_on_address(route: Route) -> bool:
    """Return whether a router admits clients by their address."""
    return TAILNET in route.middlewares or route.part == TAILNET_PART


def _require_udp_can(route: Route, settings: RouteAccess, access: Access) -> None:
    """Reject what a UDP router cannot enforce: it has no middlewares, no TLS and no priority.

    Only an entrypoint that listens on the tailnet alone restricts who can send to it.
    """
    name = route.entry.entrypoint
    bound = settings.mode == "tailscale-only" and name in access.tailnet_entrypoints
    if settings.is_protected and not bound:
        raise not_applicable(
            f"a UDP router has no middlewares in Traefik, so that nothing enforces {settings.mode}",
            f"give entrypoint {name} an address of the tailnet and list it in tailnet.entryPoints,"
            " for tailscale-only; or set access to public",
        )
    if settings.middlewares or settings.cert_resolver or settings.tls or settings.priority:
        raise not_applicable(
            "a UDP router has no middlewares, TLS or priority",
            "remove middlewares, certResolver, tls and priority for this name",
        )
    if settings.health_check or settings.sticky:
        raise not_applicable(
            "a UDP service has neither health checks nor cookies",
            "remove healthCheck and sticky for this name",
        )


def _unknown(feature: str, what: str, access: Access) -> tuple[str, str]:
    """Return message and hint for what the release of Traefik does not know."""
    release = as_text(access.release)
    message = f"Traefik {release} does not know {what}, and refuses the whole document for it"
    return message, f"use Traefik {since(feature)} or newer, or remove it"


def _with_options(route: Route, settings: RouteAccess, access: Access) -> Route:
    """Add the settings that do not restrict access."""
    if settings.backend and route.entry.scheme == "https":
        # Under its own name, because another entry may share the service without the transport.
        name = transport_name(settings.backend)
        service = f"{route.service}~{name.removeprefix('access-')}"
        route = route._replace(service=service, servers_transport=name)
    return _balanced(route, settings, access)._replace(
        middlewares=settings.middlewares,
        tls=_tls(route, settings),
        priority=settings.priority or route.priority,
    )


def _balanced(route: Route, settings: RouteAccess, access: Access) -> Route:
    """Add how a service spreads requests over its servers; without balance it has one."""
    if settings.sticky and route.protocol == "tcp":
        raise not_applicable("a TCP service has no cookies", "remove sticky for this name")
    feature = f"{route.protocol}-healthCheck"
    if settings.health_check and not has(access.release, feature):
        what = "healthCheck of TCP services"
        raise DiagnosticError("health-check-unsupported", *_unknown(feature, what, access))
    service = route.service
    if settings.health_check and route.entry.domain == ANY:  # set for this entrypoint alone
        service = f"{service}~{route.entry.entrypoint}"
    return route._replace(
        service=service,
        others=route.others if settings.balance else (),
        health_check=settings.health_check,
        sticky=settings.sticky,
    )


def _tls(route: Route, settings: RouteAccess) -> RouterTls | None:
    if route.passthrough and (settings.cert_resolver or settings.tls is not None):
        raise not_applicable(
            "its TLS ends at the backend, so that certResolver and tls have no effect",
            "remove them for this name, or let TLS end at Traefik",
        )
    if route.entry.is_raw and (settings.cert_resolver or settings.tls):
        raise not_applicable(
            "a raw TCP route has no TLS, so that certResolver and tls have no effect",
            "remove them, or give the entry a domain and its clients TLS",
        )
    if route.protocol == "tcp" and not route.entry.is_raw and settings.tls is False:
        raise not_applicable("a TCP route without TLS has no names", "remove tls: false")
    protocols = _alpn_protocols(route, settings)
    if settings.cert_resolver or protocols or (settings.tls and route.protocol == "http"):
        return RouterTls(settings.cert_resolver, alpn_name(protocols))
    return None


def with_alpn(route: Route) -> Route:
    """Return a route without settings with the ALPN protocols that its scheme needs."""
    protocols = alpn_of(route)
    return route._replace(tls=RouterTls(options=alpn_name(protocols))) if protocols else route


def alpn_of(route: Route) -> tuple[str, ...]:
    """Return the ALPN protocols without which clients of a route's scheme may be refused."""
    ends_at_traefik = route.protocol == "tcp" and not route.passthrough and not route.entry.is_raw
    return ALPN.get(route.entry.scheme, ()) if ends_at_traefik else ()


def _alpn_protocols(route: Route, settings: RouteAccess) -> tuple[str, ...]:
    given = settings.alpn_protocols
    if given and (route.protocol == "http" or route.passthrough or route.entry.is_raw):
        raise not_applicable(
            "alpnProtocols is for TCP routes whose TLS ends at Traefik",
            "remove alpnProtocols for this name",
        )
    return given or alpn_of(route)


def _open(route: Route, _settings: RouteAccess, _access: Access) -> tuple[Route, ...]:
    return (route,)


def _tailscale_only(route: Route, _settings: RouteAccess, _access: Access) -> tuple[Route, ...]:
    return (_behind(TAILNET, route),)


def _forward_auth(route: Route, settings: RouteAccess, access: Access) -> tuple[Route, ...]:
    if route.protocol == "tcp":
        raise not_applicable(
            f"{settings.mode} asks an auth server about each HTTP request, and TCP has none",
            "use tailscale-only or mtls-strict for this name",
        )
    for option in access.forward_auth[settings.forward_auth]:
        if not has(access.release, feature := f"forwardAuth.{option}"):
            what = f"{option} of forwardAuth {settings.forward_auth}"
            raise DiagnosticError("option-unsupported", *_unknown(feature, what, access))
    return (_behind(forward_auth_name(settings.forward_auth), route),)


def _tailscale_bypass(route: Route, settings: RouteAccess, access: Access) -> tuple[Route, ...]:
    """Add a router for the tailnet, one priority above the other, below all names of a wildcard.

    By rule length, Traefik's default, a rule with ``ClientIP`` would outrank the names beside its
    wildcard. A name's priority is at least one above its wildcard's, so a wildcard's routers take
    its own priority and one less.
    """
    (guarded,) = _forward_auth(route, settings, access)
    options = access.forward_auth[settings.forward_auth]
    if TRUSTED_BY_PATTERN in options:
        raise not_applicable(
            f"its auth server sets headers by {TRUSTED_BY_PATTERN}, and Traefik cannot remove by"
            " pattern what the tailnet's clients send",
            f"name the headers in {TRUSTED}, or use forward-auth",
        )
    least = priority_of(route)
    if route.entry.is_wildcard:
        least = max(1, least - 1)
        guarded = guarded._replace(priority=least)
    ranges = " || ".join(f"ClientIP(`{each}`)" for each in access.ranges)
    bypass = part_of(route, TAILNET_PART)
    if TRUSTED in options:  # no auth server overwrites these headers in the tailnet's requests
        bypass = _behind(drop_headers_name(settings.forward_auth), bypass)
    return guarded, bypass._replace(rule=f"{route.rule} && ({ranges})", priority=least + 1)


def _mtls_strict(route: Route, settings: RouteAccess, _access: Access) -> tuple[Route, ...]:
    if route.passthrough:
        raise not_applicable(
            "its TLS ends at the backend, so that Traefik cannot ask for a certificate",
            "ask for it at the backend, or let TLS end at Traefik",
        )
    if route.entry.is_raw:
        raise not_applicable(
            "a raw TCP route has no TLS, and so no certificates of clients",
            "use tailscale-only, or give the entry a domain and its clients TLS",
        )
    options = client_auth_name(settings.client_auth, _alpn_protocols(route, settings))
    return (route._replace(tls=RouterTls(settings.cert_resolver, options)),)


def _behind(middleware: str, route: Route) -> Route:
    return route._replace(middlewares=(middleware, *route.middlewares))


class Mode(NamedTuple):
    """How access to a route is restricted."""

    protect: Callable[[Route, RouteAccess, Access], tuple[Route, ...]]
    """Return the routers of a route that enforce it."""
    option: str = ""
    """The option of the access file that it requires."""


MODES: Mapping[str, Mode] = {
    "public": Mode(_open),
    "tailscale-only": Mode(_tailscale_only),
    "tailscale-bypass": Mode(_tailscale_bypass, "forwardAuth"),
    "forward-auth": Mode(_forward_auth, "forwardAuth"),
    "mtls-strict": Mode(_mtls_strict, "clientAuth"),
}
"""The access modes by the names that an access file gives them."""
