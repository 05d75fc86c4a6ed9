"""Monitoring: the options that report how watch is doing, and --health, which reads the report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import bundle, option
from ctsdns_traefik.cli.options import warn_unencrypted
from ctsdns_traefik.cli.parameter_types import PATH, SECONDS, TRAEFIK_URL
from ctsdns_traefik.cli.stdio import emit
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.daemon import Outlet, Publish, Verifier
    from ctsdns_traefik.traefik import TraefikApi

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MonitoringOptions:
    """How watch reports its state, or, with ``health``, that this report is to be checked."""

    traefik_api: TraefikApi | None
    status_file: Path | None
    metrics_file: Path | None
    health: bool
    max_age: float

    def report_health(self) -> ExitCode:
        """Print whether the watch that writes the status file is healthy.

        Raise :class:`click.UsageError` if no status file is given.
        """
        from ctsdns_traefik.daemon import check_health

        if self.status_file is None:
            variable = settings.STATUS_FILE.variable
            raise click.UsageError(f"--health needs --status-file, or {variable}")
        verdict = check_health(self.status_file, self.max_age)
        emit(f"{verdict.why}\n")
        return ExitCode.OK if verdict.well else ExitCode.FINDINGS

    def build_outlets(self) -> list[Outlet]:
        """Build what writes the status and metrics files, if they are wanted."""
        from ctsdns_traefik.core.status import metrics_to_text, status_to_text
        from ctsdns_traefik.daemon import StatusFileWriter

        files = ((self.status_file, status_to_text), (self.metrics_file, metrics_to_text))
        if self.metrics_file and self.metrics_file.suffix != ".prom":
            _warn_of_metrics_name(self.metrics_file)
        return [StatusFileWriter(path, to_text) for path, to_text in files if path]

    def start_verifier(self, publish: Publish, provider: str) -> Verifier | None:
        """Start to verify through Traefik's API what a provider serves, if the API is known."""
        if self.traefik_api is None:
            return None
        from ctsdns_traefik.daemon import Verifier

        if self.traefik_api.in_the_clear:
            warn_unencrypted(self.traefik_api, "https")
        verifier = Verifier(self.traefik_api, publish, provider)
        verifier.start()
        return verifier


def _warn_of_metrics_name(metrics_file: Path) -> None:
    from ctsdns_traefik.logs import as_event

    log.warning(
        "node_exporter reads metrics only from .prom files, not %s",
        metrics_file,
        extra=as_event("metrics-name", path=metrics_file),
    )


monitoring_options = bundle(
    "monitoring",
    MonitoringOptions,
    option(
        "--traefik-api",
        group="Monitoring",
        setting=settings.TRAEFIK_API,
        type=TRAEFIK_URL,
        help="URL of Traefik before /api, to verify after each change that the routes are served.",
    ),
    option(
        "--status-file",
        group="Monitoring",
        setting=settings.STATUS_FILE,
        type=PATH,
        help="JSON file to write the status to; see docs/status.md.",
    ),
    option(
        "--metrics-file",
        group="Monitoring",
        setting=settings.METRICS_FILE,
        type=PATH,
        help="File to write metrics to, for the textfile collector of Prometheus' node_exporter.",
    ),
    option(
        "--health",
        group="Monitoring",
        is_flag=True,
        help="Do not watch; print whether the watch that writes --status-file is healthy, exit 1"
        " if not.",
    ),
    option(
        "--max-age",
        group="Monitoring",
        setting=settings.MAX_AGE,
        type=SECONDS,
        help="For --health: how old the last trusted snapshot may be.",
    ),
)
