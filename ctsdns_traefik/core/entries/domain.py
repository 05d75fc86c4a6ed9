"""Read the domain of an entry: a host name or a wildcard.

Labels are 1 to 63 ASCII letters, digits and hyphens, 253 characters in all (RFC 1035, section
2.3.4); other scripts become A-labels (IDNA 2008, RFC 5891). No other character reaches a rule of
Traefik's, so that an entry cannot inject anything into one.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ctsdns_traefik.core.problems import DiagnosticError, Faults
from ctsdns_traefik.core.text import quoted, shown

LONGEST_DOMAIN = 253
LONGEST_LABEL = 63

_LABEL = re.compile(r"[a-z0-9-]{1,63}")
_DOMAIN = re.compile(rf"(?:\*\.)?(?:{_LABEL.pattern}\.)*{_LABEL.pattern}")


def read_domain(text: str, at: int) -> str:
    """Return a domain in lower case, as A-labels, without its trailing dot.

    ``at`` is the text's offset in the entry. Raise :class:`DiagnosticError` with the span of the
    label that is wrong.
    """
    domain = text.lower().removesuffix(".")
    if text.isascii() and len(domain) <= LONGEST_DOMAIN and _DOMAIN.fullmatch(domain):
        return domain
    return _read_labels(text.removesuffix("."), at)


def _read_labels(text: str, at: int) -> str:
    """Read label by label, which is slower: names in other scripts, and invalid ones."""
    if not text:
        _reject(text, at, "the domain is missing", "write it after the transport")
    if len(text) > LONGEST_DOMAIN:
        _reject(text, at, f"the domain is longer than {LONGEST_DOMAIN} characters", "shorten it")
    labels = text.split(".")
    read: list[str] = []
    start, faults = at, Faults()
    for label in labels:
        wildcard = label == "*" and start == at and len(labels) > 1
        with faults.noted():
            read.append(label if wildcard else _read_label(label, start))
        start += len(label) + 1
    if faults:
        raise faults.joined()
    domain = ".".join(read)
    if len(domain) > LONGEST_DOMAIN:
        message = f"the domain is longer than {LONGEST_DOMAIN} characters as A-labels"
        _reject(text, at, message, "shorten it")
    return domain


def _read_label(label: str, at: int) -> str:
    if not label:
        _reject(
            label,
            at,
            "the domain has an empty label",
            "write exactly one dot between labels, and none before the first",
        )
    if "*" in label:
        message = "a wildcard must be the whole first label, followed by a domain"
        _reject(label, at, message, "write it like *.example.com")
    if not label.isascii():
        return _to_a_label(label, at)
    if len(label) > LONGEST_LABEL:
        message = f"a label of the domain is longer than {LONGEST_LABEL} characters"
        _reject(label, at, message, "shorten it")
    if not _LABEL.fullmatch(label.lower()):
        message = f"{quoted(label)} is not a label of a domain"
        _reject(label, at, message, "use only letters, digits and hyphens between the dots")
    return label.lower()


def _to_a_label(label: str, at: int) -> str:
    """Convert a label in another script; one that maps to ASCII, such as full-width, is invalid."""
    import idna  # its tables are large, and such names are rare

    try:
        if any(char.lower().isascii() and not char.isascii() for char in label):
            raise idna.IDNAError("it only looks like ASCII")  # noqa: TRY301
        return idna.alabel(label.lower()).decode("ascii")
    except idna.IDNAError as why:
        message = f"{quoted(label)} is not an internationalised label: {shown(str(why))}"
        _reject(label, at, message, "write the name as it is registered, or its xn-- form")


def _reject(text: str, at: int, message: str, hint: str) -> NoReturn:
    raise DiagnosticError("bad-domain", message, hint, (at, at + len(text)))
