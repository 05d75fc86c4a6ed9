"""``ctsdns-traefik validate``."""

from __future__ import annotations

import sys
from typing import Any

import click

from ctsdns_traefik.cli.options import (
    endpoint_options,
    epilog,
    source_argument,
    start_logging,
    timeout_option,
    verbosity_options,
)
from ctsdns_traefik.cli.sources import read_source
from ctsdns_traefik.cli.streams import emit
from ctsdns_traefik.errors import ExitCode


@click.command(
    epilog=epilog(
        "ctsdns-traefik validate policy.hujson",
        "ctsdns-traefik validate --format json https://worker.example.com/api/config",
    )
)
@source_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON for programs.",
)
@click.option("--strict", is_flag=True, help="Exit 1 for warnings too.")
@timeout_option
@endpoint_options
@verbosity_options
def validate(
    source: str | None, form: str, strict: bool, timeout: float, **access: Any
) -> ExitCode:
    """Say what would become of each entry.

    That is which entries become routes and which are refused, before Traefik has to say it.

    SOURCE is an http(s) URL, a file, or - for standard input, as for render-once;
    TRAEFIK_CONFIG_API_ENDPOINT if left out.
    """
    from ctsdns_traefik.core.problems import Severity
    from ctsdns_traefik.core.render import render
    from ctsdns_traefik.report import (
        as_json,
        findings_as_json,
        findings_as_lines,
        print_findings,
    )

    start_logging()
    rendering = render(read_source(source, timeout, access))
    if form == "json":
        emit(as_json(findings_as_json(rendering)))
    elif sys.stdout is not None and sys.stdout.isatty():
        print_findings(rendering, sys.stdout)
    else:
        emit(findings_as_lines(rendering))
    failing = [one for one in rendering.problems if strict or one.severity is Severity.ERROR]
    return ExitCode.FINDINGS if failing else ExitCode.OK
