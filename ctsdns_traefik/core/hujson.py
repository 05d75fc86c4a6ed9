"""HuJSON, the JSON of Tailscale policies: comments and trailing commas, blanked out.

HuJSON (JWCC) is JSON with ``//`` and ``/* */`` comments and a comma allowed after the last
element; see https://github.com/tailscale/hujson.
"""

from __future__ import annotations

import re

# What has no end reaches to the end of the text, so that no search starts over behind it.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRING_OR_COMMENT = re.compile(rf"{_STRING}|(?P<blank>//[^\n]*|/\*.*?\*/)|/\*.*", re.DOTALL)
_SPACE = r"[ \t\r\n]*"
_NOTHING_AND_COMMA = rf"[\[{{,]{_SPACE},"
_STRING_OR_COMMA = re.compile(
    rf"{_STRING}|{_NOTHING_AND_COMMA}|(?P<blank>,)(?={_SPACE}[}}\]])", re.DOTALL
)
_INK = re.compile(r"[^\n]")


def to_json(text: str) -> str:
    """Return the same text as plain JSON, every remaining character at its old line and column.

    What is no HuJSON, a comma after nothing or a comment without an end, comes out as no JSON.
    """
    return _STRING_OR_COMMA.sub(_blanked, _STRING_OR_COMMENT.sub(_blanked, text))


def _blanked(match: re.Match[str]) -> str:
    return _INK.sub(" ", match[0]) if match["blank"] else match[0]
