"""How watch is doing: the options that tell others, and the one that asks."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ctsdns_traefik import __version__, settings
from ctsdns_traefik.cli.options import Function, setting_option
from ctsdns_traefik.cli.parameter_types import Seconds
from ctsdns_traefik.cli.stdio import emit
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.daemon import EventPublisher, Outlet
    from ctsdns_traefik.signals import Signals

log = logging.getLogger(__name__)

Value = TypeVar("Value")

WRITTEN = ("--output", "--status-file", "--metrics-file")
"""The options of watch that name files to be written."""


def reporting_options(function: Function) -> Function:
    """Declare the files that tell how watch is doing, and the question whether it is well."""
    for decorate in (
        setting_option(
            "--max-age",
            setting=settings.MAX_AGE,
            type=Seconds(),
            help="For --health: how old the last trusted snapshot may be.",
        ),
        click.option(
            "--health",
            is_flag=True,
            help="Do not watch; say by --status-file whether a running watch is well, and exit 1"
            " if not.",
        ),
        setting_option(
            "--metrics-file",
            setting=settings.METRICS_FILE,
            type=click.Path(path_type=Path),
            help="The same as metrics, for the textfile collector of Prometheus' node_exporter.",
        ),
        setting_option(
            "--status-file",
            setting=settings.STATUS_FILE,
            type=click.Path(path_type=Path),
            help="JSON file to keep that says how watch is doing; see docs/status.md.",
        ),
    ):
        function = decorate(function)
    return function


def report_health(status_file: Path | None, max_age: float) -> ExitCode:
    """Print a verdict on the watch that keeps a status file; raise :class:`click.UsageError`."""
    from ctsdns_traefik.daemon import check_health

    if status_file is None:
        variable = settings.STATUS_FILE.variable
        raise click.UsageError(f"--health needs --status-file (env var: '{variable}')")
    verdict = check_health(status_file, max_age)
    emit(f"{verdict.why}\n")
    return ExitCode.OK if verdict.well else ExitCode.FINDINGS


def needed(name: str, value: Value | None) -> Value:
    """Return the value of a parameter; raise :class:`click.MissingParameter` if it is not set."""
    if value is None:
        context = click.get_current_context()
        (missing,) = [each for each in context.command.params if each.name == name]
        raise click.MissingParameter(ctx=context, param=missing)
    return value


def make_publisher(
    endpoint: object,
    output: object,
    signals: Signals,
    *,
    status_file: Path | None,
    metrics_file: Path | None,
    access_file: Path | None = None,
) -> EventPublisher:
    """Make what publishes events: to the log, files, and the service manager."""
    from ctsdns_traefik.core.status import AccessFile, Status, metrics_to_text, status_to_text
    from ctsdns_traefik.daemon import (
        EventPublisher,
        StatusFileWriter,
        StatusReporter,
        service_manager,
    )

    outlets: list[Outlet] = []
    if status_file:
        outlets.append(StatusFileWriter(status_file, status_to_text))
    if metrics_file:
        _warn_of_name(metrics_file)
        outlets.append(StatusFileWriter(metrics_file, metrics_to_text))
    manager = service_manager()
    status = Status(
        version=__version__,
        pid=os.getpid(),
        started=time.time(),
        endpoint=str(endpoint),
        output=str(output),
        access=AccessFile(str(access_file)) if access_file else None,
    )
    reporter = StatusReporter(outlets, manager)
    publisher = EventPublisher(status, reporter, manager)
    signals.report_forced_end(publisher.stopped)
    return publisher


def _warn_of_name(metrics_file: Path) -> None:
    from ctsdns_traefik.logs import as_event

    if metrics_file.suffix != ".prom":
        log.warning(
            "node_exporter reads metrics only from .prom files, not %s",
            metrics_file,
            extra=as_event("metrics-name", path=metrics_file),
        )
