"""``ctsdns-traefik watch``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.options import (
    access_file_option,
    endpoint_options,
    epilog,
    format_option,
    hook_options,
    setting_option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.sources import build_endpoint
from ctsdns_traefik.cli.streams import STANDARD_STREAM
from ctsdns_traefik.cli.types import Seconds
from ctsdns_traefik.errors import Stop

if TYPE_CHECKING:
    from ctsdns_traefik.core.document import Format
    from ctsdns_traefik.hooks import Command
    from ctsdns_traefik.inquiry import Inquiry
    from ctsdns_traefik.journal import Journal

log = logging.getLogger(__name__)


@click.command(
    epilog=epilog(
        "ctsdns-traefik watch --endpoint https://worker.example.com/api/config",
        "ctsdns-traefik watch --token-file /run/secrets/token -o /etc/traefik/dynamic.yml",
    )
)
@setting_option(
    "--endpoint",
    setting=settings.ENDPOINT,
    required=True,
    metavar="URL",
    help="The worker's /api/config.",
)
@setting_option(
    "-o",
    "--output",
    setting=settings.OUTPUT,
    type=click.Path(path_type=Path),
    help="The file that Traefik's file provider watches.",
)
@setting_option(
    "--retry-delay",
    setting=settings.RETRY_DELAY,
    type=Seconds(zero=True),
    help="Pause before connecting again.",
)
@setting_option(
    "--read-timeout",
    setting=settings.READ_TIMEOUT,
    type=Seconds(),
    help="Silence that counts as a failure; longer than the worker's interval.",
)
@setting_option(
    "--removal-guard/--no-removal-guard",
    setting=settings.REMOVAL_GUARD,
    help="Let a snapshot that drops most routes wait until the next one agrees.",
)
@setting_option(
    "--traefik-api",
    setting=settings.TRAEFIK_API,
    metavar="URL",
    help="Traefik's API, to ask after each change whether the routes are served.",
)
@hook_options
@access_file_option
@endpoint_options
@format_option
@verbosity_options
def watch(
    endpoint: str,
    output: Path,
    retry_delay: float,
    read_timeout: float,
    removal_guard: bool,
    traefik_api: str | None,
    on_change: Command | None,
    check_command: Command | None,
    access_file: Path | None,
    form: Format,
    **access: Any,
) -> None:
    """Follow the endpoint and keep the file current, until stopped.

    SIGTERM and SIGINT stop it, SIGHUP makes it connect again at once.
    """
    from ctsdns_traefik.access_file import FollowedAccess
    from ctsdns_traefik.hooks import Check, OnChange
    from ctsdns_traefik.interrupts import Interrupts
    from ctsdns_traefik.journal import Journal
    from ctsdns_traefik.keeper import Keeper
    from ctsdns_traefik.memory import expect_large_snapshots
    from ctsdns_traefik.output import FileTarget
    from ctsdns_traefik.stream import load_libraries
    from ctsdns_traefik.watch import Watch

    start_logging(dated=True)
    if output == Path(STANDARD_STREAM):
        raise click.UsageError("watch keeps a file: name it with --output")
    interrupts = Interrupts()
    source = build_endpoint(endpoint, read_timeout=read_timeout, **access)
    if output.suffix not in (".yml", ".yaml"):
        log.warning("Traefik loads this format only from .yml and .yaml files, not %s", output)
    journal = Journal()
    inquiry = _build_inquiry(traefik_api, journal) if traefik_api else None
    keeper = Keeper(
        FileTarget(output, Check(check_command, interrupts.stops) if check_command else None),
        form,
        guard=removal_guard,
        undisturbed=interrupts.held,
        access=FollowedAccess(access_file) if access_file else lambda: None,
        journal=journal,
        on_change=OnChange(on_change, output, journal.hook_failed, interrupts.stops),
        traefik=inquiry,
    )
    load_libraries()
    expect_large_snapshots()
    try:
        Watch(source, keeper, interrupts, delay=retry_delay, journal=journal).run()
    except Stop as stop:
        journal.told_to_stop(stop.signal.name)
        raise


def _build_inquiry(url: str, journal: Journal) -> Inquiry:
    """Begin to ask Traefik; raise :class:`SettingsError`."""
    from ctsdns_traefik.inquiry import Inquiry
    from ctsdns_traefik.traefik_api import traefik_api_from

    api = traefik_api_from(url)
    if api.in_the_clear:
        log.warning("credentials for %s go over the network unencrypted: use https", api)
    inquiry = Inquiry(api, journal)
    inquiry.start()
    return inquiry
