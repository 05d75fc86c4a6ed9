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
    setting_option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.sources import build_endpoint
from ctsdns_traefik.cli.streams import STANDARD_STREAM
from ctsdns_traefik.cli.targets import Output, build_target, store_options
from ctsdns_traefik.cli.types import Seconds
from ctsdns_traefik.errors import Stop

if TYPE_CHECKING:
    from ctsdns_traefik.core.document import Format

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
    type=Output(),
    help="The file that Traefik's file provider watches, or redis://HOST:PORT/DB?rootKey=traefik.",
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
@access_file_option
@store_options
@endpoint_options
@format_option
@verbosity_options
def watch(
    endpoint: str,
    output: Path | str,
    retry_delay: float,
    read_timeout: float,
    removal_guard: bool,
    access_file: Path | None,
    store_password_file: Path | None,
    store_ca_file: Path | None,
    form: Format,
    **access: Any,
) -> None:
    """Follow the endpoint and keep the file current, until stopped.

    SIGTERM and SIGINT stop it, SIGHUP makes it connect again at once.
    """
    from ctsdns_traefik.access_file import FollowedAccess
    from ctsdns_traefik.interrupts import Interrupts
    from ctsdns_traefik.journal import Journal
    from ctsdns_traefik.keeper import Keeper
    from ctsdns_traefik.memory import expect_large_snapshots
    from ctsdns_traefik.stream import load_libraries
    from ctsdns_traefik.watch import Watch

    start_logging(dated=True)
    if output == Path(STANDARD_STREAM):
        raise click.UsageError("watch keeps a file: name it with --output")
    interrupts = Interrupts()
    source = build_endpoint(endpoint, read_timeout=read_timeout, **access)
    target = build_target(output, store_password_file, store_ca_file)
    if isinstance(output, Path) and output.suffix not in (".yml", ".yaml"):
        log.warning("Traefik loads this format only from .yml and .yaml files, not %s", output)
    journal = Journal("file" if isinstance(output, Path) else "store")
    keeper = Keeper(
        target,
        form if isinstance(output, Path) else "json",
        guard=removal_guard,
        undisturbed=interrupts.held,
        access=FollowedAccess(access_file) if access_file else lambda: None,
        journal=journal,
    )
    load_libraries()
    expect_large_snapshots()
    try:
        Watch(source, keeper, interrupts, delay=retry_delay, journal=journal).run()
    except Stop as stop:
        journal.told_to_stop(stop.signal.name)
        raise
