"""Fuzz the readers of what comes from outside, one target at a time, guided by coverage.

    python tests/campaign/fuzz/readers.py TARGET [OPTION OF LIBFUZZER]... [FOLDER OF INPUTS]...

A target raises for whatever breaks one of its promises, and libFuzzer then keeps the input.
"""

from __future__ import annotations

import ipaddress
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

FOLLOWED = ["ctsdns_traefik", "sseclient"]
"""Packages whose ways through the code guide the search."""
if "document" in sys.argv[1:2]:
    FOLLOWED.append("ruamel.yaml")  # it takes seconds to prepare, and only this one reads YAML

with atheris.instrument_imports(include=FOLLOWED):
    import ruamel.yaml  # noqa: F401  (else imported later, and then not followed)
    import sseclient  # noqa: F401  (likewise)

    from ctsdns_traefik.core.checks.diagnostics import locate_in_policy
    from ctsdns_traefik.core.dynamic.diff import compare, outline
    from ctsdns_traefik.core.dynamic.document import MAPS, Document, Format, from_text
    from ctsdns_traefik.core.dynamic.rendering import Rendering, render
    from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host
    from ctsdns_traefik.core.policy import hujson
    from ctsdns_traefik.core.policy.locations import SourceText
    from ctsdns_traefik.core.policy.reader import SnapshotError, hosts_of_policy
    from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot, hosts_of_text
    from ctsdns_traefik.core.problems import LocatedError
    from ctsdns_traefik.source.stream import Event, StreamError, read_events

CUT = b"\xf8"
"""Where an input for ``stream`` is cut into pieces; no UTF-8 text holds it."""

RECORD, UNIT = "\x1e", "\x1f"
"""What ends an entry, and what stands between its name and its address."""

LARGEST = (24, 4096)
"""How large an event may be: one may well be larger than the first, none than the last."""

DOMAIN = re.compile(r"(?:\*\.)?[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*")
RULE = re.compile(r"(Host|HostSNI)\(`([a-z0-9*.-]+)`\)")
PLAIN_NAME = re.compile(r"(?:router|service)-[A-Za-z0-9_+.-]+")


def stream(data: bytes) -> None:
    """Hold that events are those of the standard, however the stream is cut, or StreamError."""
    pieces = data.split(CUT)
    whole = b"".join(pieces)
    single = [whole[at : at + 1] for at in range(len(whole))]
    for largest in LARGEST:
        outcome = _events([whole], largest)
        require(_events(pieces, largest) == outcome, "cut into pieces", largest, outcome)
        require(_events(single, largest) == outcome, "cut into single bytes", largest, outcome)
    expected = list(_standard_events(whole))
    require(outcome == (expected, False), "as the standard says", expected, outcome)


def snapshot(data: bytes) -> None:
    """Hold that any bytes are hosts to render, or SnapshotError, and that a file may hold them."""
    sent = _hosts(hosts_of_snapshot, data)
    filed = _hosts(hosts_of_text, data)
    if filed is not None:
        locate_in_policy([], SourceText("a file", data))
    for hosts in (sent, filed):
        if hosts is not None:
            require(all(isinstance(name, str) for name in hosts), "texts for names", hosts)
            _require_sound(hosts)
    if sent is not None:
        same = filed is not None and render(filed) == render(sent)
        require(same, "a file is read as an event", sent, filed)


def policy(data: bytes) -> None:
    """Hold that HuJSON becomes the JSON that it stands for, in place, and JSON stays as it is."""
    text = data.decode("utf-8", "surrogateescape")
    plain = hujson.to_json(text)
    require(len(plain) == len(text), "the same length", plain)
    changed = [(old, new) for old, new in zip(text, plain, strict=True) if old != new]
    require(all(new == " " and old != "\n" for old, new in changed), "only blanks", plain)
    if _is_json(text):
        require(plain == text, "JSON as it is", plain)
    stripped = _without_trailing_commas(_without_comments(text))
    meant = stripped is not None and _is_json(stripped)
    require(_is_json(plain) == meant, "as strict as HuJSON", plain, stripped)
    if meant:
        require(plain == stripped, "what is meant", plain, stripped)
    try:
        hosts_of_policy(data)
    except LocatedError as why:
        require(str(why).isprintable(), "a reason in one line", str(why))
    else:
        require(meant, "read only if it is HuJSON", plain)


def grammar(data: bytes) -> None:
    """Hold that an entry is read, refused with a place in it, or ignored, and nothing unsafe."""
    name, unit, rest = data.decode("utf-8", "surrogateescape").partition(UNIT)
    address = rest if unit else None
    read = parse_host(name, address)
    require((read is None) == (not name.startswith("_")), "ignored without a _", read)
    if isinstance(read, HostEntry):
        require((read.address == "") == (address is None), "an address if one is given", read)
        again = f"_{read.entrypoint}_{read.scheme}_{read.port}._{read.transport}.{read.domain}"
        same = HostEntry(again, *read[1:])
        require(parse_host(again, read.address or None) == same, "the same again", read)
        before = rf"_{read.entrypoint}_(?i:{re.escape(read.scheme)})_0*{read.port}"
        shape = rf"{before}\._{read.transport}\.(.+)"
        parts = re.fullmatch(shape, name, re.ASCII | re.DOTALL)
        require(parts is not None, "the parts of the name", read)
        if parts and parts[1].isascii():
            require(parts[1].lower().removesuffix(".") == read.domain, "the domain", read)
        _require_plain(read)
    for fault in () if read is None or isinstance(read, HostEntry) else read:
        start, end = fault.span
        require(0 <= start <= end <= len(fault.source), "a span in the source", fault)
        require(str(fault).isprintable(), "one line", fault)


def core(data: bytes) -> None:
    """Hold that any hosts map becomes text that is safe, complete and read back as it is meant."""
    hosts: dict[str, object] = {}
    for record in data.decode("utf-8", "surrogateescape").split(RECORD):
        name, _, address = record.partition(UNIT)
        hosts[name] = _value(address)
    rendering = _require_sound(hosts)
    other = render(dict(reversed(hosts.items())))
    require(other == rendering, "the order makes no difference", other)


def document(data: bytes) -> None:
    """Hold that any file is some document, without an error or a warning."""
    with warnings.catch_warnings(record=True) as logged:
        warnings.simplefilter("always")
        read = from_text(data.decode("utf-8", "surrogateescape"))
    require(not logged, "no warning", [str(warning.message) for warning in logged])
    require(set(read) <= set(MAPS), "known sections", read)
    for section, parts in read.items():
        require(set(parts) <= set(MAPS[section]), "known parts", read)
        for named in parts.values():
            require(all(isinstance(name, str) for name in named), "texts for names", read)
            require(all(isinstance(each, dict) for each in named.values()), "maps", read)
    routers = sum(len(parts.get("routers", {})) for parts in read.values())
    require(len(compare(outline(read), {}).removed) == routers, "comparable", read)


TARGETS: dict[str, tuple[Callable[[bytes], None], int]] = {
    "stream": (stream, 512),
    "snapshot": (snapshot, 4096),
    "policy": (policy, 1024),
    "grammar": (grammar, 512),
    "core": (core, 1024),
    "document": (document, 1024),
}
"""What to run, and how many bytes to feed it at most."""


def require(holds: bool, promise: str, *shown: object) -> None:
    """Raise if a promise is broken."""
    if not holds:
        raise AssertionError(f"not {promise}: " + " | ".join(map(ascii, shown)))


def _events(pieces: list[bytes], largest: int) -> tuple[list[Event], bool]:
    """Return the events of a stream, and whether one too large has ended it."""
    events: list[Event] = []
    try:
        for event in read_events(pieces, largest):
            events.append(event)  # noqa: PERF402  (those before an error count)
    except StreamError:
        return events, True
    return events, False


@atheris.instrument_func  # type: ignore[untyped-decorator,unused-ignore]
def _standard_events(data: bytes) -> Iterator[Event]:
    """Read a stream line by line, as the standard describes it (WHATWG HTML, section 9.2.6)."""
    lines = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))
    name, retry = "", None
    parts: list[bytes] = []
    for line in lines[:-1]:  # what no line end follows is no line
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if b"\n".join(parts) or retry is not None:
                yield Event(name or "message", b"\n".join(parts), retry)
            name, parts, retry = "", [], None
        elif field == b"event":
            name = value.decode("iso-8859-1")
        elif field == b"data":
            parts.append(value)
        elif field == b"retry" and re.fullmatch(rb"[0-9]+", value):
            retry = int(value[:12]) / 1000


def _hosts(
    read: Callable[[bytes], Mapping[str, object]], data: bytes
) -> Mapping[str, object] | None:
    try:
        hosts = read(data)
    except SnapshotError as why:
        require(str(why).isprintable(), "a reason in one line", str(why))
        return None
    require(isinstance(hosts, dict), "a map", hosts)
    return hosts


def _require_sound(hosts: Mapping[str, object]) -> Rendering:
    """Render in each format, and see that each entry is served safely or reported."""
    for form in reversed(get_args(Format)):
        rendering = render(hosts, form)
        require(rendering.text.isascii(), "ASCII", rendering.text)
        require(from_text(rendering.text) == rendering.document, "read back", rendering.text)
    named = [route.entry.name for route in rendering.routes]
    named += {problem.entry for problem in rendering.diagnostics}  # one may have several faults
    service_entries = [name for name in hosts if name.startswith("_")]
    require(sorted(named) == sorted(service_entries), "served or reported", named)
    for route in rendering.routes:
        rule = RULE.fullmatch(route.rule)
        kind = "Host" if route.entry.is_http else "HostSNI"
        if route.entry.transport == "udp":
            safe = not route.rule
        else:
            safe = rule is not None and rule.groups() == (kind, route.entry.domain)
        require(safe, "a rule of one domain", route)
        _require_plain(route.entry)
    _require_plain_document(rendering.document, len(rendering.routes))
    return rendering


def _require_plain_document(document: Document, routes: int) -> None:
    rules = []
    for parts in document.values():
        for name in [*parts["routers"], *parts["services"]]:
            require(PLAIN_NAME.fullmatch(name) is not None, "a plain name", name)
            require(len(name) <= 1024, "a name that a YAML key may be", name)
        rules += [router.get("rule") for router in parts["routers"].values()]
    require(len(rules) == routes, "a router for each route", document)
    udp = len(document.get("udp", {}).get("routers", ()))
    require(rules.count(None) == udp, "a rule for each but those of UDP", document)
    rules = [rule for rule in rules if rule is not None]
    require(all(RULE.fullmatch(rule) for rule in rules), "rules of one domain", rules)


def _require_plain(entry: HostEntry) -> None:
    require(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", entry.entrypoint) is not None, "safe", entry)
    require(re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", entry.scheme) is not None, "safe", entry)
    require(1 <= entry.port <= 65535, "a port", entry)
    domain = DOMAIN.fullmatch(entry.domain) is not None and len(entry.domain) <= 253
    require(domain or (entry.domain == "*" and not entry.is_http), "a domain", entry)
    if entry.address:
        address = ipaddress.ip_address(entry.address)
        require(str(address) == entry.address, "an address in short", entry)
        require(not (address.is_multicast or address.is_unspecified), "one machine", entry)


def _value(text: str) -> object:
    """Read what stands for an address: JSON that is no text, or text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@atheris.instrument_func  # type: ignore[untyped-decorator,unused-ignore]
def _without_comments(text: str) -> str | None:
    """Blank out comments, one character after the other; ``None`` if one has no end."""
    kept, at, inside = [], 0, False
    while at < len(text):
        sign = text[at : at + 2]
        if inside:
            step = 2 if text[at] == "\\" else 1
            inside = text[at] != '"'
            kept.append(text[at : at + step])
        elif sign in ("//", "/*"):
            end = text.find("\n", at) if sign == "//" else text.find("*/", at + 2) + 2
            if sign == "/*" and end < at + 4:
                return None
            end = len(text) if end < 0 else end
            step = end - at
            kept.append("".join("\n" if char == "\n" else " " for char in text[at:end]))
        else:
            step = 1
            inside = text[at] == '"'
            kept.append(text[at])
        at += step
    return "".join(kept)


@atheris.instrument_func  # type: ignore[untyped-decorator,unused-ignore]
def _without_trailing_commas(text: str | None) -> str | None:
    """Blank out each comma between a value and the end of its list or object."""
    if text is None:
        return None
    signs = [  # each sign outside of texts, and where it stands; a text is its first quote
        (match.start(), match[0][0])
        for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[^ \t\r\n]', text, re.DOTALL)
    ]
    trailing = {
        at
        for (_, before), (at, comma), (_, after) in zip(signs, signs[1:], signs[2:], strict=False)
        if comma == "," and before not in "[{," and after in "]}"
    }
    return "".join(" " if at in trailing else char for at, char in enumerate(text))


def main() -> None:
    """Run a target with libFuzzer's options."""
    program, target, *options = sys.argv
    run, most = TARGETS[target]
    atheris.Setup([program, f"-max_len={most}", *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
