"""The options of ``ctsdns-traefik watch``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import bundle, option, verbosity_options
from ctsdns_traefik.cli.file_arguments import require_different
from ctsdns_traefik.cli.monitoring_options import MonitoringOptions, monitoring_options
from ctsdns_traefik.cli.options import access_file_option, log_format_option
from ctsdns_traefik.cli.output_options import OutputOptions, output_options
from ctsdns_traefik.cli.parameter_types import SECONDS
from ctsdns_traefik.cli.server_options import ServerOptions, server_options
from ctsdns_traefik.cli.source_options import StreamOptions, stream_options
from ctsdns_traefik.cli.static_options import StaticOptions, static_options

if TYPE_CHECKING:
    from ctsdns_traefik.core.releases import Release
    from ctsdns_traefik.logs import LogFormat
    from ctsdns_traefik.source import Source


@dataclass(frozen=True)
class WatchOptions:
    """The options of watch."""

    stream: StreamOptions
    static: StaticOptions
    target: OutputOptions
    store_lease: float
    server: ServerOptions
    access_file: Path | None
    removal_guard: bool
    check: bool
    offline: bool
    monitoring: MonitoringOptions
    log_format: LogFormat

    def require_usable(self) -> None:
        """Raise :class:`click.UsageError` for an output that watch cannot keep current."""
        target = self.target
        self.server.require_usable(has_output=not target.is_none)
        target.require_usable()
        if target.is_standard_output:
            raise click.UsageError("watch keeps a file: name it with --output")
        require_different("--output", "--status-file", "--metrics-file")

    def lease_seconds(self, source: Source) -> float:
        """Return for how long a writer lease lasts, which a slowly polled source makes longer."""
        from ctsdns_traefik.core.status import allowed_age

        # A URL polls or streams: which, is not known before its first answer.
        interval = self.stream.poll_interval
        slow = interval if interval > settings.POLL_INTERVAL.default else 0.0
        return allowed_age(self.store_lease, max(source.interval or 0.0, slow))

    def release(self) -> Release | None:
        """Return the release of the Traefik that runs: as given, or as its API answered last."""
        api = self.monitoring.traefik_api
        return self.static.traefik_version or (api.release() if api else None)


watch_options = bundle(
    "options",
    WatchOptions,
    stream_options,
    static_options,
    output_options(
        default=settings.OUTPUT.default,
        text="File that Traefik's file provider watches, redis://HOST:PORT/DB?rootKey=traefik, or"
        " none with --listen.",
    ),
    option(
        "--store-lease",
        group="Output",
        setting=settings.STORE_LEASE,
        type=SECONDS,
        help="For a redis:// output that several watches share: how long after its last snapshot"
        " one keeps the others from writing; at least two and a half poll intervals.",
    ),
    server_options,
    access_file_option,
    option(
        "--removal-guard/--no-removal-guard",
        group="Safety",
        setting=settings.REMOVAL_GUARD,
        help="Hold back a snapshot that removes most routes until the next one agrees.",
    ),
    option(
        "--check",
        group="Safety",
        is_flag=True,
        help="Do not watch; check the source, the output, the access file, Traefik and the"
        " clock, and change nothing.",
    ),
    option(
        "--offline",
        group="Safety",
        is_flag=True,
        help="For --check: use no network, before a start that must not wait.",
    ),
    monitoring_options,
    log_format_option,
    verbosity_options,
)
