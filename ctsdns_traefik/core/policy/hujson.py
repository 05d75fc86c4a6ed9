"""HuJSON, the syntax of Tailscale policies, to JSON by blanking out comments and trailing commas.

HuJSON (JWCC) is JSON with ``//`` and ``/* */`` comments and a comma allowed after the last
element; see https://github.com/tailscale/hujson.
"""

from __future__ import annotations

import re
from json import JSONDecodeError

from ctsdns_traefik.core.policy.json_scanner import Member, members_of, with_decoded_name

# Each match starts where the one before ended, so that the time is linear: first everything that
# stays, matched possessively, then what is blanked out or rejected. An unterminated string or
# comment extends to the end of the text. Alternatives that repeat possessively are atomic, since
# Python before 3.11.5 loses matches otherwise (gh-106052).
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_SPACE = r"[ \t\r\n]*+"
_COMMENT = re.compile(
    rf'((?:(?>[^"/]++|{_STRING}|/(?![/*])))*+)(?:(?P<blank>//[^\n]*+|/\*.*?\*/)|/\*.*+)?',
    re.DOTALL,
)
_COMMA = re.compile(
    rf'((?:(?>[^",\[{{]++|{_STRING}|[\[{{,]{_SPACE},|[\[{{]|,(?!{_SPACE}[}}\]])))*+)'
    r"(?P<blank>,)?",
    re.DOTALL,
)
_MAY_BE_LAST = re.compile(rf",{_SPACE}[}}\]]")
"""A comma that is to be blanked out, unless it is in a string."""

_REJECTED = re.compile(
    rf'(?:(?>[^"/NI-]++|{_STRING}|/(?![/*])|N(?!aN)|I(?!nfinity)|-(?!Infinity)))*+'
    r"(?P<found>(?P<line>//[^\n]*+)|/\*.*?\*/|(?P<open>/\*.*+)|(?P<constant>NaN|-?Infinity))?",
    re.DOTALL,
)
_NOT_LINE_END = re.compile(r"[^\n]")
_CONSTANTS = ("NaN", "Infinity")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def to_json(text: str) -> str:
    """Blank out comments and trailing commas, keeping every other character at its offset.

    Invalid HuJSON, such as a comma after nothing or an unterminated comment, becomes invalid JSON.
    """
    if "//" in text or "/*" in text:
        text = _COMMENT.sub(_blanked, text)
    return _COMMA.sub(_blanked, text) if _MAY_BE_LAST.search(text) else text


def root_members(data: bytes) -> tuple[str, list[Member]]:
    """Return JSON or HuJSON as :func:`blank_out` does, with the members of its top-level object.

    Raise :class:`json.JSONDecodeError` for what is neither, :class:`TypeError` for another value.
    """
    text = data.decode("iso-8859-1")
    try:
        members = list(members_of(text))
    except (JSONDecodeError, TypeError):  # TypeError if a comment comes first
        text = blank_out(data)
        members = list(members_of(text))
    return text, [with_decoded_name(member, text) for member in members]


def blank_out(data: bytes) -> str:
    """Return HuJSON as JSON with one character per byte, at the same offsets, without a BOM.

    ISO 8859-1 maps each byte to one character, and JSON's own characters are ASCII.
    """
    mark = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    return to_json(" " * mark + data[mark:].decode("iso-8859-1"))


def may_have_constants(text: str) -> bool:
    """Return whether a text might hold ``NaN`` or ``Infinity``, which Python's reader accepts."""
    return any(constant in text for constant in _CONSTANTS)


def may_have_faults(text: str) -> bool:
    """Return false, fast, if :func:`find_faults` finds nothing that :func:`to_json` has hidden."""
    last_line = text[text.rfind("\n") + 1 :]
    mark = _BYTE_ORDER_MARK.decode("iso-8859-1")
    return (
        may_have_constants(text) or "//" in last_line or text.startswith(mark) or not _is_utf8(text)
    )


def find_faults(text: str) -> list[tuple[int, str]]:
    """Find what HuJSON forbids but :func:`to_json` or Python's JSON reader accepts.

    The text has one character per byte. Return offsets and reasons, in the order of the text.
    """
    mark = _BYTE_ORDER_MARK.decode("iso-8859-1")
    start = [(0, "it starts with a byte order mark; save it as UTF-8 without one")]
    faults = start if text.startswith(mark) else []
    for match in _REJECTED.finditer(text):
        if match["found"] and (reason := _fault(match, at_end=match.end() == len(text))):
            faults.append((match.start("found"), reason))
    return faults


def _fault(match: re.Match[str], *, at_end: bool) -> str:
    if match["constant"]:
        return f"{match['found']} is not a number in JSON"
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
    return kept + (_NOT_LINE_END.sub(" ", blank) if "\n" in blank else " " * len(blank))
