"""An entry in the policy becomes a live route in a real Traefik."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from local import until
from stand_in_worker import StandInWorker
from support.backends import http_backend
from support.commands import Watch
from support.traefik import Answer, Traefik, any_certificate


class Stage:
    """A worker that serves a policy, watch, and Traefik behind it."""

    def __init__(self, folder: Path, stack: ExitStack, *, chunked: bool = True) -> None:
        """Start all three with an empty policy."""
        self._policy = folder / "policy.hujson"
        self.set_hosts({})
        dynamic = folder / "dynamic.yml"
        worker = stack.enter_context(StandInWorker(self._policy, 0.1, chunked=chunked))
        self.watch = stack.enter_context(Watch(worker.endpoint, dynamic, "--no-removal-guard"))
        until(dynamic.exists, "watch did not create the file")
        self.traefik = stack.enter_context(Traefik(folder, dynamic))

    def set_hosts(self, hosts: dict[str, str]) -> None:
        """Edit the policy, in one step as an editor does."""
        new = self._policy.with_suffix(".new")
        new.write_text(f"// edited\n{json.dumps({'hosts': hosts}, indent=2)}")
        new.replace(self._policy)

    def until_answer(
        self, expected: Answer, entrypoint: str, host: str, *, tls: bool = False
    ) -> None:
        """Wait until a request gets an answer."""
        context = any_certificate() if tls else None
        until(
            lambda: self.traefik.get(entrypoint, host, tls=context) == expected,
            f"not {expected} for {host} but {self.traefik.get(entrypoint, host, tls=context)}",
            15,
        )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close whatever a test enters."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stage(tmp_path: Path, stack: ExitStack) -> Iterator[Stage]:
    """Give a running stage, and see that Traefik had nothing to complain about at the end."""
    stage = Stage(tmp_path, stack)
    yield stage
    assert stage.traefik.errors == []


def test_http_entry_on_web_is_served_in_plain_http(stage: Stage, stack: ExitStack) -> None:
    """An http entry on an entrypoint without TLS answers plain HTTP, not the redirect."""
    port = stack.enter_context(http_backend("app"))
    stage.set_hosts({f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"})
    stage.until_answer(Answer(200, "app"), "web", "app.example.com")
    assert stage.traefik.get("web", "other.example.com").status == 301
