"""``ctsdns-traefik render-once``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.file_arguments import require_different
from ctsdns_traefik.cli.hook_options import make_check, make_on_change
from ctsdns_traefik.cli.leaf_command import LeafCommand
from ctsdns_traefik.cli.options import (
    access_file_option,
    adopt_option,
    endpoint_options,
    epilog,
    format_option,
    hook_options,
    log_format_option,
    setting_option,
    source_argument,
    start_logging,
    timeout_option,
    verbosity_options,
)
from ctsdns_traefik.cli.output_options import OutputType, build_output, refuse_path, store_options
from ctsdns_traefik.cli.source_options import read_source
from ctsdns_traefik.cli.stdio import STANDARD_STREAM, emit
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.core.access import Access
    from ctsdns_traefik.core.dynamic import Format, Rendering
    from ctsdns_traefik.logs import LogFormat
    from ctsdns_traefik.output import Check, Command, Output

_NO_LINE_END = "\n\\ No newline at end of file\n"
"""How diff shows a last line that does not end; difflib leaves it at that."""


@click.command(
    cls=LeafCommand,
    epilog=epilog(
        "ctsdns-traefik render-once policy.hujson --strict",
        "ctsdns-traefik render-once policy.hujson -o dynamic.yml --check --diff",
        "ctsdns-traefik render-once https://worker.example.com/api/config -o dynamic.yml",
        "curl -sN https://worker.example.com/api/config | ctsdns-traefik render-once -",
    ),
)
@source_argument
@setting_option(
    "-o",
    "--output",
    setting=settings.OUTPUT,
    type=OutputType(),
    default=None,
    help="File or store to write as watch does; - or nothing for standard output.",
)
@adopt_option
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print how the file would change.")
@click.option("--strict", is_flag=True, help="Exit 1 if any entry was refused.")
@hook_options
@access_file_option
@timeout_option
@store_options
@endpoint_options
@format_option
@log_format_option
@verbosity_options
def render_once(
    source: str | None,
    output: Path | str | None,
    adopt: bool,
    check: bool,
    diff: bool,
    strict: bool,
    on_change: Command | None,
    check_command: Command | None,
    access_file: Path | None,
    timeout: float,
    store_password_file: Path | None,
    store_ca_file: Path | None,
    form: Format,
    log_format: LogFormat,
    **access: Any,
) -> ExitCode:
    """Render one snapshot, then exit.

    SOURCE is an http(s) URL, a file, or - for standard input; TRAEFIK_CONFIG_API_ENDPOINT if left
    out. A file holds a snapshot, a captured event stream, or a Tailscale policy in JSON or HuJSON.
    """
    from ctsdns_traefik.core.dynamic import render
    from ctsdns_traefik.daemon import read_access_file

    start_logging(form=log_format)
    output = None if output == Path(STANDARD_STREAM) else output
    if output is None and (check or diff):
        raise click.UsageError("--check and --diff compare with a file: name it with --output")
    refuse_path(output, on_change)
    require_different("--output")

    def target_of(output: Path | str, check: Check | None = None) -> Output:
        return build_output(output, store_password_file, store_ca_file, check, adopt=adopt)

    form = "json" if isinstance(output, str) else form
    if isinstance(output, str):
        target_of(output)  # what is wrong with it is found before the source is read
    rights = read_access_file(access_file).access if access_file else None
    rendering = render(read_source(source, timeout, access).hosts, form, rights)
    findings = bool(strict and rendering.diagnostics)
    _publish_diagnostics(rendering, rights)
    if output is None:
        emit(rendering.text)
    elif check or diff:
        findings |= _compare(target_of(output), rendering.text, diff=diff) and check
    else:
        _write(target_of, output, rendering, on_change, check_command)
    return ExitCode.FINDINGS if findings else ExitCode.OK


def _publish_diagnostics(rendering: Rendering, access: Access | None) -> None:
    from ctsdns_traefik.core.checks import check_unused
    from ctsdns_traefik.daemon import (
        AccessSettingsUnused,
        EntriesRefused,
        EntriesWarned,
        EventPublisher,
    )

    publish = EventPublisher().publish
    publish(EntriesRefused(tuple(rendering.diagnostics)))
    publish(EntriesWarned(tuple(rendering.warnings)))
    if access:
        publish(AccessSettingsUnused(tuple(check_unused(rendering.entries, access))))


def _write(
    target_of: Callable[[Path | str, Check | None], Output],
    output: Path | str,
    rendering: Rendering,
    on_change: Command | None,
    check_command: Command | None,
) -> None:
    """Write the file as watch does; a signal waits for it, and ends the commands around it."""
    from contextlib import nullcontext

    from ctsdns_traefik.daemon import EventPublisher, Reconciler
    from ctsdns_traefik.signals import postponed

    publisher = EventPublisher()
    with postponed() as stops:
        after = make_on_change(on_change, output, publisher.publish, stops)
        target = target_of(output, make_check(check_command, stops))
        reconciler = Reconciler(target, guard=False, publisher=publisher, on_change=after)
        # Another process on a file is found by inspecting. The lease of a store is taken by the
        # write, which is refused if a watch has it, and freed at once for those that wait for it.
        with target.claim() if isinstance(output, str) else nullcontext():
            reconciler.inspect()
            reconciler.write(rendering, ordered=True)


def _compare(target: Output, text: str, *, diff: bool) -> bool:
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
