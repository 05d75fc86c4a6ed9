"""A real Redis on a port of 127.0.0.1, and real Traefiks that read from it."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from local import free_ports, running, until
from ruamel.yaml import YAML
from support.commands import PATIENT, Watch
from support.traefik import Traefik

from ctsdns_traefik.core.dynamic.key_values import to_key_values
from ctsdns_traefik.core.dynamic.rendering import render

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")

ANCHOR_KEY = "traefik/http/middlewares/ctsdns-traefik-anchor/addPrefix/prefix"
HASH = "traefik:ctsdns-traefik"
OWNED = "traefik:ctsdns-traefik:keys"
LEASE = "ctsdns-traefik.lease.traefik"


def keys_of(entries: dict[str, object]) -> dict[str, str]:
    """Return the keys that are to stand for some entries."""
    pairs = to_key_values(render(entries).document)
    return {f"traefik/{path}": value for path, value in pairs.items()}


class Server:
    """One redis-server, which can die and come back on its port; a context manager to end it."""

    def __init__(
        self, folder: Path, *options: str, notify: str = "Kh", program: str | Path = "redis-server"
    ) -> None:
        self.folder = folder
        self._program = str(program)
        self.port = free_ports(1)[0]
        self.host = "127.0.0.1"
        self._options = ["--notify-keyspace-events", notify, *options]
        self._stack = ExitStack()
        self.login: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *more: str) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--port", str(self.port), "--bind", self.host]
        command += ["--dir", str(self.folder), "--save", "", *self._options, *more]
        log = self.folder / "redis.log"
        self.process = self._stack.enter_context(running(command, log))
        until(self.answers, "no Redis")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._stack.close()

    def answers(self) -> bool:
        """Return whether it takes commands."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @contextmanager
    def client(self, **options: Any) -> Iterator[Any]:
        """Give a client, closed at the end."""
        settings = {"decode_responses": True, "socket_timeout": 30, **self.login, **options}
        client = redis.Redis(host=self.host, port=self.port, **settings)
        with client:
            yield client

    @property
    def url(self) -> str:
        """What to give to ``--output``."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def shown(self) -> str:
        """What the log calls it."""
        return f"{self.url}?rootKey=traefik"

    def keys(self, pattern: str = "traefik/*") -> dict[str, str]:
        """Return what stands at the keys of a pattern."""
        with self.client() as client:
            names = sorted(client.keys(pattern))
            values = client.mget(names) if names else []
        return dict(zip(names, values, strict=True))

    def routes(self) -> set[str]:
        """Return the routers that stand below the root."""
        return {key.split("/")[3] for key in self.keys() if "/routers/" in key}

    def run(self, *command: str | float) -> Any:
        """Run one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def writes(self) -> int:
        """Return how many commands that write it has run since it started."""
        with self.client() as client:
            stats = client.info("commandstats")
        names = ("set", "mset", "del", "hset", "hdel", "sadd", "srem", "exec")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


class StoreTraefik(Traefik):
    """Traefik with its Redis provider in the place of the file's."""

    def __init__(self, folder: Path, server: Server, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, folder / "unused.yml")
        self._provider = {"endpoints": [f"{server.host}:{server.port}"], "rootKey": "traefik"}
        self._provider |= options

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = super()._write_static(path)
        yaml = YAML()
        static = yaml.load(path)
        del static["providers"]["file"]
        static["providers"]["redis"] = self._provider
        yaml.dump(static, path)
        return ports

    def routers(self) -> dict[str, dict[str, Any]]:
        """Return the routers from the store by name, as Traefik's API shows them."""
        found = {}
        for kind in ("http", "tcp", "udp"):
            answer = self.get("traefik", "localhost", f"/api/{kind}/routers?per_page=100000")
            for router in json.loads(answer.body):
                if router["provider"] == "redis":
                    found[router["name"].removesuffix("@redis")] = router
        return found


PATIENT_WITH_STORE = PATIENT.replace(
    "sys.exit",
    "from ctsdns_traefik.output.redis import publisher\npublisher._RELEASE_TIMEOUT = 3.0\nsys.exit",
)
"""The same for a store, to which it frees its lease at the end."""


class StoreWatch(Watch):
    """``ctsdns-traefik watch`` that publishes to a store."""

    def __init__(
        self, endpoint: str, url: str, folder: Path, *arguments: str, **options: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        options.setdefault("program", (sys.executable, "-c", PATIENT_WITH_STORE))
        # Of an option that is given twice the last counts.
        super().__init__(endpoint, folder / "watch", "-o", url, *arguments, **options)
