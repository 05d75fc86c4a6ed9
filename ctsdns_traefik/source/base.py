"""The seam between sources of policies and what follows them.

A source is followed in runs: one connection of an event stream, or polls for as long as they
succeed. What it yields meanwhile are the values here; what ends a run is a :class:`.SourceError`,
with the seconds that the source wants to be left alone. Nothing here logs or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SourceText

if TYPE_CHECKING:
    from ctsdns_traefik.core.machines import Machine

Expect = Callable[[float], None]
"""Called before each wait, with the seconds that it may take at most."""


BY_ITSELF = "the source reports changes by itself"
"""What :meth:`Source.refresh` leads to where nothing is polled."""


class Policy(NamedTuple):
    """A policy that can be trusted.

    A poll whose answer is that of the poll before yields the same value again, and so the same
    ``hosts`` object, and parses nothing: compare by ``is`` before comparing by value.
    """

    hosts: HostsMap
    text: SourceText
    """What it was read from; the path is ``""`` where that is no piece of a file."""


class Untrusted(NamedTuple):
    """A policy that cannot be trusted, and why; the routes that are live must stay.

    A poll whose answer is that of the poll before yields the same value again.
    """

    error: str
    more: bool = False
    """Whether others come without asking, as in a stream: one command waits for them."""


class WorkerError(NamedTuple):
    """The worker reports an error on its side, in place of a policy."""

    error: str


class OtherEvent(NamedTuple):
    """A stream has sent an event of another kind."""

    name: str


class MachineList(NamedTuple):
    """The machines of the tailnet that the last policy is of, or why they are not known."""

    machines: tuple[Machine, ...] = ()
    error: str = ""


Received = Policy | Untrusted | WorkerError | OtherEvent | MachineList


class Wording(NamedTuple):
    """How the log describes a run of a source, whose name follows."""

    begun: str
    """It has begun, after the source has answered for the first time."""
    ended: str
    """It has ended; the reason follows the name."""
    failed: str
    """It could not begin; likewise."""


class Source(Protocol):
    """Where policies come from. ``str()`` names it without what may be secret.

    One thread follows it, and may follow it again when a run has ended: what the source knows of
    the last policy is kept between runs.
    """

    @property
    def wording(self) -> Wording:
        """How the log describes its runs; it may change once the source has answered."""

    @property
    def interval(self) -> float | None:
        """Seconds between two polls; ``None`` for a source that reports changes by itself."""

    def follow(
        self, cancellation: Cancellation, expect: Expect
    ) -> AbstractContextManager[Iterator[Received]]:
        """Begin a run, and yield what comes until it ends.

        All waiting, pauses included, ends when ``cancellation`` is cancelled. Raise
        :class:`.SourceError` if the run cannot begin, and, from the iterator, when it ends.
        """

    def pause(self, cancellation: Cancellation, seconds: float) -> None:
        """Wait for so long between two runs, or until the source is known to be back."""

    def refresh(self) -> str:
        """Poll at once, or, if a poll is under way, directly after it; any thread may call this.

        A pause after a failure is cut short, unless the source has asked for it or is overloaded.
        A source that reports changes by itself does nothing. Return what follows, for the log;
        ``""`` if it was asked for before and has not begun.
        """

    def confirm(self) -> None:
        """Poll soon, not after a whole interval, to have the last policy confirmed or corrected.

        The thread that follows the source calls it between two values. Two such polls never
        follow each other. A source that reports changes by itself does nothing.
        """
