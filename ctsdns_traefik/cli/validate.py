"""``ctsdns-traefik validate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.leaf_command import LeafCommand
from ctsdns_traefik.cli.options import (
    access_file_option,
    endpoint_options,
    epilog,
    setting_option,
    source_argument,
    start_logging,
    timeout_option,
    verbosity_options,
)
from ctsdns_traefik.cli.parameter_types import EntrypointName, TraefikVersion
from ctsdns_traefik.cli.source_options import read_source
from ctsdns_traefik.cli.stdio import emit, writing
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.cli.validation import Validation


@click.command(
    cls=LeafCommand,
    epilog=epilog(
        "ctsdns-traefik validate policy.hujson",
        "ctsdns-traefik validate --static-config /etc/traefik/traefik.yml policy.hujson",
        "ctsdns-traefik validate --entrypoint web=:80 --entrypoint websecure=:443 policy.hujson",
        "ctsdns-traefik validate --prove --format github policy.hujson",
    ),
)
@source_argument
@click.option(
    "--static-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Traefik's static configuration, .yml, .yaml or .toml, to hold the entries against.",
)
@click.option(
    "--entrypoint",
    "entrypoints",
    multiple=True,
    type=EntrypointName(),
    help="An entrypoint that Traefik has from flags or variables; repeatable.",
)
@setting_option(
    "-o",
    "--output",
    setting=settings.OUTPUT,
    default=None,
    type=click.Path(),
    help="The dynamic file, to see whether Traefik would read it; of a store nothing is asked.",
)
@click.option(
    "--traefik-version",
    type=TraefikVersion(),
    help="The Traefik that will run, 3.6 for one.  [default: the newest known, 3.7]",
)
@click.option(
    "--prove",
    "proving",
    is_flag=True,
    help="Load the routes into a real Traefik on this machine, and report what it says.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="Text for people, JSON for programs, or annotations for GitHub's workflows.",
)
@click.option("--strict", is_flag=True, help="Exit 1 for warnings too.")
@access_file_option
@timeout_option
@endpoint_options
@verbosity_options
def validate(
    source: str | None,
    static_config: Path | None,
    entrypoints: tuple[str, ...],
    output: str | None,
    traefik_version: tuple[int, int] | None,
    proving: bool,
    form: str,
    strict: bool,
    access_file: Path | None,
    timeout: float,
    **access: Any,
) -> ExitCode:
    """Say what Traefik would do with a policy.

    That is, before Traefik has to: which entries become routes, which are refused, and, held
    against Traefik's static configuration, which would not be served as they are meant.

    SOURCE is an http(s) URL, a file, or - for standard input, as for render-once;
    TRAEFIK_CONFIG_API_ENDPOINT if left out.
    """
    from ctsdns_traefik.cli.validation import read_static_file
    from ctsdns_traefik.cli.validation import validate as find_problems
    from ctsdns_traefik.core.checks import NEWEST
    from ctsdns_traefik.core.problems import Severity
    from ctsdns_traefik.daemon import read_access_file
    from ctsdns_traefik.output.redis import is_store_url

    start_logging()
    static = read_static_file(static_config, entrypoints)
    validation = find_problems(
        read_source(source, timeout, access),
        static,
        read_access_file(access_file) if access_file else None,
        output=None if output and is_store_url(output) else output,
        version=traefik_version or NEWEST,
        proving=proving,
    )
    _show(validation, form)
    failing = validation.count(Severity.ERROR) or (strict and validation.count(Severity.WARNING))
    return ExitCode.FINDINGS if failing else ExitCode.OK


def _show(validation: Validation, form: str) -> None:
    from ctsdns_traefik.cli.report import as_json
    from ctsdns_traefik.cli.report.validation_report import (
        print_validation,
        validation_as_annotations,
        validation_as_json,
        validation_as_lines,
    )

    if form == "json":
        emit(as_json(validation_as_json(validation)))
    elif form == "github":
        emit(validation_as_annotations(validation))
    elif sys.stdout is not None and sys.stdout.isatty():
        with writing():
            print_validation(validation, sys.stdout)
    else:
        emit(validation_as_lines(validation))
