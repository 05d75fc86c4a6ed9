"""Hosts maps of one HTTP entry a letter, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from support.endpoints import STREAM, Script, saying_nothing, sending, snapshot


def hosts(names: Iterable[str], address: str = "100.64.0.1") -> dict[str, object]:
    """Return one entry for each letter or name."""
    return {f"_web_http_80._tcp.{name}.example.com": address for name in names}


def streaming(names: str) -> Script:
    """Return a script that sends one snapshot of such entries and keeps the connection open."""
    return sending(STREAM, snapshot(hosts(names)), then=saying_nothing)


def routers(names: str) -> str:
    """Return the names of the routers of such entries, as the log lists them."""
    return ", ".join(f"router-{name}-example-com" for name in names)


def names_in(path: Path) -> str:
    """Return the letters of the routes that a file holds."""
    document = json.loads(path.read_text())
    return "".join(name.split("-")[1] for name in document.get("http", {}).get("routers", {}))
