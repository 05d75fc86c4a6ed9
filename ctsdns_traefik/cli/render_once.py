"""``ctsdns-traefik render-once``."""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik.cli.command import (
    GroupedCommand,
    bundle,
    epilog,
    option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.file_arguments import require_different
from ctsdns_traefik.cli.options import access_file_option, log_format_option
from ctsdns_traefik.cli.output_options import OutputOptions, output_options
from ctsdns_traefik.cli.source_options import SnapshotOptions, snapshot_options
from ctsdns_traefik.cli.static_options import StaticOptions, static_options
from ctsdns_traefik.cli.stdio import emit
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.core.access import Access
    from ctsdns_traefik.core.dynamic import Rendering
    from ctsdns_traefik.logs import LogFormat
    from ctsdns_traefik.output import Output

log = logging.getLogger(__name__)

_NO_LINE_END = "\n\\ No newline at end of file\n"
"""What diff prints after a last line without a line end; difflib omits it."""


@dataclass(frozen=True)
class RenderOptions:
    """The options of render-once."""

    snapshot: SnapshotOptions
    static: StaticOptions
    target: OutputOptions
    check: bool
    diff: bool
    strict: bool
    access_file: Path | None
    log_format: LogFormat


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik render-once tailscale:",
        "ctsdns-traefik render-once policy.hujson --strict",
        "ctsdns-traefik render-once policy.hujson -o dynamic.yml --check --diff",
        "ctsdns-traefik render-once https://worker.example.com/api/config -o dynamic.yml",
        "curl -sN https://worker.example.com/api/config | ctsdns-traefik render-once -",
        findings="--check: the output would change; --strict: an entry was refused",
    ),
)
@bundle(
    "options",
    RenderOptions,
    snapshot_options,
    static_options,
    output_options(
        default=None,
        text="File or store to write as watch does; standard output if it is - or left out.",
        pictures=True,
    ),
    option(
        "--check",
        group="Output",
        is_flag=True,
        help="Write nothing; exit 1 if the output would change.",
    ),
    option(
        "--diff",
        group="Output",
        is_flag=True,
        help="Write nothing; print how the output would change.",
    ),
    option("--strict", group="Output", is_flag=True, help="Exit 1 if an entry was refused."),
    access_file_option,
    log_format_option,
    verbosity_options,
)
def render_once(options: RenderOptions) -> ExitCode:
    """Render one snapshot of the policy, then exit.

    SOURCE is where the policy is: tailscale:, headscale+https://HOST, an http(s) URL, a file, or -
    for standard input; TRAEFIK_CONFIG_API_ENDPOINT if left out. A file holds a Tailscale policy in
    JSON or HuJSON, a snapshot, or a captured event stream.
    """
    start_logging(form=options.log_format)
    _require_usable(options)
    rendering = _render(options)
    changed = False
    if options.target.form == "svg":
        _draw(options.target, rendering)
    elif options.target.is_standard_output:
        emit(rendering.text)
    elif options.check or options.diff:
        changed = _compare(options.target.build(), rendering.text, diff=options.diff)
    else:
        _write(options.target, rendering)
    failed = (options.check and changed) or (options.strict and rendering.diagnostics)
    return ExitCode.FINDINGS if failed else ExitCode.OK


def _require_usable(options: RenderOptions) -> None:
    """Raise :class:`click.UsageError` or :class:`.SettingsError` for options that do not fit.

    That happens before the source is read, which may take a while.
    """
    target = options.target
    if target.is_standard_output and (options.check or options.diff):
        raise click.UsageError("--check and --diff compare with a file: name it with --output")
    if target.form == "svg" and (target.is_store or options.check or options.diff):
        raise click.UsageError("a picture (--format svg) goes to a file or to standard output")
    target.require_usable()
    if target.is_none:
        raise click.UsageError(
            "--output none is for watch --listen; leave it out for standard output"
        )
    require_different("--output")
    if target.is_store:
        target.store_address()


def _render(options: RenderOptions) -> Rendering:
    """Render one snapshot, and log what is wrong in it and in the access file."""
    from ctsdns_traefik.core.dynamic import render
    from ctsdns_traefik.daemon import read_access_file

    path, release = options.access_file, options.static.traefik_version
    access = read_access_file(path, release=release).access if path else None
    without_tls = options.static.without_tls()
    hosts = options.snapshot.read().hosts
    rendering = render(hosts, options.target.document_form, access, None, without_tls)
    _publish_diagnostics(rendering, access)
    return rendering


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


def _draw(target: OutputOptions, rendering: Rendering) -> None:
    """Write a picture of the routes; no provider of Traefik's reads it, so no hook is run."""
    from ctsdns_traefik.core.page import picture_to_svg
    from ctsdns_traefik.output import replace_file

    picture = picture_to_svg(rendering.document)
    if target.path:
        replace_file(target.path, picture.encode())
    else:
        emit(picture)


def _write(target: OutputOptions, rendering: Rendering) -> None:
    """Write the output as watch does; a signal waits for the write, and ends a running hook."""
    from contextlib import nullcontext

    from ctsdns_traefik.daemon import EventPublisher, Reconciler
    from ctsdns_traefik.signals import postponed

    publisher = EventPublisher()
    with postponed() as stops:
        output = target.build(target.build_check(stops))
        after = target.build_on_change(publisher.publish, stops)
        reconciler = Reconciler(output, guard=False, publisher=publisher, on_change=after)
        # Another process on a file is found by inspecting. The lease of a store is taken by the
        # write, which is refused if a watch has it, and freed at once for those that wait for it.
        with output.claim() if target.is_store else nullcontext():
            reconciler.inspect()
            reconciler.write(rendering, ordered=True)


def _compare(output: Output, text: str, *, diff: bool) -> bool:
    """Return whether the output would change; with ``diff``, print how."""
    import difflib

    from ctsdns_traefik.logs import as_event

    old, new = output.read(), output.as_held(text.encode())
    if old is None and output.needed:
        output.inspect(len(new))  # which raises if it could not be created
    if diff:
        lines = difflib.unified_diff(
            _lines((old or b"").decode("utf-8", "backslashreplace")),
            _lines(new.decode()),
            fromfile=str(output) if old is not None else os.devnull,
            tofile=str(output),
        )
        emit("".join(line if line.endswith("\n") else f"{line}{_NO_LINE_END}" for line in lines))
    elif old != new:
        extra = as_event("would-change", output=output)
        log.info("%s would change; --diff prints how", output, extra=extra)
    return old != new


def _lines(text: str) -> list[str]:
    """Split after each LF, as diff does; ``splitlines`` splits at other characters too."""
    return list(io.StringIO(text, newline="\n"))
