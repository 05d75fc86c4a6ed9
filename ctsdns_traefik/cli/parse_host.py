"""``ctsdns-traefik parse-host``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from ctsdns_traefik.cli.command import GroupedCommand, epilog, option, verbosity_options
from ctsdns_traefik.cli.parameter_types import ENTRYPOINT_PORT
from ctsdns_traefik.cli.stdio import STANDARD_STREAM, emit
from ctsdns_traefik.errors import ExitCode, SourceError, map_os_errors

if TYPE_CHECKING:
    from ctsdns_traefik.core.entries import WrittenEntry


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik parse-host _websecure_http_3000._tcp.app.example.com=100.64.0.1",
        "ctsdns-traefik parse-host _websecure_http_3000._tcp.app.example.com 100.64.0.1",
        "ctsdns-traefik parse-host --entrypoint tcp=4433 _tcp_ssh_22._tcp.nas.example.com",
    ),
)
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@option(
    "--entrypoint",
    "ports",
    group="Traefik",
    multiple=True,
    type=ENTRYPOINT_PORT,
    help="Port of an entrypoint, for the client commands; repeatable."
    "  [default: web=80, websecure=443, tcp=4433]",
)
@option(
    "--format",
    "form",
    group="Output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON for programs.",
)
@verbosity_options
def parse_host(entries: tuple[str, ...], ports: tuple[tuple[str, str], ...], form: str) -> ExitCode:
    """Explain entries: what each becomes in Traefik.

    ENTRY is NAME, NAME=ADDRESS, NAME ADDRESS (as one argument or as two), a line of a policy with
    its quotes, colon and comma, or - for such lines on standard input.
    """
    from ctsdns_traefik.cli.report import as_json
    from ctsdns_traefik.cli.report.entry_report import explanation_as_json, explanation_as_text
    from ctsdns_traefik.core.entries import explain

    explained = [explain(written, dict(ports)) for written in _read(entries)]
    if form == "json":
        emit(as_json([explanation_as_json(one) for one in explained]))
    else:
        emit("\n".join(explanation_as_text(one) for one in explained))
    return ExitCode.FINDINGS if any(one.diagnostic for one in explained) else ExitCode.OK


def _read(entries: Sequence[str]) -> Iterator[WrittenEntry]:
    """Read entries; ``-`` stands for those on standard input."""
    from ctsdns_traefik.core.entries import COMMENT, read_arguments, read_notation

    for is_input, arguments in groupby(entries, STANDARD_STREAM.__eq__):
        if not is_input:
            yield from read_arguments(arguments)
            continue
        for line in _lines_of_input():
            if line and not line.startswith(COMMENT):
                yield read_notation(line)


def _lines_of_input() -> list[str]:
    from ctsdns_traefik.source import standard_input

    with map_os_errors("cannot read standard input", SourceError):
        text = standard_input().read().decode("utf-8", "backslashreplace")
    return [line.strip() for line in text.split("\n")]
