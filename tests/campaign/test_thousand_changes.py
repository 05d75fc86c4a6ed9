"""Many changes in a row through one connection: each becomes live, and nothing else is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from campaign.live_stage import CONSTANT, LIVE, Stage
from support.backends import http_backend
from support.campaigns import rounds
from support.endpoints import snapshot
from support.progress import counted
from support.traefik import Answer

ROUNDS = rounds(60, 1000)
LOCAL = "127.0.0.1"
REDIRECT = 301
"""What Traefik answers for a name that has no route."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a stage of this test's own."""
    with Stage(tmp_path) as stage:
        yield stage


@pytest.fixture
def other_port() -> Iterator[int]:
    """Give the port of a second backend."""
    with ExitStack() as stack:
        yield stack.enter_context(http_backend("other"))


@pytest.mark.timeout(300 + 3 * ROUNDS)
def test_every_change_becomes_live(stage: Stage, other_port: int) -> None:
    """Routes that are added, led elsewhere and removed by turns each reach the file and Traefik."""
    turns = [(stage.port, LIVE.body), (other_port, "other"), (None, None)]
    with stage.case("changes") as case:
        for number in counted(range(ROUNDS)):
            name = f"change{number // 3}.example.com"
            port, answer = turns[number % 3]
            hosts: dict[str, object] = {f"_web_http_{port}._tcp.{name}": LOCAL} if port else {}
            case.upstream.publish(snapshot({stage.entry(CONSTANT): LOCAL} | hosts))
            service = f"service-{name.replace('.', '-')}-http-"
            ports = [str(port)] if port else []
            stage.watch.until(
                lambda service=service, ports=ports: (
                    set(re.findall(f"{service}([0-9]+)", case.content())) == set(ports)
                ),
                f"change {number} is not in the file",
            )
            stage.watch.until(
                lambda name=name, answer=answer: is_live(stage, name, answer),
                f"change {number} is not live",
            )
        assert case.logged == []
    assert len(stage.server.requests) == 1
    assert stage.client.polls > ROUNDS
    assert (stage.client.failures, stage.traefik.errors) == ([], []), stage.figures


def is_live(stage: Stage, name: str, body: str | None) -> bool:
    """Return whether Traefik answers with a text for a name, or has no route for it."""
    answer = stage.traefik.get("web", name)
    return answer.status == REDIRECT if body is None else answer == Answer(200, body)
