"""The access file: who may reach which route, read strictly from YAML.

    forwardAuth:
      oidc: {address: "http://127.0.0.1:4181"}
    default: tailscale-only
    routes:
      "*.internal.example.com": {access: tailscale-only}
      sso.example.com: {access: forward-auth, forwardAuth: oidc}

Options bear Traefik's own names. A wildcard covers all names below it, however many labels they
have: what an operator means to protect stays so when a name gets longer. The default covers every
name that nothing else covers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ctsdns_traefik.core.access.definitions import (
    NAME,
    read_client_auth,
    read_forward_auth,
    read_named,
    read_ranges,
)
from ctsdns_traefik.core.access.model import (
    EVERY,
    MODES,
    Access,
    Backend,
    Challenge,
    Dashboard,
    RouteAccess,
    wider,
)
from ctsdns_traefik.core.access.modes import TRUSTED_BY_PATTERN
from ctsdns_traefik.core.access.yaml_nodes import AccessError, Node, read_nodes
from ctsdns_traefik.core.entries.address import TAILNET_RANGES
from ctsdns_traefik.core.entries.domain import read_domain
from ctsdns_traefik.core.entries.grammar import ENTRYPOINT_NAME, LARGEST_PORT
from ctsdns_traefik.core.problems import DiagnosticError

__all__ = ["AccessError", "read_access"]

HIGHEST_PRIORITY = 2**31 - 1
"""Of a router, as far as one may be set; Traefik keeps higher ones for itself."""

_MIDDLEWARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}(@[a-z][a-z0-9-]{0,62})?")

_SECTIONS = ("tailnet", "forwardAuth", "clientAuth", "default", "routes", "dashboard")
_SHARED = ("access", "forwardAuth", "clientAuth", "middlewares", "certResolver", "tls", "priority")
_OF_DEFAULT = ("access", "forwardAuth", "clientAuth", "middlewares", "certResolver", "tls")
_OF_ROUTES = (*_SHARED, "acmeChallenge", "backend")
_OF_DASHBOARD = ("domain", "entryPoint", *_SHARED)


def read_access(text: str) -> Access:
    """Read an access file; raise :class:`AccessError` for the first thing that is wrong."""
    root = read_nodes(text).members(_SECTIONS)
    tailnet = root["tailnet"].members(("ranges",)) if "tailnet" in root else {}
    access = Access(
        ranges=read_ranges(tailnet["ranges"]) if tailnet else TAILNET_RANGES,
        forward_auth=read_named(root.get("forwardAuth"), read_forward_auth),
        client_auth=read_named(root.get("clientAuth"), read_client_auth),
    )
    if "default" in root:
        access = access._replace(default=_default(root["default"], access))
    if "routes" in root:
        access = access._replace(routes=_routes(root["routes"], access))
    if "dashboard" in root:
        access = access._replace(dashboard=_dashboard(root["dashboard"], access))
    return access


def _default(node: Node, access: Access) -> RouteAccess:
    """Return what holds for names that nothing else covers: a mode alone, or a map with it."""
    members = {"access": node} if isinstance(node.value, str) else node.members(_OF_DEFAULT)
    if "access" not in members:
        node.fail("has no access")
    return _route(node, members, EVERY, access)


def _routes(node: Node, access: Access) -> dict[str, RouteAccess]:
    found: dict[str, tuple[RouteAccess, Node]] = {}
    for key, each in node.members().items():
        route = _route(each, each.members(_OF_ROUTES), _domain(each, key), access)
        if route.pattern in found:
            each.fail(
                f"is in line {found[route.pattern][0].place[0]} already: remove one of the two"
            )
        found[route.pattern] = route, each
    routes = {pattern: route for pattern, (route, _) in found.items()}
    for route, each in found.values():
        around = access._replace(routes=routes).find(wider(route.pattern))
        if around and around.is_protected and not route.mode:
            other = "the default" if around.pattern == EVERY else around.pattern
            each.fail(f"has no access, but {other} has: repeat it, or write access: public")
    return routes


def _dashboard(node: Node, access: Access) -> Dashboard:
    members = node.members(_OF_DASHBOARD)
    for needed in ("domain", "entryPoint", "access"):
        if needed not in members:
            node.fail(f"has no {needed}")
    domain = _domain(members["domain"], members["domain"].text())
    if domain.startswith("*"):
        members["domain"].fail("is a wildcard: write one host name")
    if domain in access.routes and access.routes[domain].mode:
        members["domain"].fail("has an access in routes too: remove one of the two")
    route = _route(node, members, domain, access)
    if not route.is_protected:
        members["access"].fail(
            "is public, but the dashboard shows everything: choose another access"
        )
    if (
        route.mode == "tailscale-bypass"
        and TRUSTED_BY_PATTERN in access.forward_auth[route.forward_auth]
    ):
        members["forwardAuth"].fail(
            f"has {TRUSTED_BY_PATTERN}, which tailscale-bypass cannot keep clients from sending:"
            " list the headers as authResponseHeaders"
        )
    return Dashboard(_matching(members["entryPoint"], ENTRYPOINT_NAME, "an entrypoint's"), route)


def _route(node: Node, members: Mapping[str, Node], pattern: str, access: Access) -> RouteAccess:
    route = RouteAccess(
        pattern=pattern,
        place=node.place,
        mode=members["access"].one_of(MODES, "a mode of access") if "access" in members else "",
        forward_auth=_defined("forwardAuth", members, access.forward_auth),
        client_auth=_defined("clientAuth", members, access.client_auth),
    )
    needed = MODES.get(route.mode, "")
    for option in ("forwardAuth", "clientAuth"):
        if option in members and option != needed:
            members[option].fail(f"has no effect with access {route.mode or 'not set'}: remove it")
    if needed and needed not in members:
        members["access"].fail(f"is {route.mode}, which needs {needed}: add it")
    route = _with_options(route, members)
    if route.tls is False and (route.cert_resolver or route.client_auth):
        members["tls"].fail(
            "is false, but certResolver or clientAuth needs TLS: remove one of them"
        )
    return route


def _with_options(route: RouteAccess, members: Mapping[str, Node]) -> RouteAccess:
    """Add what is not about access."""
    read = {
        "acmeChallenge": ("challenge", _challenge),
        "middlewares": ("middlewares", _middlewares),
        "certResolver": ("cert_resolver", lambda node: _matching(node, NAME, "a resolver's")),
        "tls": ("tls", Node.flag),
        "backend": ("backend", _backend),
        "priority": ("priority", lambda node: node.number(1, HIGHEST_PRIORITY)),
    }
    given = {read[key][0]: read[key][1](node) for key, node in members.items() if key in read}
    return route._replace(**given)


def _defined(option: str, members: Mapping[str, Node], names: Iterable[str]) -> str:
    """Return a name that is defined; ``""`` if none is given."""
    return members[option].one_of(names, f"in {option}") if option in members else ""


def _challenge(node: Node) -> Challenge:
    members = node.members(("entryPoint", "port"))
    for needed in ("entryPoint", "port"):
        if needed not in members:
            node.fail(f"has no {needed}")
    entrypoint = _matching(members["entryPoint"], ENTRYPOINT_NAME, "an entrypoint's")
    return Challenge(entrypoint, members["port"].number(1, LARGEST_PORT))


def _backend(node: Node) -> Backend:
    members = node.members(("serverName", "insecureSkipVerify"))
    if not members:
        node.fail("is empty")
    name, unchecked = members.get("serverName"), members.get("insecureSkipVerify")
    return Backend(
        _domain(name, name.text()) if name else "", unchecked.flag() if unchecked else False
    )


def _middlewares(node: Node) -> tuple[str, ...]:
    names = node.texts()
    for name in names:
        _matching(node._replace(value=name), _MIDDLEWARE, "a middleware's")
    return names


def _matching(node: Node, form: re.Pattern[str], whose: str) -> str:
    if not form.fullmatch(node.text()):
        node.fail(f"is not {whose} name")
    return node.text()


def _domain(node: Node, text: str) -> str:
    if text == EVERY:
        node.fail("is not a name or wildcard: for every name, write default: MODE beside routes")
    try:
        return read_domain(text, at=0)
    except DiagnosticError as refusal:
        node.fail(f"is not a name or wildcard: {refusal}; {refusal.hint}")
