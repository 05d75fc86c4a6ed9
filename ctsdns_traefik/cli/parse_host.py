"""``ctsdns-traefik parse-host``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik.cli.command import GroupedCommand, epilog, option, verbosity_options
from ctsdns_traefik.cli.parameter_types import (
    CA_FILE,
    ENTRYPOINT_PORT,
    FILE,
    Choice,
    complete_files,
)
from ctsdns_traefik.cli.stdio import STANDARD_STREAM, emit
from ctsdns_traefik.errors import ExitCode, SettingsError
from ctsdns_traefik.terminal import painter

if TYPE_CHECKING:
    from ctsdns_traefik.core.entries import WrittenEntry


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik parse-host _websecure_http_3000._tcp.app.example.com=100.64.0.1",
        "ctsdns-traefik parse-host _websecure_http_3000._tcp.app.example.com 100.64.0.1",
        "ctsdns-traefik parse-host --entrypoint tcp=4433 _tcp_ssh_22._tcp.nas.example.com",
        "ctsdns-traefik parse-host --static-config /etc/traefik/traefik.yml _ssh_ssh_22._tcp.*",
        findings="an entry is malformed",
    ),
)
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@option(
    "--static-config",
    group="Traefik",
    type=FILE,
    help="File with Traefik's static configuration, for the ports of its entrypoints.",
)
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
    "--ca-file",
    group="Output",
    type=CA_FILE,
    shell_complete=complete_files,
    help="Path of the certificates that the clients trust, on their machines.  [default:"
    " /etc/ssl/certs/ca-certificates.crt]",
)
@option(
    "--all-clients",
    group="Output",
    is_flag=True,
    help="Print what socat, stunnel and HAProxy need, too.",
)
@option(
    "--format",
    "form",
    group="Output",
    type=Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON for programs.",
)
@verbosity_options
def parse_host(
    entries: tuple[str, ...],
    static_config: Path | None,
    ports: tuple[tuple[str, str], ...],
    ca_file: str | None,
    all_clients: bool,
    form: str,
) -> ExitCode:
    """Explain entries: what each becomes in Traefik.

    ENTRY is NAME, NAME=ADDRESS, NAME ADDRESS (as one argument or as two), a line of a policy with
    its quotes, colon and comma, or - for such lines on standard input.
    """
    from ctsdns_traefik.cli.report import as_json
    from ctsdns_traefik.cli.report.entry_report import explanation_as_json, explanation_as_text
    from ctsdns_traefik.core.entries import TRUST, explain

    known = {**_ports(static_config), **dict(ports)}
    explained = [explain(written, known, ca_file or TRUST) for written in _read(entries)]
    if form == "json":
        emit(as_json([explanation_as_json(one) for one in explained]))
    else:
        paint = painter(sys.stdout)
        texts = (explanation_as_text(one, paint, all_clients=all_clients) for one in explained)
        emit("\n".join(texts))
    return ExitCode.FINDINGS if any(one.faults for one in explained) else ExitCode.OK


def _ports(static_config: Path | None) -> Mapping[str, str]:
    """Return the ports of Traefik's entrypoints, in place of all those of the example."""
    if static_config is None:
        return {}
    from ctsdns_traefik.cli.static_options import read_static_config
    from ctsdns_traefik.core.entries import EXAMPLE_PORTS, UNKNOWN_PORT

    static = read_static_config(static_config).configuration
    ports = dict.fromkeys(EXAMPLE_PORTS, UNKNOWN_PORT)
    for each in static.entrypoints.values() if static else ():
        ports[each.name] = each.port or UNKNOWN_PORT
    return ports


def _read(entries: Sequence[str]) -> Iterator[WrittenEntry]:
    """Read entries; ``-`` stands for those on standard input."""
    from ctsdns_traefik.core.entries import COMMENT, read_arguments, read_notation

    for is_input, arguments in groupby(entries, STANDARD_STREAM.__eq__):
        if not is_input:
            written = list(arguments)
            if not all(map(str.strip, written)):
                raise SettingsError("an ENTRY is empty: write NAME or NAME=ADDRESS")
            yield from read_arguments(written)
            continue
        for line in _lines_of_input():
            if line and not line.startswith(COMMENT):
                yield read_notation(line)


def _lines_of_input() -> list[str]:
    from ctsdns_traefik.source import read_standard_input

    text = read_standard_input().decode("utf-8", "backslashreplace")
    return [line.strip() for line in text.split("\n")]
