"""The table of releases and its document, which a script outside CI makes."""

from __future__ import annotations

from support.release_probes import BEHAVIOURS, PARTS
from traefik_releases import DOCUMENT, FEATURES, TABLE, to_document, to_module

from ctsdns_traefik.core import releases_table as table
from ctsdns_traefik.core.access.parser import _FORWARD_AUTH_READERS


def test_table_and_document_are_as_made() -> None:
    """Nobody has changed the table by hand, and the document shows it."""
    made = to_module(table.RELEASES, table.FEATURES, table.SETTINGS)
    assert TABLE.read_text(encoding="utf-8") == made
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == to_document(text, table.FEATURES, table.SETTINGS)


def test_each_option_is_asked_for() -> None:
    """A new option of auth servers is asked of all releases, and nothing is asked twice."""
    options = {f"forwardAuth.{option}" for option in _FORWARD_AUTH_READERS}
    assert options - {part.feature for part in PARTS} == {"forwardAuth.address"}
    assert len(set(FEATURES)) == len(PARTS) + len(BEHAVIOURS)
    assert table.FEATURES.keys() <= set(FEATURES)
