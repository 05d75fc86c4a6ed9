"""``ctsdns-traefik parse-host``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ctsdns_traefik.cli.command import LeafCommand
from ctsdns_traefik.cli.options import epilog, verbosity_options
from ctsdns_traefik.cli.streams import STANDARD_STREAM, emit
from ctsdns_traefik.cli.types import EntrypointPort
from ctsdns_traefik.errors import ExitCode, SourceError


@click.command(
    cls=LeafCommand,
    epilog=epilog(
        "ctsdns-traefik parse-host _websecure_http_3000._tcp.app.example.com=100.64.0.1",
        "ctsdns-traefik parse-host --entrypoint tcp=4433 _tcp_ssh_22._tcp.nas.example.com",
    ),
)
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@click.option(
    "--entrypoint",
    "ports",
    multiple=True,
    type=EntrypointPort(),
    help="Port of an entrypoint, for the client commands; repeatable."
    "  [default: web=80, websecure=443, tcp=4433]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON for programs.",
)
@verbosity_options
def parse_host(entries: tuple[str, ...], ports: tuple[tuple[str, str], ...], form: str) -> ExitCode:
    """Explain entries: what Traefik would make of each.

    ENTRY is NAME, NAME=ADDRESS, or - for such lines on standard input.
    """
    from ctsdns_traefik.core.explain import explain
    from ctsdns_traefik.report import as_json
    from ctsdns_traefik.report.explanations import explanation_as_json, explanation_as_text

    explained = [explain(entry, dict(ports)) for entry in _expanded(entries)]
    if form == "json":
        emit(as_json([explanation_as_json(one) for one in explained]))
    else:
        emit("\n".join(explanation_as_text(one) for one in explained))
    return ExitCode.FINDINGS if any(one.problem for one in explained) else ExitCode.OK


def _expanded(entries: Sequence[str]) -> Iterator[str]:
    """Put the lines of standard input, blank ones left out, in the place of ``-``."""
    for entry in entries:
        if entry != STANDARD_STREAM:
            yield entry
            continue
        from ctsdns_traefik.source import standard_input

        try:
            lines = standard_input().read().decode("utf-8", "backslashreplace").split("\n")
        except OSError as why:
            raise SourceError(f"cannot read standard input: {why.strerror}".lower()) from why
        yield from (line.strip() for line in lines if line.strip())
