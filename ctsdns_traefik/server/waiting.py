"""Answers that wait for a change, as those to Consul's blocking queries do.

A client that polls then has a change at once. It waits only while it has the present document, so
that a new one is answered at once, or while there is none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tornado.iostream import IOStream


class _Answer(NamedTuple):
    version: str
    """What the client has."""
    timeout: object
    send: Callable[[], object]


class Waiting:
    """The answers that wait, at most one a connection; for the server's thread alone."""

    def __init__(self) -> None:
        self._answers: dict[IOStream, _Answer] = {}
        self._had: dict[IOStream, str] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def note(self, stream: IOStream, version: str) -> None:
        """Note which version of the document a connection gets."""
        self._had[stream] = version

    def had(self, stream: IOStream) -> str:
        """Return which version of the document a connection got last, ``""`` if none."""
        return self._had.get(stream, "")

    def hold(
        self, stream: IOStream, version: str, seconds: float, send: Callable[[], object]
    ) -> None:
        """Have an answer sent once there is another version, or after some seconds."""
        timeout = stream.io_loop.call_later(seconds, self.answer, stream)
        self._answers[stream] = _Answer(version, timeout, send)

    def release(self, version: str) -> None:
        """Send the answers to all who have another version than this one."""
        for stream, answer in tuple(self._answers.items()):
            if answer.version != version:
                self.answer(stream)

    def answer(self, stream: IOStream) -> None:
        """Send the answer of a connection now, if one waits."""
        answer = self._take(stream)
        if answer:
            answer.send()

    def forget(self, stream: IOStream) -> None:
        """Note that a connection has ended."""
        self._had.pop(stream, None)
        self._take(stream)

    def _take(self, stream: IOStream) -> _Answer | None:
        answer = self._answers.pop(stream, None)
        if answer:
            stream.io_loop.remove_timeout(answer.timeout)
        return answer
