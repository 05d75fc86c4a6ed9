"""``ctsdns-traefik render-once``."""

from __future__ import annotations

import io
import logging
import os
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
    source_argument,
    start_logging,
    timeout_option,
    verbosity_options,
)
from ctsdns_traefik.cli.sources import read_source
from ctsdns_traefik.cli.streams import STANDARD_STREAM, emit
from ctsdns_traefik.cli.targets import Output, build_target, store_options
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.core.document import Format
    from ctsdns_traefik.target import Target

log = logging.getLogger(__name__)

_NO_LINE_END = "\n\\ No newline at end of file\n"
"""How diff shows a last line that does not end; difflib leaves it at that."""


@click.command(
    epilog=epilog(
        "ctsdns-traefik render-once policy.hujson --strict",
        "ctsdns-traefik render-once policy.hujson -o dynamic.yml --check --diff",
        "ctsdns-traefik render-once https://worker.example.com/api/config -o dynamic.yml",
        "curl -sN https://worker.example.com/api/config | ctsdns-traefik render-once -",
    )
)
@source_argument
@setting_option(
    "-o",
    "--output",
    setting=settings.OUTPUT,
    type=Output(),
    default=None,
    help="File or store to write as watch does; - or nothing for standard output.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print how the file would change.")
@click.option("--strict", is_flag=True, help="Exit 1 if any entry was refused.")
@access_file_option
@timeout_option
@store_options
@endpoint_options
@format_option
@verbosity_options
def render_once(
    source: str | None,
    output: Path | str | None,
    check: bool,
    diff: bool,
    strict: bool,
    access_file: Path | None,
    timeout: float,
    store_password_file: Path | None,
    store_ca_file: Path | None,
    form: Format,
    **access: Any,
) -> ExitCode:
    """Render one snapshot, then exit.

    SOURCE is an http(s) URL, a file, or - for standard input; TRAEFIK_CONFIG_API_ENDPOINT if left
    out. A file holds a snapshot, a captured event stream, or a Tailscale policy in JSON or HuJSON.
    """
    from ctsdns_traefik.access_file import read_access_file
    from ctsdns_traefik.core.render import render
    from ctsdns_traefik.keeper import Keeper

    start_logging()
    output = None if output == Path(STANDARD_STREAM) else output
    if output is None and (check or diff):
        raise click.UsageError("--check and --diff compare with a file: name it with --output")
    target = build_target(output, store_password_file, store_ca_file) if output else None
    form = "json" if isinstance(output, str) else form
    rights = read_access_file(access_file).access if access_file else None
    rendering = render(read_source(source, timeout, access).hosts, form, rights)
    findings = bool(strict and rendering.problems)
    for problem in rendering.problems:
        log.warning("%s", problem)
    if target is None:
        emit(rendering.text)
    elif check or diff:
        findings |= _compare(target, rendering.text, diff=diff) and check
    else:
        keeper = Keeper(target, form, guard=False)
        keeper.look()
        keeper.put(rendering)
    return ExitCode.FINDINGS if findings else ExitCode.OK


def _compare(target: Target, text: str, *, diff: bool) -> bool:
    """Tell whether the file or store would change, and print how if asked to."""
    import difflib

    old, new = target.read(), target.as_held(text.encode())
    if diff:
        lines = difflib.unified_diff(
            _lines((old or b"").decode("utf-8", "backslashreplace")),
            _lines(new.decode()),
            fromfile=str(target) if old is not None else os.devnull,
            tofile=str(target),
        )
        emit("".join(line if line.endswith("\n") else f"{line}{_NO_LINE_END}" for line in lines))
    return old != new


def _lines(text: str) -> list[str]:
    """Split after each LF, as diff does; ``splitlines`` would split after other signs too."""
    return list(io.StringIO(text, newline="\n"))
