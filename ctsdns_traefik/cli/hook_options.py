"""What goes on around a change: the user's commands, and the question to Traefik."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctsdns_traefik.daemon import Publish, Verifier
    from ctsdns_traefik.output import Check, Command, OnChange
    from ctsdns_traefik.signals import Signals
    from ctsdns_traefik.traefik import TraefikApi

log = logging.getLogger(__name__)


def take_signals() -> Signals:
    """Handle signals from now on; a stop that is not heeded in time ends the commands, too."""
    from ctsdns_traefik.output import kill_running
    from ctsdns_traefik.signals import Signals

    return Signals(last_act=kill_running)


def make_check(command: Command | None, stops: Callable[[], bool]) -> Check | None:
    """Make the check of new content, if there is a command for it."""
    from ctsdns_traefik.output import Check

    return Check(command, stops) if command else None


def make_on_change(
    command: Command | None, output: Path | str, publish: Publish, stops: Callable[[], bool]
) -> OnChange | None:
    """Make what runs after each change, if there is a command for it."""
    from ctsdns_traefik.daemon import HookFailed, HookSucceeded
    from ctsdns_traefik.output import OnChange

    if command is None:
        return None

    def ended(why: object | None) -> None:
        publish(HookSucceeded() if why is None else HookFailed(str(why)))

    path = output if isinstance(output, Path) else None
    return OnChange(command, path, ended, stops)


def start_verifier(
    api: TraefikApi | None, publish: Publish, provider: str = "file"
) -> Verifier | None:
    """Start to verify what Traefik serves from a provider, if its API is known."""
    if api is None:
        return None
    from ctsdns_traefik.daemon import Verifier
    from ctsdns_traefik.logs import as_event

    if api.in_the_clear:
        said, extra = "credentials for %s go over the network unencrypted: use https", "unencrypted"
        log.warning(said, api, extra=as_event(extra, endpoint=api))
    verifier = Verifier(api, publish, provider)
    verifier.start()
    return verifier
