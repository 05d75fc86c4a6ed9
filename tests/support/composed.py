"""The compose examples: what their files say, and the real Traefik as they set it up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import find_traefik, free_ports
from ruamel.yaml import YAML
from support.traefik import Traefik

COMPOSE = Path(__file__).parent.parent.parent / "examples" / "compose"
TUNNEL = COMPOSE / "cloudflared"

CONFIG_FILE = "--configFile=/etc/traefik/traefik.yml"
TRUSTED, STRANGER = "127.0.0.2", "127.0.0.3"
"""Where the tunnel's requests and others come from: all of 127.0.0.0/8 is this machine's."""


def load(path: Path) -> dict[str, Any]:
    """Read a file of YAML."""
    read = YAML(typ="safe").load(path)
    assert isinstance(read, dict)
    return read


def services_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the services of the compose file in a folder."""
    services = load(folder / "compose.yml")["services"]
    assert isinstance(services, dict)
    return services


class ComposedTraefik(Traefik):
    """Traefik with the static configuration of an example, on free ports of 127.0.0.1.

    It watches a folder, as in its container, and trusts ``TRUSTED`` in place of whom the example
    trusts.
    """

    def __init__(self, folder: Path, example: Path) -> None:
        self.routes = folder / "routes"
        self.routes.mkdir()
        super().__init__(folder, self.routes / "dynamic.yml")
        self._example = example
        self.static = folder / "traefik.yml"

    def _write_static(self, path: Path) -> dict[str, int]:
        static = load(self._example / "traefik.yml")
        entrypoints: Mapping[str, dict[str, Any]] = static["entryPoints"]
        ports = dict(zip(entrypoints, free_ports(len(entrypoints)), strict=True))
        for name, entrypoint in entrypoints.items():
            entrypoint["address"] = f"127.0.0.1:{ports[name]}"
            if "forwardedHeaders" in entrypoint:
                entrypoint["forwardedHeaders"]["trustedIPs"] = [f"{TRUSTED}/32"]
        assert static["providers"]["file"]["directory"] == "/etc/traefik/routes"
        static["providers"]["file"]["directory"] = str(self.routes)
        YAML().dump(static, path)
        return ports

    def health_command(self) -> list[str]:
        """Return the example's health check of Traefik, with the files of this one."""
        kind, program, *arguments = services_of(self._example)["traefik"]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "traefik")
        assert CONFIG_FILE in arguments
        here = f"--configFile={self.static}"
        return [find_traefik(), *(here if each == CONFIG_FILE else each for each in arguments)]
