"""HuJSON, the JSON of Tailscale policies: comments and trailing commas, blanked out.

HuJSON (JWCC) is JSON with ``//`` and ``/* */`` comments and a comma allowed after the last
element; see https://github.com/tailscale/hujson.
"""

from __future__ import annotations

import re
from json import JSONDecodeError

from ctsdns_traefik.core.members import Member, members_of

# What has no end reaches to the end of the text, so that no search starts over behind it.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRING_OR_COMMENT = re.compile(rf"{_STRING}|(?P<blank>//[^\n]*|/\*.*?\*/)|/\*.*", re.DOTALL)
_SPACE = r"[ \t\r\n]*"
_NOTHING_AND_COMMA = rf"[\[{{,]{_SPACE},"
_STRING_OR_COMMA = re.compile(
    rf"{_STRING}|{_NOTHING_AND_COMMA}|(?P<blank>,)(?={_SPACE}[}}\]])", re.DOTALL
)
_INK = re.compile(r"[^\n]")
_CONSTANTS = ("NaN", "Infinity")
_REFUSED = re.compile(
    rf"{_STRING}|(?P<line>//[^\n]*)|(?P<block>/\*.*?(?:\*/|\Z))|(?P<constant>NaN|-?Infinity)",
    re.DOTALL,
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def to_json(text: str) -> str:
    """Return the same text as plain JSON, every remaining character at its old line and column.

    What is no HuJSON, a comma after nothing or a comment without an end, comes out as no JSON.
    """
    return _STRING_OR_COMMA.sub(_blanked, _STRING_OR_COMMENT.sub(_blanked, text))


def root_members(data: bytes) -> tuple[str, list[Member]]:
    """Return JSON or HuJSON as :func:`blank_out` does, and the members of the object that it is.

    Raise :class:`json.JSONDecodeError` for what is neither, :class:`TypeError` for another value.
    """
    text = data.decode("iso-8859-1")
    try:
        return text, list(members_of(text))
    except (JSONDecodeError, TypeError):  # it has comments, the first perhaps before all else
        text = blank_out(data)
        return text, list(members_of(text))


def blank_out(data: bytes) -> str:
    """Return HuJSON as JSON with a character a byte, at the same offsets; a mark goes too.

    ISO 8859-1 makes a character of each byte; JSON's own characters are the same in both.
    """
    mark = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    return to_json(" " * mark + data[mark:].decode("iso-8859-1"))


def may_have_constants(text: str) -> bool:
    """Tell whether a text might hold a number that Python's JSON reader takes and JSON has not."""
    return any(constant in text for constant in _CONSTANTS)


def find_faults(text: str) -> list[tuple[int, str]]:
    """Find what HuJSON forbids and :func:`to_json` or Python's JSON reader lets pass.

    The text has a character a byte. Return offsets and reasons, in the order of the text.
    """
    mark = _BYTE_ORDER_MARK.decode("iso-8859-1")
    start = [(0, "it starts with a byte order mark; save it as UTF-8 without one")]
    faults = start if text.startswith(mark) else []
    for match in _REFUSED.finditer(text):
        if match.lastgroup and (reason := _fault(match, at_end=match.end() == len(text))):
            faults.append((match.start(), reason))
    return faults


def _fault(match: re.Match[str], *, at_end: bool) -> str:
    if match["constant"]:
        return f"{match[0]} is no number in JSON"
    if match["line"] and at_end:
        return "the last // comment has no line end; add one"
    if match["block"] and not (match[0].endswith("*/") and len(match[0]) >= len("/**/")):
        return "the /* comment has no end"
    return "" if _is_utf8(match[0]) else "the comment is not UTF-8"


def _is_utf8(text: str) -> bool:
    try:
        text.encode("iso-8859-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _blanked(match: re.Match[str]) -> str:
    return _INK.sub(" ", match[0]) if match["blank"] else match[0]
