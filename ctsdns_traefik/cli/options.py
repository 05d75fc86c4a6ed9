"""Options that several commands share, and the logging that they set up."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import Function, Group, option
from ctsdns_traefik.cli.parameter_types import PATH

if TYPE_CHECKING:
    from ctsdns_traefik.logs import LogFormat

log = logging.getLogger(__name__)

_VERBOSITY = "ctsdns_traefik.verbosity"
"""Where click's context keeps the sum of all -v and -q."""

access_file_option = option(
    "--access-file",
    group=Group.ACCESS,
    setting=settings.ACCESS_FILE,
    type=PATH,
    help="YAML file that says who may reach which route; see docs/access.md.",
)

log_format_option = option(
    "--log-format",
    group=Group.LOGGING,
    setting=settings.LOG_FORMAT,
    type=click.Choice(["text", "json"]),
    help="Log as lines of text for people, or as a JSON object a line; see docs/status.md.",
)


def verbosity_options(function: Function) -> Function:
    """Declare ``-v`` and ``-q``, which add up over the program and the command."""
    for flags, text in (
        (("-q", "--quiet"), "Log less; twice: errors only."),
        (("-v", "--verbose"), "Log more."),
    ):
        function = option(
            *flags,
            group=Group.LOGGING,
            count=True,
            expose_value=False,
            show_default=False,
            callback=_count_verbosity,
            help=text,
        )(function)
    return function


def _count_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    sign = -1 if param.name == "quiet" else 1
    ctx.meta[_VERBOSITY] = ctx.meta.get(_VERBOSITY, 0) + sign * value


def start_logging(*, dated: bool = False, form: LogFormat = "text") -> None:
    """Log to standard error, at the level that ``-v`` and ``-q`` set; with times if ``dated``."""
    from ctsdns_traefik import logs

    verbosity = click.get_current_context().meta.get(_VERBOSITY, 0)
    logs.set_up(sys.stderr, verbosity, dated=dated, form=form)


def warn_unencrypted(peer: object, secure: str) -> None:
    """Log a warning that credentials for a peer are sent in clear text."""
    from ctsdns_traefik.logs import as_event

    log.warning(
        "credentials for %s go over the network unencrypted: use %s",
        peer,
        secure,
        extra=as_event("unencrypted", endpoint=peer),
    )
