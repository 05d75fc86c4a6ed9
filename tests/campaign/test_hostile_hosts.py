"""Hostile entries among good ones: a real Traefik serves the good ones as they are meant."""

from __future__ import annotations

import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from local import until
from support.campaigns import FULL, rounds
from support.traefik import Traefik

from ctsdns_traefik.core.dynamic.document import Format
from ctsdns_traefik.core.dynamic.rendering import Rendering, render

ENTRIES = rounds(1_500, 10_000)
SECRET = "HOSTILE_HOSTS_SECRET"
"""A variable in the environment of Traefik."""


class Meant(NamedTuple):
    """What a router is to do, whatever its name."""

    kind: str
    rule: str
    entrypoint: str
    passthrough: bool | None
    """``None`` for HTTP."""
    backend: str


class Hosts:
    """A hosts map, and what is meant by each part of it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.map: dict[str, object] = {}
        self.meant: list[Meant] = []
        self.refused: set[str] = set()

    def shuffled(self) -> dict[str, object]:
        """Return the hosts map in a random order."""
        pairs = list(self.map.items())
        self.rng.shuffle(pairs)
        return dict(pairs)


ENTRYPOINTS = ("web", "websecure", "tcp")
HTTP_SCHEMES = ("http", "https")
TCP_SCHEMES = ("tls", "ssh", "mysql", "redis+tcp.v2", "on", "null", "0x1f", "1e5", "a-1", "x" * 63)

LABELS = {
    **{label: label for label in ("app", "on", "null", "0x1f", "1e5", "1", "-", "a" * 63, "env")},
    "B\u00fccher": "xn--bcher-kva",
    "\u043f\u0440\u0438\u043c\u0435\u0440": "xn--e1afmkfd",
    "\u4f8b\u3048": "xn--r8jz45g",
    "\u0430pp": "xn--pp-6kc",
    "stra\u00dfe": "xn--strae-oqa",
}
"""First labels of domains, with what a rule holds of them, A-labels (IDNA 2008) if need be."""

ADDRESSES = {
    "100.64.0.1": "100.64.0.1",
    "10.1.2.3/32": "10.1.2.3",
    "192.168.255.254": "192.168.255.254",
    "fd7a:115c:a1e0::1": "[fd7a:115c:a1e0::1]",
    "FD7A:115C:A1E0:0:0:0:0:2/128": "[fd7a:115c:a1e0::2]",
    "::ffff:100.64.0.9": "100.64.0.9",
    "::1": "[::1]",
}
"""Addresses, with what a URL holds of them."""

POISONS = (
    *(
        "`",
        "a`) || Host(`b",
        "{{",
        "}}",
        '{{env "PATH"}}',
        f'{{{{ env "{SECRET}" }}}}',
        "{%",
        "${A}",
    ),
    *('"', "'", "\\", "\n", "\r\n", "\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff"),
    *("\u202e", "\ud800", "\udfff\ud800", "\U0001f600", "\u212a", "\uff41", "\u0661", "\uff3f"),
    *("~", "!!x", "*a", "&a", "- ", " ", "\t", "# ", ": ", "? ", "| ", "> ", "%", "@", "[", "{"),
    *("\n---\n", "\n...\n", "<<", ",", "=", "/", "\u3000", "\u200d", "x" * 10_000, "{{" * 5_000),
)
"""Texts that no part of an entry may hold."""

BAD_ADDRESSES: tuple[object, ...] = (
    *(None, True, False, 0, 1_681_915_905, 1e5, [], ["100.64.0.1"], {}, {"a": "100.64.0.1"}),
    *("", " 100.64.0.1", "100.64.0.1\n", "on", "1_000", "0x1F", "~", "host.example", "*a", "&a"),
    *("0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1%eth0", "10.0.0.0/8", "::/0", "1.2.3"),
    *("100.64.0.1:80", "[::1]", "100.64.0.01", "\uff11.2.3.4", "http://100.64.0.1", "1"),
    *("::ffff:0.0.0.0", f'{{{{env "{SECRET}"}}}}', "100.64.0.1`", "\ud800", "1" * 10_000),
)

MALFORMED: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("", "_", "-a", "\u0430", "a" * 256)),
    (1, ("", "+a", "\u212a", "x" * 64)),
    (2, ("", "0", "65536", "1_000", "0x1F", "-1", "+80", "8 0", "\u0668\u0660", "9" * 10_000)),
    (3, ("_TCP", "_sctp", "_", "_on", "_{{", "tcp")),
    (4, ("", ".", "a..de", ".a.de", "*", "*.*.de", "a.*.de", "**.de", "a_b.de", "a." * 130)),
)
"""For each part of a name, texts of a wrong form."""

FOREIGN = [chr(code) for code in (*range(0x80), *range(0x370, 0x500), *range(0xD7F0, 0xE010))]
"""Control characters, ASCII, look-alikes and lone surrogates."""


def add_good(hosts: Hosts, number: int) -> None:
    """Add an entry of any kind that is well formed."""
    label, domain = _domain(hosts.rng, number)
    entrypoint = hosts.rng.choice(ENTRYPOINTS)
    _add(hosts, entrypoint, hosts.rng.choice(HTTP_SCHEMES + TCP_SCHEMES), label, domain)


def add_clash(hosts: Hosts, number: int) -> None:
    """Add entries whose routers or services would have one name, on one or more entrypoints."""
    scheme = hosts.rng.choice(HTTP_SCHEMES + TCP_SCHEMES)
    for domain in (f"a.b{number}.clash.de", f"a-b{number}.clash.de", f"a-b{number}-clash.de"):
        for entrypoint in hosts.rng.sample(ENTRYPOINTS, hosts.rng.randint(1, 3)):
            _add(hosts, entrypoint, scheme, domain, domain)


def add_wildcard_and_letter(hosts: Hosts, number: int) -> None:
    """Add a wildcard and a name of one letter beside it."""
    entrypoint = hosts.rng.choice(ENTRYPOINTS)
    for first in ("*", "x", "wildcard"):
        domain = f"{first}.t{number}.wild.de"
        _add(hosts, entrypoint, "http", domain, domain)


def add_conflict(hosts: Hosts, number: int) -> None:
    """Add entries that Traefik could not distinguish; the first by name is the one to serve."""
    entrypoint, domain = hosts.rng.choice(ENTRYPOINTS), f"t{number}.conflict.de"
    first, second = hosts.rng.choice((("http", "https"), ("ssh", "tls"), ("https", "tls")))
    names = [_add(hosts, entrypoint, scheme, domain, domain) for scheme in (first, second)]
    hosts.meant.pop(-2 if names[1] < names[0] else -1)
    hosts.refused.add(max(names))


def add_poisoned(hosts: Hosts, _number: int) -> None:
    """Add an entry with a hostile text somewhere in one of its parts."""
    rng = hosts.rng
    parts = ["web", "http", "80", "_tcp", "app.example.de"]
    at = rng.randrange(len(parts))
    cut = rng.randint(0, len(parts[at]))
    poison = rng.choice(POISONS)
    parts[at] = parts[at][:cut] + poison + parts[at][cut:]
    _refuse(hosts, _name(*parts), rng.choice(list(ADDRESSES)))


def add_malformed(hosts: Hosts, number: int) -> None:
    """Add an entry with one part that has a wrong form."""
    parts = ["web", "http", "80", "_tcp", f"t{number}.de"]
    at, texts = hosts.rng.choice(MALFORMED)
    parts[at] = hosts.rng.choice(texts)
    _refuse(hosts, _name(*parts), "100.64.0.1")


def add_bad_address(hosts: Hosts, number: int) -> None:
    """Add a good name with what is no machine's address, or no text."""
    name = _name("web", hosts.rng.choice(("http", "ssh")), "80", "_tcp", f"t{number}.address.de")
    _refuse(hosts, name, hosts.rng.choice(BAD_ADDRESSES))


def add_noise(hosts: Hosts, _number: int) -> None:
    """Add a name of random characters or of hostile texts, an ordinary alias or no name at all."""
    rng = hosts.rng
    pool = rng.choice((FOREIGN, POISONS, ("_", ".", "-", "tcp", "http", "80", "*")))
    name = "".join(rng.choice(pool) for _ in range(rng.randint(0, 12)))
    _refuse(hosts, rng.choice(("", "_", "_web_http_80")) + name, rng.choice(BAD_ADDRESSES))


KINDS = (
    *(add_good, add_good, add_good, add_clash, add_wildcard_and_letter, add_conflict),
    *(add_poisoned, add_poisoned, add_poisoned, add_malformed, add_bad_address, add_noise),
)


def _domain(rng: random.Random, number: int) -> tuple[str, str]:
    """Return a domain as it is written, and as it stands in a rule."""
    first = rng.choice(list(LABELS))
    star, rest = rng.choice(("", "*.")), f"t{number}.Example.de"
    plain = f"{star}{LABELS[first]}.{rest}".lower()
    return f"{star}{first}.{rest}{rng.choice(('', '.'))}", plain


def _add(hosts: Hosts, entrypoint: str, scheme: str, written: str, domain: str) -> str:
    rng = hosts.rng
    port, address = rng.choice((1, 80, 443, 65535)), rng.choice(list(ADDRESSES))
    spelt = rng.choice((scheme, scheme.upper()))
    name = _name(entrypoint, spelt, rng.choice(("", "0")) + str(port), "_tcp", written)
    assert name not in hosts.map
    hosts.map[name] = address
    backend = f"{ADDRESSES[address]}:{port}"
    if scheme in HTTP_SCHEMES:
        meant = Meant("http", f"Host(`{domain}`)", entrypoint, None, f"{scheme}://{backend}")
    else:
        meant = Meant("tcp", f"HostSNI(`{domain}`)", entrypoint, scheme == "tls", backend)
    hosts.meant.append(meant)
    return name


def _refuse(hosts: Hosts, name: str, address: object) -> None:
    """Add an entry that gets no route, unless one has its name already."""
    if name not in hosts.map:
        hosts.map[name] = address
        if name.startswith("_"):
            hosts.refused.add(name)


def _name(entrypoint: str, scheme: str, port: str, transport: str, domain: str) -> str:
    return f"_{entrypoint}_{scheme}_{port}.{transport}.{domain}"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a secret into the environment that Traefik is going to have."""
    value = f"secret-{secrets.token_hex(16)}"
    monkeypatch.setenv(SECRET, value)
    return value


@pytest.fixture(scope="module")
def seed() -> int:
    """Return what all choices follow from: the variable's, one for every day, or any in full."""
    return int(os.environ.get("CTSDNS_CAMPAIGN_SEED") or (secrets.randbits(32) if FULL else 1))


@pytest.fixture
def hosts(seed: int) -> Hosts:
    """Make up a hosts map; say from which seed, so that it can be had again."""
    print(f"CTSDNS_CAMPAIGN_SEED={seed}")
    hosts = Hosts(random.Random(seed))
    number = 0
    while len(hosts.map) < ENTRIES:
        hosts.rng.choice(KINDS)(hosts, number)
        number += 1
    return hosts


class Served:
    """What Traefik has made of its dynamic file."""

    def __init__(self, traefik: Traefik) -> None:
        self._traefik = traefik
        self.routers = {kind: self._named(f"{kind}/routers") for kind in ("http", "tcp")}
        self.services = {kind: self._named(f"{kind}/services") for kind in ("http", "tcp")}

    def __len__(self) -> int:
        return sum(len(routers) for routers in self.routers.values())

    @property
    def not_enabled(self) -> list[dict[str, Any]]:
        """The routers and services with anything wrong."""
        parts = [*self.routers.values(), *self.services.values()]
        return [each for named in parts for each in named.values() if each["status"] != "enabled"]

    def does(self) -> Iterator[Meant]:
        """Yield what each router does."""
        for kind, routers in self.routers.items():
            for router in routers.values():
                service = self.services[kind][router["service"].removesuffix("@file")]
                (server,) = service["loadBalancer"]["servers"]
                (entrypoint,) = router["entryPoints"]
                passthrough = router["tls"]["passthrough"] if kind == "tcp" else None
                backend = server["url" if kind == "http" else "address"]
                yield Meant(kind, router["rule"], entrypoint, passthrough, backend)

    def _named(self, what: str) -> dict[str, dict[str, Any]]:
        answer = self._traefik.get("traefik", "localhost", f"/api/{what}?per_page=100000")
        assert answer.status == 200, what
        return {
            each["name"].removesuffix("@file"): each
            for each in json.loads(answer.body)
            if each["provider"] == "file"
        }


def served_of(traefik: Traefik, routers: int) -> Served:
    """Wait until Traefik has so many routers, or something to complain about."""

    def loaded() -> Served | None:
        served = Served(traefik)
        return served if len(served) == routers or traefik.errors else None

    return until(loaded, f"Traefik did not load {routers} routers") or Served(traefik)


@pytest.mark.parametrize("form", get_args(Format))
def test_hostile_entries_are_refused_and_cost_no_other(form: Format, hosts: Hosts) -> None:
    """Each entry is served or reported as it was made up to be, whatever stands beside it."""
    rendering = render(hosts.shuffled(), form)
    assert {problem.entry for problem in rendering.diagnostics} == hosts.refused
    assert len(rendering.routes) == len(hosts.meant)


@pytest.mark.parametrize("form", get_args(Format))
def test_traefik_serves_the_good_entries_and_nothing_else(
    form: Format, hosts: Hosts, tmp_path: Path, secret: str
) -> None:
    """Traefik takes the whole file, does what was meant, and shows nothing of its environment."""
    rendering = render(hosts.shuffled(), form)
    dynamic = tmp_path / "dynamic.yml"
    dynamic.write_text(rendering.text, encoding="ascii")
    with Traefik(tmp_path, dynamic) as traefik:
        served = served_of(traefik, len(hosts.meant))
        everything = traefik.get("traefik", "localhost", "/api/rawdata").body
    assert traefik.errors == []
    assert served.not_enabled == []
    assert difference(served.does(), hosts.meant) == ([], [])
    assert names_of(served) == names_in(rendering)
    everything += (tmp_path / "traefik.log").read_text()
    assert [text for text in (secret, os.environ["PATH"]) if text in everything] == []


def test_traefik_would_show_its_environment(tmp_path: Path, secret: str) -> None:
    """A template action that gets into the file shows the secret, so that its absence tells."""
    dynamic = tmp_path / "dynamic.yml"
    backend = Meant("http", f"Host(`{secret}`)", "web", None, "http://127.0.0.1:1")
    hosts = {"_web_http_1._tcp.leaky": "127.0.0.1"}
    text = render(hosts).text.replace("`leaky`", f'`{{{{ env "{SECRET}" }}}}`')
    dynamic.write_text(text.replace(r"\"", '"'), encoding="ascii")
    with Traefik(tmp_path, dynamic) as traefik:
        assert list(served_of(traefik, 1).does()) == [backend]
        assert secret in traefik.get("traefik", "localhost", "/api/rawdata").body


def difference(found: Iterator[Meant], meant: list[Meant]) -> tuple[list[Meant], list[Meant]]:
    """Return what is too much and what is missing."""
    there, wanted = Counter(found), Counter(meant)
    return list((there - wanted).elements()), list((wanted - there).elements())


def names_of(served: Served) -> dict[str, tuple[set[str], set[str]]]:
    """Return the names of routers and services by kind."""
    return {
        kind: (set(served.routers[kind]), set(served.services[kind])) for kind in served.routers
    }


def names_in(rendering: Rendering) -> dict[str, tuple[set[str], set[str]]]:
    """Return the names of routers and services that a document has, by kind."""
    return {
        kind: (set(parts["routers"]), set(parts["services"]))
        for kind, parts in rendering.document.items()
    }
