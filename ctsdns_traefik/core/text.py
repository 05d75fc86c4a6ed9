"""Make text from outside safe to show: one line, no control characters, a bounded length.

Everything quoted from outside passes through here, so that one log line stays one line.
"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_AT_MOST = 400
"""Characters of a name or a message that are shown, enough for the longest entry."""

_JSON_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def printable(text: str) -> str:
    """Return text with every non-printable character written as a Python escape.

    These are line ends, control characters, invisible marks and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def shown(text: str) -> str:
    """Return printable text, cut to :data:`SHOWN_AT_MOST` characters."""
    if len(text) > SHOWN_AT_MOST:
        text = text[: SHOWN_AT_MOST - 3] + "..."
    return printable(text)


def quoted(text: str) -> str:
    """Return text as :func:`shown` does, in double quotes."""
    return f'"{shown(text)}"'


def in_quotes(text: str) -> bool:
    """Return whether text carries its own quotes, as where no shell removes them."""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def in_quotes_error(what: str) -> str:
    """Return the message for a value, named by its variable, that is in quotes."""
    return f"the value of {what} is in quotes: write it without (docker's --env-file keeps them)"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return the end of a message: the name that is most similar, or all that are known."""
    import difflib

    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), names, n=1)
    if close:
        return f"; did you mean {shown(names[close[0]])}?"
    return f"; there is {shown(', '.join(names.values()))}" if names else "; there is none"


def json_type(value: object) -> str:
    """Return the type of a parsed JSON value, with its article."""
    return _JSON_TYPES.get(type(value), "text")


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
