"""HuJSON, the JSON of Tailscale policies: comments and trailing commas, blanked out.

HuJSON (JWCC) is JSON with ``//`` and ``/* */`` comments and a comma allowed after the last
element; see https://github.com/tailscale/hujson.
"""

from __future__ import annotations

import re
from json import JSONDecodeError

from ctsdns_traefik.core.policy.json_scanner import Member, members_of, named

# Each pattern matches wherever the one before has ended, so that no search starts over: first all
# that stays, in one possessive go, then what is blanked out or refused, if the text has not ended.
# What has no end, a string or a comment, reaches to the end of the text.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_SPACE = r"[ \t\r\n]*+"
_COMMENT = re.compile(
    rf'((?:[^"/]++|{_STRING}|/(?![/*]))*+)(?:(?P<blank>//[^\n]*+|/\*.*?\*/)|/\*.*+)?+',
    re.DOTALL,
)
_COMMA = re.compile(
    rf'((?:[^",\[{{]++|{_STRING}|[\[{{,]{_SPACE},|[\[{{]|,(?!{_SPACE}[}}\]]))*+)(?P<blank>,)?+',
    re.DOTALL,
)
_REFUSED = re.compile(
    rf'(?:[^"/NI-]++|{_STRING}|/(?![/*])|N(?!aN)|I(?!nfinity)|-(?!Infinity))*+'
    r"(?P<found>(?P<line>//[^\n]*+)|/\*.*?\*/|(?P<open>/\*.*+)|(?P<constant>NaN|-?Infinity))?+",
    re.DOTALL,
)
_INK = re.compile(r"[^\n]")
_CONSTANTS = ("NaN", "Infinity")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def to_json(text: str) -> str:
    """Return the same text as plain JSON, every remaining character at its old line and column.

    What is no HuJSON, a comma after nothing or a comment without an end, comes out as no JSON.
    """
    return _COMMA.sub(_blanked, _COMMENT.sub(_blanked, text))


def root_members(data: bytes) -> tuple[str, list[Member]]:
    """Return JSON or HuJSON as :func:`blank_out` does, and the members of the object that it is.

    Raise :class:`json.JSONDecodeError` for what is neither, :class:`TypeError` for another value.
    """
    text = data.decode("iso-8859-1")
    try:
        members = list(members_of(text))
    except (JSONDecodeError, TypeError):  # it has comments, the first perhaps before all else
        text = blank_out(data)
        members = list(members_of(text))
    return text, [named(member, text) for member in members]


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
        if match["found"] and (reason := _fault(match, at_end=match.end() == len(text))):
            faults.append((match.start("found"), reason))
    return faults


def _fault(match: re.Match[str], *, at_end: bool) -> str:
    if match["constant"]:
        return f"{match['found']} is no number in JSON"
    if match["line"] and at_end:
        return "the last // comment has no line end; add one"
    if match["open"]:
        return "the /* comment has no end"
    return "" if _is_utf8(match["found"]) else "the comment is not UTF-8"


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("iso-8859-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _blanked(match: re.Match[str]) -> str:
    kept, blank = match.groups()
    if not blank:
        return match[0]
    return kept + (_INK.sub(" ", blank) if "\n" in blank else " " * len(blank))
