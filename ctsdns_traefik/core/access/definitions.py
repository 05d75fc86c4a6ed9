"""What routes refer to by name in an access file: the tailnet, auth servers, authorities."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, TypeVar

from ctsdns_traefik.core.access.yaml_nodes import Node
from ctsdns_traefik.core.text import quoted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,126}")

T = TypeVar("T")


def read_named(node: Node | None, read: Callable[[Node], T]) -> dict[str, T]:
    """Return definitions by name."""
    found = {}
    for name, each in node.members().items() if node else ():
        if not NAME.fullmatch(name):
            each.fail("is not a name: write letters, digits, - and _")
        found[name] = read(each)
    return found


def read_ranges(node: Node) -> tuple[str, ...]:
    """Return networks, as Traefik's ``ipAllowList`` and ``ClientIP`` take them."""
    return tuple(_range(node, text) for text in node.texts())


def read_forward_auth(node: Node) -> dict[str, Any]:
    """Return the options of Traefik's ``forwardAuth`` as they stand."""
    members = node.members(_READERS)
    if "address" not in members:
        node.fail("has no address: add it")
    if not re.match(r"https?://[^/]", members["address"].text()):
        members["address"].fail("is not a URL with http:// or https://")
    return _read(members, _READERS)


def read_client_auth(node: Node) -> tuple[str, ...]:
    """Return the files with the authorities' certificates."""
    members = node.members(("caFiles",))
    if "caFiles" not in members:
        node.fail("has no caFiles: add it")
    return members["caFiles"].texts()


def _headers(node: Node) -> tuple[str, ...]:
    """Return names of headers, which become keys of the document."""
    names = node.texts()
    for name in names:
        if not _HEADER.fullmatch(name):
            node.fail(f"holds {quoted(name)}, which is no header's name")
    return names


def _tls(node: Node) -> dict[str, Any]:
    members = node.members(_TLS_READERS)
    if not members:
        node.fail("is empty")
    return _read(members, _TLS_READERS)


def _read(members: dict[str, Node], readers: dict[str, Callable[[Node], object]]) -> dict[str, Any]:
    """Return values as JSON has them."""
    values = ((name, readers[name](node)) for name, node in members.items())
    return {name: list(each) if isinstance(each, tuple) else each for name, each in values}


def _range(node: Node, text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as why:
        node.fail(f"holds {quoted(text)}, which is not a network: {str(why).partition(' ')[2]}")
    if not network.prefixlen:
        node.fail(f"holds {text}, which is every address: write narrower ranges")
    return str(network)


_TLS_READERS: dict[str, Callable[[Node], object]] = {
    "ca": Node.text,
    "cert": Node.text,
    "key": Node.text,
    "insecureSkipVerify": Node.flag,
}

_READERS: dict[str, Callable[[Node], object]] = {
    "address": Node.text,
    "trustForwardHeader": Node.flag,
    "authResponseHeaders": _headers,
    "authResponseHeadersRegex": Node.text,
    "authRequestHeaders": Node.texts,
    "addAuthCookiesToResponse": Node.texts,
    "tls": _tls,
}
"""What Traefik 3.0.4 was seen to know; one option that it does not know costs the whole file."""
