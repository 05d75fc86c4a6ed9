"""A real Traefik whose static configuration is the test's own, and what the checks say of it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from local import free_ports, until
from support.traefik import Traefik, any_certificate, traefik_release

from ctsdns_traefik.core.checks.entries import check
from ctsdns_traefik.core.dynamic.document import build_document, to_text
from ctsdns_traefik.core.dynamic.routes import Route, plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.static_config.configuration import read_static

Settings = Mapping[str, Any]


def routes_of(hosts: Mapping[str, str]) -> list[Route]:
    """Return the route that each entry would have without the others, conflict or not."""
    entries = read_hosts(hosts).entries
    return [route for entry in entries for route in plan_routes([entry]).routes]


class CheckedTraefik(Traefik):
    """Traefik with some settings and the routes of all entries, also those in conflict.

    Each entrypoint gets a port of 127.0.0.1; what the settings have as its address is put after it.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        hosts: Mapping[str, str],
        output: str = "dynamic.yml",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.output = folder / output
        self.output.parent.mkdir(exist_ok=True)
        self._settings, self._hosts, self._routes = settings, hosts, routes_of(hosts)
        self.output.write_text(to_text(build_document(self._routes)))
        super().__init__(folder, self.output)

    def _write_static(self, path: Path) -> dict[str, int]:
        entrypoints = {"traefik": {}, **self._settings.get("entryPoints", {})}
        ports = dict(zip(entrypoints, free_ports(len(entrypoints)), strict=True))
        static = {
            "api": {"insecure": True},
            "providers": {"file": {"filename": str(self.output)}},
            **self._settings,
            "entryPoints": {
                name: {**entrypoint, "address": address_of(ports[name], entrypoint)}
                for name, entrypoint in entrypoints.items()
            },
        }
        static["providers"] = {"providersThrottleDuration": "10ms", **static["providers"]}
        self._text = json.dumps(static, indent=2)
        path.write_text(self._text)
        return ports

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # with a certificate resolver it may take 10 s to end by itself
        super().__exit__()

    def until_routed(self) -> None:
        """Wait until Traefik has all routers, enabled or not."""
        until(lambda: len(self.routers()) == len(self._routes), "not all routers")

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the checks say of the entries, the settings and the dynamic file."""
        entries = read_hosts(self._hosts).entries
        return check(
            entries,
            read_static(self._text, "yaml"),
            output=str(self.output),
            traefik_version=traefik_release(),
        )

    @property
    def codes(self) -> list[str]:
        """The codes of these diagnostics."""
        return [each.code for each in self.diagnostics]

    def heard(
        self,
        entrypoint: str,
        name: str,
        source: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        wait: float = 30,
    ) -> bytes:
        """Connect to a name with TLS and wait for a banner; empty if there is none in a time."""
        context = tls or any_certificate()
        with suppress(OSError), self.connect_tls(entrypoint, name, context, source) as connection:
            connection.settimeout(wait)
            return connection.recv(4096)
        return b""


def address_of(port: int, entrypoint: Settings) -> str:
    """Return the address of an entrypoint, with the protocol that it may name."""
    return f"127.0.0.1:{port}{entrypoint.get('address', '')}"
