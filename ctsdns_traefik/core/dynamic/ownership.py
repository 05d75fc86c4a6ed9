"""Decide whether a dynamic file was written by this tool, by its sections and names.

Values do not matter: a file in which someone has edited a backend is still this tool's, in JSON or
YAML and from any version, and so is an empty file. The names are those of :mod:`.routes` and
core/access; a new one there must be added here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ctsdns_traefik.core.access.apply import API
from ctsdns_traefik.core.access.model import DASHBOARD, NAME, Backend
from ctsdns_traefik.core.access.modes import (
    TAILNET,
    TAILNET_PART,
    client_auth_name,
    drop_headers_name,
    forward_auth_name,
    transport_name,
)
from ctsdns_traefik.core.dynamic.document import MAPS, Document, load_text, sections_of
from ctsdns_traefik.core.text import quoted

_LONGEST_NAME = 1_024
"""The longest YAML key, and therefore the longest name that this tool writes."""

_ROUTER = re.compile(r"router-[A-Za-z0-9_+.-]+(?:~[a-z0-9.*-]+)*")
_SERVICE = re.compile(
    r"service-(?=.*-[0-9]{1,5}(?:[-~]|\Z))[A-Za-z0-9_+.-]+(?:~[A-Za-z0-9_+.*-]+)*"
)
_DASHBOARDS = (DASHBOARD, f"{DASHBOARD}~{TAILNET_PART}")
_DASHBOARD_RULE = re.compile(r"Host\(`[^`]+`\)(?: && \(ClientIP\(.+\)\))?")

_OTHERS = {
    ("http", "middlewares"): re.compile(
        f"{TAILNET}|{forward_auth_name(NAME.pattern)}|{drop_headers_name(NAME.pattern)}"
    ),
    ("http", "serversTransports"): re.compile(
        "|".join(
            rf"{transport_name(Backend(insecure_skip_verify=unchecked))}(?:\..+)?"
            for unchecked in (False, True)
        )
    ),
    ("tcp", "middlewares"): re.compile(TAILNET),
    ("tls", "options"): re.compile(client_auth_name(NAME.pattern)),
}


class Content(NamedTuple):
    """The contents of a file."""

    document: Document
    """The part that this tool reads."""
    foreign: str
    """A description of the first thing that this tool would not write, ``""`` if there is none."""


def examine(content: bytes) -> Content:
    """Read a file's content from any author.

    Nothing is foreign in a file that is empty or has only comments or maps without members.
    """
    try:
        read = load_text(content.decode(), unique=True)
    except UnicodeDecodeError:
        return Content({}, "bytes that are not UTF-8 text")
    except ValueError:
        return Content({}, "text that is neither JSON nor YAML")
    return Content(sections_of(read), _find_foreign(read))


def _find_foreign(document: object) -> str:
    if document is None:
        return ""
    if not isinstance(document, dict):
        return "something other than a map of sections"
    found = (_in_section(name, section) for name, section in document.items())
    return next(filter(None, found), "")


def _in_section(name: object, section: object) -> str:
    if name not in MAPS:
        return f"the section {quoted(str(name))}"
    parts = _as_map(section)
    if parts is None:
        return f"a section {name} that is not a map"
    found = (_in_part(str(name), part, items) for part, items in parts.items())
    return next(filter(None, found), "")


def _in_part(section: str, part: object, items: object) -> str:
    if part not in MAPS[section]:
        return f"the section {quoted(f'{section}.{part}')}"
    named = _as_map(items)
    if named is None:
        return f"a section {section}.{part} that is not a map"
    is_ours = _recognizer(section, str(part))
    foreign = (name for name, item in named.items() if not is_ours(name, item))
    return next((f"{quoted(str(name))} in {section}.{part}" for name in foreign), "")


def _recognizer(section: str, part: str) -> Callable[[object, object], bool]:
    if part == "routers":
        return _is_router
    names = _SERVICE if part == "services" else _OTHERS[section, part]
    return lambda name, _: _matches(names, name)


def _is_router(name: object, router: object) -> bool:
    """Recognize a router by its name and that of its service.

    The dashboard's name is an obvious one that others use too, so its rule counts as well: here it
    matches a whole domain, while the rule in Traefik's documentation matches two paths.
    """
    fields = router if isinstance(router, dict) else {}
    if name in _DASHBOARDS:
        rule = str(fields.get("rule"))
        return fields.get("service") == API and bool(_DASHBOARD_RULE.fullmatch(rule))
    return _matches(_ROUTER, name) and _matches(_SERVICE, fields.get("service"))


def _matches(names: re.Pattern[str], name: object) -> bool:
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and bool(names.fullmatch(name))


def _as_map(value: object) -> dict[Any, Any] | None:
    """Return a map, an empty one for null, ``None`` for another value."""
    if value is None:
        return {}
    return value if isinstance(value, dict) else None
