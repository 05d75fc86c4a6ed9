"""Parse the access file, strict YAML that defines who may reach which route.

    forwardAuth:
      oidc: {address: "http://127.0.0.1:4181"}
    default: tailscale-only
    routes:
      "*.internal.example.com": {access: tailscale-only}
      sso.example.com: {access: forward-auth, forwardAuth: oidc}
    raw:
      ssh: {access: public}

Options have Traefik's own names. A wildcard covers all names below it, with any number of labels,
so that a name stays protected when it gets longer. Entries without a name are under their
entrypoint in ``raw``. The default covers all others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ctsdns_traefik.core.access.model import (
    EVERY,
    NAME,
    Access,
    Backend,
    Challenge,
    Dashboard,
    RouteAccess,
    wider,
)
from ctsdns_traefik.core.access.modes import MODES, TRUSTED_BY_PATTERN
from ctsdns_traefik.core.access.yaml_nodes import EMPTY, Members, Node, read_nodes
from ctsdns_traefik.core.durations import milliseconds_from
from ctsdns_traefik.core.dynamic.routes import HealthCheck
from ctsdns_traefik.core.entries.domain import read_domain
from ctsdns_traefik.core.entries.grammar import ENTRYPOINT_NAME, LARGEST_PORT
from ctsdns_traefik.core.problems import DiagnosticError
from ctsdns_traefik.core.releases import NEWEST, Release, as_text, has, since
from ctsdns_traefik.core.text import quoted

LARGEST_BODY = 2**40
"""The largest limit of a body, in bytes."""

LONGEST_TIME = 24 * 3_600_000
"""The longest time between two checks of a server's health, in milliseconds."""

HIGHEST_PRIORITY = 2**31 - 1
"""The highest priority that a router may be given; Traefik reserves higher ones."""

_MIDDLEWARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}(@[a-z][a-z0-9-]{0,62})?")
_ALPN_PROTOCOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,30}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,126}")

_NOT_IN_GO = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:[=!#>(]|<[=!])|\\[1-9](?![0-7]))")
_ONLY_IN_GO = re.compile(r"\\[pPQxzC]|\[\[:|\(\?(?!:)")

T = TypeVar("T")

_SECTIONS = ("tailnet", "forwardAuth", "clientAuth", "default", "routes", "raw", "dashboard")
_SHARED = ("access", "forwardAuth", "clientAuth", "middlewares", "certResolver", "tls", "priority")
_OF_DEFAULT = ("access", "forwardAuth", "clientAuth", "middlewares", "certResolver", "tls")
_BALANCING = ("balance", "healthCheck", "sticky")
_OF_ROUTES = (*_SHARED, "acmeChallenge", "backend", "alpnProtocols", *_BALANCING)
_OF_RAW = ("access", "middlewares", "balance", "healthCheck")
_RAW_MODES = ("public", "tailscale-only")
_OF_DASHBOARD = ("domain", "entryPoint", *_SHARED)


def read_access(text: str, release: Release = NEWEST) -> Access:
    """Read an access file for a release of Traefik.

    Raise :class:`LocatedError` for the first error, with the others that do not follow from it; an
    option that the release does not know is one.
    """
    root = read_nodes(text)
    access = Access(release=release)
    with root.noting():
        access = _sections(root.members(_SECTIONS), access)
    if root.faults:
        first, *others = sorted(root.faults, key=lambda fault: fault.location)
        first.others = tuple(others)
        raise first
    return access


def _sections(root: Mapping[str, Node], access: Access) -> Access:
    """Read the sections, of which the later ones need the definitions of those before."""
    if "tailnet" in root:
        with root["tailnet"].noting():
            access = _tailnet(root["tailnet"], access)
    release = access.release
    access = access._replace(
        forward_auth=_named(root.get("forwardAuth"), lambda node: _forward_auth(node, release)),
        client_auth=_named(root.get("clientAuth"), _client_auth),
    )
    read: dict[str, Callable[[Node, Access], Any]] = {
        "default": _default,
        "routes": _routes,
        "raw": _raw,
        "dashboard": _dashboard,
    }
    for section in [name for name in read if name in root]:
        with root[section].noting():
            access = access._replace(**{section: read[section](root[section], access)})
    return access


def _tailnet(node: Node, access: Access) -> Access:
    members = node.members(("ranges", "entryPoints"))
    return access._replace(
        ranges=_ranges(members["ranges"]) if "ranges" in members else access.ranges,
        tailnet_entrypoints=_entrypoints(members.get("entryPoints")),
    )


def _named(node: Node | None, read: Callable[[Node], T]) -> dict[str, T]:
    """Return definitions by name."""
    members = node.members() if node else {}
    found: dict[str, Any] = dict.fromkeys(members, ())  # a faulty one is defined all the same
    for name, each in members.items():
        with each.noting():
            if not NAME.fullmatch(name):
                each.fail("is not a name: write letters, digits, - and _")
            found[name] = read(each)
    return found


def _ranges(node: Node) -> tuple[str, ...]:
    """Return networks in the form that Traefik's ``ipAllowList`` and ``ClientIP`` accept."""
    return tuple(_range(node, text) for text in node.texts())


def _range(node: Node, text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as why:
        node.fail(f"has {quoted(text)}, which is not a network: {str(why).partition(' ')[2]}")
    if not network.prefixlen:
        node.fail(f"has {text}, which is every address: write narrower ranges")
    first = network.network_address
    if isinstance(first, ipaddress.IPv6Address) and (first.scope_id or first.ipv4_mapped):
        zone, four = "has a zone: write it without", "is an IPv4 network: write it as one"
        node.fail(f"has {quoted(text)}, which {zone if first.scope_id else four}")
    return str(network)


def _entrypoints(node: Node | None) -> frozenset[str]:
    """Return names of entrypoints."""
    names = node.texts() if node else ()
    for name in names:
        if node:
            _matching(node, name, ENTRYPOINT_NAME, "an entrypoint's name")
    return frozenset(names)


def _forward_auth(node: Node, release: Release) -> dict[str, Any]:
    """Return the options of Traefik's ``forwardAuth`` unchanged."""
    members = node.members(_FORWARD_AUTH_READERS, required=("address",))
    for option, member in members.items():
        if not has(release, feature := f"forwardAuth.{option}"):
            member.fail(
                f"needs Traefik {since(feature)} or newer: {as_text(release)} would refuse all"
                " routes for it"
            )
    return _read(members, _FORWARD_AUTH_READERS)


_ADDRESS = re.compile(
    r"https?://[^\s%/?#]+(?:/(?:[^%?#]|%[0-9A-F]{2})*)?(?:[?#].*)?", re.IGNORECASE
)


def _address(node: Node) -> str:
    """Return a URL that Go can connect to; with any other the client gets 500."""
    text, host = node.text(), None
    with suppress(ValueError):
        host, _ = urlsplit(text).hostname, urlsplit(text).port
    if not (host and _ADDRESS.fullmatch(text)):
        node.fail("is not a URL: write it like http://127.0.0.1:4181/auth")
    return text


def _client_auth(node: Node) -> tuple[str, ...]:
    """Return the files with the authorities' certificates."""
    return node.members(("caFiles",), required=("caFiles",))["caFiles"].texts()


def _headers(node: Node) -> tuple[str, ...]:
    """Return header names, which become keys of the document."""
    names = node.texts()
    for name in names:
        _matching(node, name, _HEADER, "a header's name")
    return names


def _pattern(node: Node) -> str:
    """Return a regular expression, unless Go, which has no look-around, cannot compile it.

    What only Go knows, such as classes of Unicode, is not judged.
    """
    text = node.text()
    if _NOT_IN_GO.search(text):
        node.fail("has what Go's regular expressions lack: look-around or back references")
    try:
        re.compile("" if _ONLY_IN_GO.search(text) else text)
    except re.error as why:
        node.fail(f"is not a regular expression: {why}")
    return text


def _auth_server_tls(node: Node) -> dict[str, Any]:
    members = node.members(_TLS_READERS)
    if not members:
        node.fail(EMPTY)
    if members.complete and ("cert" in members) != ("key" in members):
        node.fail("has one of cert and key: Traefik needs both")
    return _read(members, _TLS_READERS)


def _read(members: dict[str, Node], readers: dict[str, Callable[[Node], object]]) -> dict[str, Any]:
    """Return the members' values as JSON has them, each read by its reader."""
    values = {}
    for name, node in members.items():
        with node.noting():
            value = readers[name](node)
            values[name] = list(value) if isinstance(value, tuple) else value
    return values


def _entrypoint(node: Node) -> str:
    return _matching(node, node.text(), ENTRYPOINT_NAME, "an entrypoint's name")


def _default(node: Node, access: Access) -> RouteAccess:
    """Read the settings for names that no pattern covers: only a mode, or a map with one."""
    if isinstance(node.value, str):
        return _route(node, Members(access=node), EVERY, access)
    if not isinstance(node.value, Mapping):
        node.fail(f"is neither a mode of access nor a map; there is {', '.join(MODES)}")
    return _route(node, node.members(_OF_DEFAULT, required=("access",)), EVERY, access)


def _routes(node: Node, access: Access) -> dict[str, RouteAccess]:
    found: dict[str, tuple[RouteAccess, Node]] = {}
    before = len(node.faults)
    for key, each in node.members().items():
        with each.noting():
            route = _route(each, each.members(_OF_ROUTES), _domain(each, key), access)
            if route.pattern in found:
                line = found[route.pattern][0].location.line
                each.fail(f"is in line {line} already: remove one of the two")
            found[route.pattern] = route, each
    if len(node.faults) > before:
        return {}
    routes = {pattern: route for pattern, (route, _) in found.items()}
    # A name below a protected pattern must set its access, so that an option for it never makes it
    # public by accident.
    for route, each in found.values():
        around = access._replace(routes=routes).find(wider(route.pattern))
        if around and around.is_protected and not route.mode:
            other = "the default" if around.pattern == EVERY else around.pattern
            with each.noting():
                each.fail(f"has no access, but {other} has: repeat it, or write access: public")
    return routes


def _raw(node: Node, access: Access) -> dict[str, RouteAccess]:
    """Return the settings of entries without a name, which only a client's address can restrict."""
    found = {}
    for entrypoint, each in node.members().items():
        with each.noting():
            found[entrypoint] = _raw_route(entrypoint, each, access)
    return found


def _raw_route(entrypoint: str, node: Node, access: Access) -> RouteAccess:
    if not ENTRYPOINT_NAME.fullmatch(entrypoint):
        node.fail("is not an entrypoint's name: write letters, digits, - and _")
    members = node.members(_OF_RAW)
    if "access" in members:
        members["access"].one_of(_RAW_MODES, "an access that a route without a name can have")
    route = _route(node, members, EVERY, access)
    protected = access.default and access.default.is_protected
    if protected and members.complete and not route.mode:
        node.fail("has no access, but the default has: repeat it, or write access: public")
    return route


def _dashboard(node: Node, access: Access) -> Dashboard:
    members = node.members(_OF_DASHBOARD, required=("domain", "entryPoint", "access"))
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
    return Dashboard(_entrypoint(members["entryPoint"]), route)


def _route(node: Node, members: Members, pattern: str, access: Access) -> RouteAccess:
    before = len(node.faults)
    route = _with_options(RouteAccess(pattern, node.location), members)
    route = route._replace(
        mode=members["access"].one_of(MODES, "a mode of access") if "access" in members else "",
        forward_auth=_defined("forwardAuth", members, access.forward_auth),
        client_auth=_defined("clientAuth", members, access.client_auth),
    )
    if members.complete and len(node.faults) == before:
        _require_fitting(route, members)
    return route


def _require_fitting(route: RouteAccess, members: Mapping[str, Node]) -> None:
    """Raise :class:`LocatedError` if settings of a route do not fit together."""
    needed = MODES[route.mode].option if route.mode else ""
    for option in ("forwardAuth", "clientAuth"):
        if option in members and option != needed:
            members[option].fail(f"has no effect with access {route.mode or 'not set'}: remove it")
    if needed and needed not in members:
        members["access"].fail(f"is {route.mode}, which needs {needed}: add it")
    if route.sticky and not route.balance:
        members["sticky"].fail("has no effect without balance: true: add that, or remove it")
    if route.tls is False and (route.cert_resolver or route.client_auth):
        members["tls"].fail(
            "is false, but certResolver or clientAuth needs TLS: remove one of them"
        )


def _with_options(route: RouteAccess, members: Mapping[str, Node]) -> RouteAccess:
    """Add the settings that do not restrict access."""
    read = {
        "acmeChallenge": ("challenge", _challenge),
        "middlewares": ("middlewares", _middlewares),
        "certResolver": ("cert_resolver", _resolver),
        "tls": ("tls", Node.flag),
        "backend": ("backend", _backend),
        "alpnProtocols": ("alpn_protocols", _alpn_protocols),
        "balance": ("balance", Node.flag),
        "healthCheck": ("health_check", _health_check),
        "sticky": ("sticky", Node.flag),
        "priority": ("priority", lambda node: node.number(1, HIGHEST_PRIORITY)),
    }
    for key, node in members.items():
        if key in read:
            field, reader = read[key]
            with node.noting():
                route = route._replace(**{field: reader(node)})
    return route


def _resolver(node: Node) -> str:
    return _matching(node, node.text(), NAME, "a resolver's name")


def _defined(option: str, members: Mapping[str, Node], names: Iterable[str]) -> str:
    """Return a defined name, ``""`` if none is given."""
    return members[option].one_of(names, f"in {option}") if option in members else ""


def _challenge(node: Node) -> Challenge:
    members = node.members(("entryPoint", "port"), required=("entryPoint", "port"))
    entrypoint = _entrypoint(members["entryPoint"])
    return Challenge(entrypoint, members["port"].number(1, LARGEST_PORT))


def _alpn_protocols(node: Node) -> tuple[str, ...]:
    names = node.texts()
    for name in names:
        _matching(node, name, _ALPN_PROTOCOL, "an ALPN protocol")
    return names


def _backend(node: Node) -> Backend:
    members = node.members(("serverName", "insecureSkipVerify"))
    if not members:
        node.fail(EMPTY)
    name, unchecked = members.get("serverName"), members.get("insecureSkipVerify")
    return Backend(
        _domain(name, name.text()) if name else "", unchecked.flag() if unchecked else False
    )


_CHECKED_PATH = re.compile(r"/(?!/)(?:[!\"$&->@-~]|%[0-9A-Fa-f]{2})*(?:[?#][!-~]*)?")
"""With any other path Traefik takes each server for dead."""


def _health_check(node: Node) -> HealthCheck:
    members = node.members(HealthCheck._fields)
    if not members:
        node.fail(EMPTY)
    check = HealthCheck(**{name: _text_or_seconds(each) for name, each in members.items()})
    if not _CHECKED_PATH.fullmatch(check.path):
        members["path"].fail("is not the path of a URL: write it like /healthz")
    interval = _milliseconds(members.get("interval", node), check.interval)
    timeout = _milliseconds(members.get("timeout", node), check.timeout)
    if timeout >= interval and "timeout" not in members:
        return check._replace(timeout=f"{max(interval / 2, 1):.0f}ms")
    if timeout >= interval:  # Traefik would wait longer between checks than is written here
        members["timeout"].fail(f"is {check.timeout}, not less than the interval {check.interval}")
    return check


def _text_or_seconds(node: Node) -> str:
    whole = isinstance(node.value, int) and not isinstance(node.value, bool)
    return f"{node.value}s" if whole else node.text()


def _milliseconds(node: Node, text: str) -> float:
    total = milliseconds_from(text)
    if not total:
        node.fail(f"is {quoted(text)}, not a time such as 10s, 500ms or 1m30s")
    if total > LONGEST_TIME:  # one that Go cannot hold would cost the whole file
        node.fail(f"is {text}, which is more than a day")
    return total


def _middlewares(node: Node) -> tuple[str, ...]:
    names = node.texts()
    for name in names:
        _matching(node, name, _MIDDLEWARE, "a middleware's name")
    return names


def _matching(node: Node, text: str, form: re.Pattern[str], what: str) -> str:
    if not form.fullmatch(text):
        node.fail(f"has {quoted(text)}, which is not {what}")
    return text


def _domain(node: Node, text: str) -> str:
    if text == EVERY:
        node.fail(
            "is not a name or wildcard: for every name, write default: MODE beside routes;"
            " for an entry whose domain is *, its entrypoint under raw"
        )
    try:
        return read_domain(text, at=0)
    except DiagnosticError as error:
        node.fail(f"is not a name or wildcard: {error}; {error.hint}")


_TLS_READERS: dict[str, Callable[[Node], object]] = {
    "ca": Node.text,
    "cert": Node.text,
    "key": Node.text,
    "insecureSkipVerify": Node.flag,
}

_FORWARD_AUTH_READERS: dict[str, Callable[[Node], object]] = {
    "address": _address,
    "trustForwardHeader": Node.flag,
    "authResponseHeaders": _headers,
    "authResponseHeadersRegex": _pattern,
    "authRequestHeaders": Node.texts,
    "addAuthCookiesToResponse": Node.texts,
    "tls": _auth_server_tls,
    "authSigninURL": Node.text,
    "forwardBody": Node.flag,
    "headerField": Node.text,
    "maxBodySize": lambda node: node.number(0, LARGEST_BODY),
    "maxResponseBodySize": lambda node: node.number(0, LARGEST_BODY),
    "preserveLocationHeader": Node.flag,
    "preserveRequestMethod": Node.flag,
}
"""Traefik's options. It rejects a whole file for one that it does not know; the last seven are
those of newer releases."""
