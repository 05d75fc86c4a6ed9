"""Build Traefik's dynamic configuration from routes, and write it as text and read it back.

The document has only fields that Traefik 3.0 and newer know and never an empty map, because Traefik
rejects a whole file for either. The text is JSON (which is YAML too) or block-style YAML, the same
bytes for the same routes.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as _json_string
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from ctsdns_traefik.core.access.resources import NOTHING, References
from ctsdns_traefik.core.dynamic.routes import INTERNAL, SECTIONS, HealthCheck, Route, RouterTls

Document = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``{"http": {"routers": {NAME: {...}}, "services": {NAME: {...}}}, "tcp": {...}}``."""

Selection = Mapping[str, Mapping[str, Collection[str]]]
"""Names of items by section and map; a document is the selection of all that it has."""

Rows = Mapping[str, Mapping[str, Mapping[str, str]]]
"""The text of each item of a document, by section, map and name."""

MAPS: Mapping[str, tuple[str, ...]] = {
    **{name: ("routers", "services", *each.references) for name, each in SECTIONS.items()},
    "tls": ("options",),
}
"""The maps that this tool writes, by section."""

Format = Literal["json", "yaml"]

_EXPANDED_LEVELS = 4
"""Sections, maps, routers or services, and fields get lines; the value of a field stays on one."""

_ITEM_INDENT = 6 * " "
"""Of a router or a service in JSON."""

_MATCHER = r"(?:Host|HostSNI|PathPrefix|Method|ClientIP)\(`[A-Za-z0-9*./:-]+`\)"
_EITHER = rf"\({_MATCHER}(?: \|\| {_MATCHER})*\)"
_EXCLUDED = r"!HostRegexp\(`\^[a-z0-9-]+(?:\[\.\][a-z0-9-]+)*\[\.\]\?\$`\)"
_RULE = rf"{_MATCHER}(?: && {_MATCHER})*(?: && {_EITHER})?(?: && {_EXCLUDED})*"
_YAML_ROW = re.compile(r"[^ :].*\n(?:[ :].*\n)*")
"""One name and its value; a line starts with a colon after a name of more than 128 characters."""

_RULE_LINE = re.compile(rf'rule"?: "({_RULE})",?\n')
"""Every form of a rule, in both formats; it starts with a literal, which makes it fast."""


class UnacceptableText(Exception):
    """Refuse a text that Traefik's file provider would reject; always a bug, never bad input."""


def build_document(routes: Iterable[Route], references: References = NOTHING) -> Document:
    """Build the document with what the routes refer to, each map sorted by name."""
    document: dict[str, dict[str, Mapping[str, Any]]] = {}
    kept = list(routes)
    for protocol in SECTIONS:
        section = [route for route in kept if route.protocol == protocol]
        if section:
            document[protocol] = {"routers": _Items(_router, section, attrgetter("router"))}
        # Traefik defines its own services.
        if served := [route for route in section if not route.service.endswith(INTERNAL)]:
            document[protocol]["services"] = _Items(_service, served, attrgetter("service"))
    for name, maps in references.items():
        document.setdefault(name, {}).update(maps)
    return document


def _users(routers: Mapping[str, Any], services: Collection[str]) -> Iterator[str]:
    if isinstance(routers, _Items):
        return (name for name, route in routers.routes.items() if route.service in services)
    return (name for name, router in routers.items() if str(router.get("service")) in services)


class Written(NamedTuple):
    """A document as text, with a final newline, and the rows of which it consists."""

    text: str
    rows: Rows


NO_ROWS: Rows = {}


def find_fresh(document: Document, previous: Document) -> Selection:
    """Select the items that a previous document did not have, or not with the same values."""
    return {
        section: {
            part: _find_fresh(items, previous.get(section, {}).get(part, {}))
            for part, items in parts.items()
        }
        for section, parts in document.items()
    }


def find_affected(
    parts: Mapping[str, Mapping[str, Any]], fresh: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the routers of a section that are fresh or whose services are."""
    services = frozenset(fresh.get("services", ()))
    users = _users(parts.get("routers", {}), services) if services else ()
    return {*fresh.get("routers", ()), *users}


def to_text(document: Document, form: Format = "json") -> str:
    """Return a document as text that Traefik accepts, with a final newline."""
    return write(document, form, fresh=document).text


def write(document: Document, form: Format, fresh: Selection, known: Rows = NO_ROWS) -> Written:
    """Write a document as text that Traefik accepts.

    Only the fresh items are written and checked; ``known`` has the rows of all others.
    """
    write_items, assemble = _FORMATS[form]
    rows: dict[str, dict[str, Mapping[str, str]]] = {}
    written: list[str] = []
    for section, parts in document.items():
        rows[section] = {}
        for part, items in parts.items():
            new = write_items(items, fresh[section][part])
            written += new.values()
            found = {**known.get(section, {}).get(part, {}), **new}
            rows[section][part] = {name: found[name] for name in items}
    _require_filled(document)
    _require_acceptable("\n".join([*written, ""]), fresh)
    return Written(assemble(rows) if rows else "{}\n", rows)


def to_plain_text(document: Mapping[str, Any]) -> str:
    """Return any document in the layout of :func:`to_text`, for people and comparison only."""
    return _to_json(document) + "\n"


def from_text(text: str) -> Document:
    """Read a document in either format, from any author; return ``{}`` if it is none.

    Only the maps that this tool reads are returned, each with a map for every name.
    """
    try:
        return sections_of(load_text(text))
    except ValueError:
        return {}


def sections_of(read: object) -> Document:
    """Return the part of a loaded value that this tool reads; ``{}`` if it is no document."""
    return {
        section: {
            part: found
            for part in MAPS[section]
            if (found := _maps_in(_maps_in(read).get(section, {}).get(part)))
        }
        for section in _maps_in(read)
        if section in MAPS
    }


def texts_in(fields: Mapping[str, Any], key: str) -> list[str]:
    """Return the list of texts under a key, empty if another author has put anything else there."""
    value = fields.get(key)
    return [str(each) for each in value] if isinstance(value, list) else []


def text_in(value: object, outer: str, inner: str) -> str:
    """Return the text under two nested keys, ``""`` if there is none."""
    for key in (outer, inner):
        value = value.get(key) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def load_text(text: str, *, unique: bool = False) -> object:
    """Read JSON or YAML from any author; raise :class:`ValueError` if it is neither.

    With ``unique`` a repeated name in a JSON map is an error, as it always is in YAML.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except (ValueError, RecursionError):
        return _from_yaml(text)


class _Items(Mapping[str, Any]):
    """Routers or services by name, in order, each built when it is accessed.

    Built at once they would take most of the memory of a rendering.
    """

    def __init__(
        self, build: Callable[[Route], Any], routes: list[Route], name: Callable[[Route], str]
    ) -> None:
        self._build = build
        self.routes = {name(route): route for route in sorted(routes, key=name)}

    def __getitem__(self, name: str) -> Any:
        return self._build(self.routes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.routes)

    def __len__(self) -> int:
        return len(self.routes)


def _find_fresh(items: Mapping[str, Any], previous: Mapping[str, Any]) -> Collection[str]:
    if isinstance(items, _Items) and isinstance(previous, _Items):
        items, previous = items.routes, previous.routes
    return [name for name, value in items.items() if previous.get(name) != value]


def _router(route: Route) -> dict[str, Any]:
    router: dict[str, Any] = {
        "rule": route.rule,
        "service": route.service,
        "entryPoints": [route.entry.entrypoint],
    }
    if not route.rule:
        del router["rule"]
    if route.middlewares:
        router["middlewares"] = list(route.middlewares)
    if route.priority is not None:
        router["priority"] = route.priority
    # Without TLS there is no SNI for the rule to match.
    if route.protocol == "tcp" and not route.entry.is_raw:
        router["tls"] = {"passthrough": route.passthrough}
    if route.tls:
        router["tls"] = {**router.get("tls", {}), **_router_tls(route.tls)}
    return router


def _router_tls(tls: RouterTls) -> dict[str, str]:
    settings = {"certResolver": tls.cert_resolver, "options": tls.options}
    # Traefik's default options have a name, which avoids an empty map.
    return {key: value for key, value in settings.items() if value} or {"options": "default"}


def _service(route: Route) -> dict[str, Any]:
    key = SECTIONS[route.protocol].server
    service: dict[str, Any] = {"servers": [{key: route.backend}]}
    if route.others:
        service["servers"] += [{key: backend} for backend in route.others]
    if route.sticky:
        service["sticky"] = {"cookie": {"httpOnly": True}}  # an empty map would cost the whole file
    if route.health_check:
        service["healthCheck"] = _health_check(route, route.health_check)
    if route.servers_transport:
        service["serversTransport"] = route.servers_transport
    return {"loadBalancer": service}


def _health_check(route: Route, check: HealthCheck) -> dict[str, str]:
    path = {"path": check.path} if route.protocol == "http" else {}
    return {**path, "interval": check.interval, "timeout": check.timeout}


def _to_json(value: object, levels: int = _EXPANDED_LEVELS, indent: str = "") -> str:
    """Write the outer levels one item a line and the inner levels on one line.

    ``json.dumps(indent=2)`` is slower, and puts every bracket of the inner levels on its own line.
    """
    if not (levels and value and isinstance(value, Mapping)):
        return _json_line(value)
    inner = indent + "  "
    separator = ",\n" + inner
    if levels == 1:
        return f"{{\n{inner}{separator.join(_json_members(value))}\n{indent}}}"
    pieces: list[str] = []
    for key in value:
        pieces.append(f"{separator if pieces else separator[1:]}{_json_string(key)}: ")
        pieces.append(_to_json(value[key], levels - 1, inner))
    return "".join(["{", *pieces, f"\n{indent}}}"])


def _json_line(value: object) -> str:
    """Write a value as ``json.dumps`` does, whose overhead for each call exceeds its work."""
    if isinstance(value, str):
        return _json_string(value)
    if isinstance(value, list):
        return f"[{', '.join([_json_line(item) for item in value])}]"
    if isinstance(value, dict):
        return f"{{{', '.join(_json_members(value))}}}"
    return json.dumps(value)


def _json_members(value: Mapping[str, Any]) -> list[str]:
    return [
        # Without a call for a text, which most values are.
        f"{_json_string(key)}: {_json_string(item) if isinstance(item, str) else _json_line(item)}"
        for key, item in value.items()
    ]


def _json_items(items: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {
        name: f"{_ITEM_INDENT}{_json_string(name)}: {_to_json(items[name], 1, _ITEM_INDENT)},"
        for name in names
    }


def _json_document(rows: Rows) -> str:
    """Put rows together as :func:`_to_json` would write the document; the last take no comma."""
    lines = ["{"]
    for section, parts in rows.items():
        lines.append(f"  {_json_string(section)}: {{")
        for part, items in parts.items():
            lines.append(f"    {_json_string(part)}: {{")
            lines += items.values()
            lines += [lines.pop().removesuffix(","), "    },"]
        lines += [lines.pop().removesuffix(","), "  },"]
    return "\n".join([*lines[:-1], lines[-1].removesuffix(","), "}", ""])


def _yaml_items(items: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """Write YAML with all values quoted: bare ``on`` or ``1_000`` is text in some versions only."""
    from ruamel.yaml import YAML  # a slow import, needed for this format only
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def quoted(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: quoted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [quoted(item) for item in value]
        return DoubleQuotedScalarString(value) if isinstance(value, str) else value

    if not names:
        return {}
    yaml = YAML()
    yaml.width = 2**31  # a value is never broken over lines, which are read one by one here
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump({name: quoted(items[name]) for name in names}, stream)
    rows = _YAML_ROW.findall(stream.getvalue())
    indented = (row.removesuffix("\n").replace("\n", "\n    ") for row in rows)
    return {name: f"    {row}" for name, row in zip(names, indented, strict=True)}


def _yaml_document(rows: Rows) -> str:
    lines: list[str] = []
    for section, parts in rows.items():
        lines.append(f"{section}:")
        for part, items in parts.items():
            lines.append(f"  {part}:")
            lines += items.values()
    return "\n".join([*lines, ""])


_FORMATS = {"json": (_json_items, _json_document), "yaml": (_yaml_items, _yaml_document)}
"""How items and documents are written."""


def _from_yaml(text: str) -> object:
    from ruamel.yaml import YAML  # a slow import, needed for text that is not JSON

    try:
        with warnings.catch_warnings(action="ignore"):
            return YAML(typ="safe").load(text)
    except Exception as why:  # invalid input makes ruamel.yaml raise many types
        raise ValueError("the text is neither JSON nor YAML") from why


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a map from its members; raise :class:`ValueError` for a repeated name."""
    built = dict(pairs)
    if len(built) < len(pairs):
        raise ValueError("a name stands twice in one map")
    return built


def _maps_in(value: object) -> dict[str, Any]:
    """Return the members of a map that have a text as name and a map as value."""
    items = value.items() if isinstance(value, dict) else ()
    return {name: item for name, item in items if isinstance(name, str) and isinstance(item, dict)}


def _require_filled(document: Document) -> None:
    """Check that there is no empty map in a document that is not empty itself."""
    sections = document.values()
    filled = all(sections) and all(all(parts.values()) for parts in sections)
    if document and not (filled and any("routers" in parts for parts in sections)):
        raise UnacceptableText("an empty map in the document")


def _require_acceptable(text: str, written: Selection) -> None:
    """Check once more what the grammar already excludes: any of it would cost the whole file."""
    routers = {section: len(parts.get("routers", ())) for section, parts in written.items()}
    found = _RULE_LINE.findall(text)
    if "{{" in text:
        raise UnacceptableText("a template action in the document")
    if len(found) != sum(routers.values()) - routers.get("udp", 0):
        raise UnacceptableText("a rule that is not of a known form")
    if text.count("`") != sum(rule.count("`") for rule in found):
        raise UnacceptableText("a backtick outside the rules")
    if "{}" in text:
        raise UnacceptableText("an empty map in the document")
