"""One connection of the client under test, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ctsdns_traefik.source.endpoint import Endpoint
from ctsdns_traefik.source.stream import Event, StreamError, open_answer


@contextmanager
def open_stream(endpoint: Endpoint, **options: Any) -> Iterator[Iterator[Event]]:
    """Connect, and yield the events of the answer."""
    with open_answer(endpoint, **options) as answer:
        yield answer.events()


def end_of(endpoint: Endpoint) -> tuple[list[Event], StreamError]:
    """Connect, follow the stream to its end, and return its events and what ended it."""
    events: list[Event] = []
    with pytest.raises(StreamError) as caught, open_stream(endpoint) as stream:
        events.extend(stream)  # keeps what came before the end
    return events, caught.value


def body_of(captured: Path) -> bytes:
    """Return what follows the head in captured bytes."""
    return captured.read_bytes().partition(b"\r\n\r\n")[2]


def events_in(body: bytes) -> list[Event]:
    """Read the events of a captured body, whose form is known: event, data and id, one a line."""
    blocks = [block.split(b"\n") for block in body.split(b"\n\n")[:-1]]
    return [
        Event(name.removeprefix(b"event: ").decode(), data.removeprefix(b"data: "))
        for name, data, _id in blocks
    ]
