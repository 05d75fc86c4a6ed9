"""Routes to Traefik's dynamic configuration, and the configuration to text and back.

The document holds only fields that Traefik 3.0 and newer know and never an empty map: either
would make Traefik refuse the whole file. The text is JSON (which is YAML too) or block-style
YAML, the same bytes for the same routes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as _json_string
from typing import Any, Literal, get_args

from ctsdns_traefik.core.routes import (
    Protocol,
    Route,
    backend_of,
    passes_through,
    protocol_of,
    rule_of,
)

Document = dict[str, dict[str, dict[str, Any]]]
"""``{"http": {"routers": {NAME: {...}}, "services": {NAME: {...}}}, "tcp": {...}}``."""

Format = Literal["json", "yaml"]

_EXPANDED_LEVELS = 4
"""Section, map, router or service, field: one a line; what is inside a field stays on its line."""


class UnacceptableText(Exception):
    """The text would break Traefik's file provider; a defect of this module, never of the input."""


def build_document(routes: Iterable[Route]) -> Document:
    """Build the document; routers and services stand in the order of their names."""
    by_protocol: dict[Protocol, list[Route]] = {"http": [], "tcp": []}
    for route in routes:
        by_protocol[protocol_of(route.entry)].append(route)
    return {
        protocol: {
            "routers": dict(sorted((route.router, _router(route)) for route in some)),
            "services": dict(sorted({route.service: _service(route) for route in some}.items())),
        }
        for protocol, some in by_protocol.items()
        if some
    }


def to_text(document: Document, form: Format = "json") -> str:
    """Write a document as text that Traefik is known to accept, with a final newline."""
    text = (_to_json(document) if form == "json" else _to_yaml(document)) + "\n"
    _require_acceptable(text, document)
    return text


def from_text(text: str) -> Document:
    """Read a document back, from either format and from other hands; ``{}`` if it is none.

    Only the maps that this tool reads are looked at: what comes back has a map for each name.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = _from_yaml(text)
    return {
        section: {
            part: {name: value for name, value in _map(parts).get(part, {}).items() if _map(value)}
            for part in ("routers", "services")
            if _map(_map(parts).get(part))
        }
        for section, parts in _map(read).items()
        if section in get_args(Protocol)
    }


def _router(route: Route) -> dict[str, Any]:
    router: dict[str, Any] = {
        "rule": rule_of(route.entry),
        "service": route.service,
        "entryPoints": [route.entry.entrypoint],
    }
    if route.priority is not None:
        router["priority"] = route.priority
    if protocol_of(route.entry) == "tcp":
        router["tls"] = {"passthrough": passes_through(route.entry)}
    return router


def _service(route: Route) -> dict[str, Any]:
    key = "url" if protocol_of(route.entry) == "http" else "address"
    return {"loadBalancer": {"servers": [{key: backend_of(route.entry)}]}}


def _to_json(value: object, levels: int = _EXPANDED_LEVELS, indent: str = "") -> str:
    if isinstance(value, str):
        return _json_string(value)
    if not levels or not value or not isinstance(value, dict):
        return _compact_json(value)
    inner = indent + "  "
    rows = [
        f"{inner}{_json_string(key)}: {_to_json(item, levels - 1, inner)}"
        for key, item in value.items()
    ]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


_compact_json = json.JSONEncoder().encode


def _to_yaml(document: Document) -> str:
    """Quote every value: bare ``on`` or ``1_000`` is text to one YAML version, not to another."""
    from ruamel.yaml import YAML  # only this format pays for it
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def quoted(value: object) -> object:
        if isinstance(value, dict):
            return {key: quoted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [quoted(item) for item in value]
        return DoubleQuotedScalarString(value) if isinstance(value, str) else value

    yaml = YAML()
    yaml.width = 2**31
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(quoted(document), stream)
    return stream.getvalue().removesuffix("\n")


def _from_yaml(text: str) -> object:
    from ruamel.yaml import YAML  # only text that is not JSON pays for it
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return None


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _require_acceptable(text: str, document: Document) -> None:
    """Check the last line of defence: nothing for the template language, no empty map."""
    rules = sum(len(parts["routers"]) for parts in document.values())
    if "{{" in text:
        raise UnacceptableText("a template action in the document")
    if text.count("`") != 2 * rules:
        raise UnacceptableText("a backtick outside the rules")
    if document and ("{}" in text or not rules):
        raise UnacceptableText("an empty map in the document")
