"""A real Traefik that reads its dynamic configuration by HTTP."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from support.traefik import Traefik


class HttpTraefik(Traefik):
    """Traefik with the HTTP provider in place of the file provider, polling often."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        *,
        interval: str = "100ms",
        throttle: str = "50ms",
        **options: Any,
    ) -> None:
        super().__init__(folder, folder / "unused.yml")
        self._throttle = throttle
        self._provider = {"endpoint": endpoint, "pollInterval": interval, **options}

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = super()._write_static(path)
        yaml = YAML()
        static = yaml.load(path)
        static["providers"] = {"providersThrottleDuration": self._throttle, "http": self._provider}
        yaml.dump(static, path)
        return ports

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Its process."""
        return self._process

    def names(self) -> set[str]:
        """Return the names of the HTTP routers that came by HTTP."""
        answer = self.get("traefik", "localhost", "/api/http/routers?per_page=100000")
        return {
            router["name"].removesuffix("@http")
            for router in json.loads(answer.body or "[]")
            if router["provider"] == "http"
        }
