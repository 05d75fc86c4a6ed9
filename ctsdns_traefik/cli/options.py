"""Single options that several commands share, and a warning that their values may need."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import option
from ctsdns_traefik.cli.parameter_types import FILE, Choice

log = logging.getLogger(__name__)

_HANGUP = re.compile(
    r"(?<![a-z])(?:sig)?hup(?![a-z])|(?:^|\s)-(?:1|(?:s|-signal)[ =]?1)(?!\S)", re.IGNORECASE
)
"""SIGHUP in a command such as ``docker kill --signal=HUP traefik`` or ``kill -1 42``."""

access_file_option = option(
    "--access-file",
    group="Access",
    setting=settings.ACCESS_FILE,
    type=FILE,
    help="YAML file that says who may reach which route; see docs/access.md.",
)

log_format_option = option(
    "--log-format",
    group="Logging",
    setting=settings.LOG_FORMAT,
    type=Choice(["text", "json"]),
    help="Lines of text for people, or a JSON object a line for programs; see docs/status.md.",
)


def warn_of_hangup(command: Iterable[str]) -> None:
    """Log a warning if a command sends SIGHUP where Traefik may have no file provider."""
    from ctsdns_traefik.logs import as_event

    if _HANGUP.search(" ".join(command)):
        log.warning(
            "--on-change sends SIGHUP, which ends a Traefik that has no file provider; with this"
            " output Traefik needs no signal",
            extra=as_event("hangup"),
        )


def warn_unencrypted(peer: object, secure: str) -> None:
    """Log a warning that credentials for a peer are sent in clear text."""
    from ctsdns_traefik.logs import as_event

    log.warning(
        "credentials for %s go over the network unencrypted: use %s",
        peer,
        secure,
        extra=as_event("unencrypted", endpoint=peer),
    )
