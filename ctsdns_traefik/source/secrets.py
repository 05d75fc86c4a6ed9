"""Keep what was sent as a secret out of messages: a server may repeat it in its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote

from ctsdns_traefik.core.text import printable

BLANK = "***"

_SHORTEST = 4
"""Characters of a secret at least; blanking less would leave no message readable."""
_SHORTEST_PART = 8
"""Those of a part of a header's value, and of a secret that is blanked within words, too."""
_VERDICTS = ("wrong", "expired", "invalid", "revoked")
"""Words of messages about credentials, tried as one: without them no reader knows what is meant."""
_LONGEST_CUT = 300
_MOST = 256
_CUT = "..."
_HARMLESS = ("accept", "accept-encoding", "accept-language", "cache-control", "user-agent")
_PUBLIC = ("client_id",)


class SentSecrets:
    """The secrets that were last sent to one server; its text and repr hold none."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}

    def add_header(self, name: str, value: str) -> None:
        """Note a header: its value, and the parts of that, what follows ``Bearer`` for one."""
        if name.lower() not in _HARMLESS:
            parts = re.split(r"[\s;,]+", value)
            parts += [part.partition("=")[2] for part in parts]
            long = (part for part in parts if len(part) >= _SHORTEST_PART)
            self._add([value, value.partition(" ")[2], *long])

    def add_credentials(self, credentials: str) -> None:
        """Note ``user:password``, together and the password alone."""
        self._add([credentials, credentials.partition(":")[2]])

    def add_query(self, query: str) -> None:
        """Note the query of a URL, and its values."""
        self._add([query, *(value for _, value in parse_qsl(query))])

    def add_form(self, form: Iterable[tuple[str, str]]) -> None:
        """Note the fields of a form."""
        self._add(value for name, value in form if name not in _PUBLIC)

    def blank(self, text: str) -> str:
        """Return text without these secrets, nor the start of one where the text was cut."""
        for form in sorted(set(self._forms()), key=len, reverse=True):
            if form[:_SHORTEST].lower() in text.lower():
                text = _blank_starts(_pattern(form).sub(BLANK, text), form)
        return text

    def _add(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) >= _SHORTEST and secret not in _VERDICTS:
                self._secrets.pop(secret, None)  # the latest stand last
                self._secrets[secret] = None
        for old in list(self._secrets)[:-_MOST]:
            del self._secrets[old]

    def _forms(self) -> Iterator[str]:
        """Yield the secrets as they were sent, as messages show them, and in URLs and JSON."""
        for secret in list(self._secrets):
            escaped = json.dumps(secret)[1:-1]
            yield from (secret, printable(secret), quote(secret, safe=""))
            yield from (escaped, escaped.replace("/", r"\/"))


def _pattern(secret: str) -> re.Pattern[str]:
    text = re.escape(secret)
    whole = len(secret) >= _SHORTEST_PART
    return re.compile(text if whole else rf"(?<!\w){text}(?!\w)", re.IGNORECASE)


def _blank_starts(text: str, secret: str) -> str:
    """Blank the starts of a secret that stand before ``...``, where a text was cut."""
    pieces = text.split(_CUT)
    return _CUT.join([*(_without_start(piece, secret) for piece in pieces[:-1]), pieces[-1]])


def _without_start(text: str, secret: str) -> str:
    for length in range(min(len(secret), len(text), _LONGEST_CUT), _SHORTEST - 1, -1):
        if text[-length:].lower() == secret[:length].lower():
            return text[:-length] + BLANK
    return text
