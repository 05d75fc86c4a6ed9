"""The program: its commands, and every error turned into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import click

from ctsdns_traefik import __version__
from ctsdns_traefik.cli.options import epilog, verbosity_options
from ctsdns_traefik.cli.parse_host import parse_host
from ctsdns_traefik.cli.render_once import render_once
from ctsdns_traefik.cli.validate import validate
from ctsdns_traefik.cli.watch import watch
from ctsdns_traefik.core.printable import printable
from ctsdns_traefik.errors import CtsdnsError, ExitCode

log = logging.getLogger(__name__)

PROGRAM = "ctsdns-traefik"


@click.group(
    epilog=epilog(),
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
@verbosity_options
def cli() -> None:
    r"""Turn the service entries of a Tailscale policy into live Traefik routes.

    An entry in the policy's hosts map such as

    \b
      "_websecure_http_3000._tcp.app.example.com": "100.64.0.1"

    means: on entrypoint websecure, route app.example.com to http://100.64.0.1:3000.
    """


for command in (watch, render_once, parse_host, validate):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  (one a kind of end)
    """Run the command; every error becomes one line on standard error and an exit code."""
    from ctsdns_traefik.interrupts import Stop

    try:
        return cli.main(arguments, PROGRAM, standalone_mode=False) or ExitCode.OK
    except click.ClickException as why:
        why.show()
        return ExitCode.USAGE
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Stop as stop:
        log.info("%s: stopped", stop.signal.name)
        return stop.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OUTPUT
    except CtsdnsError as why:
        return _fail(str(why), why.exit_code)
    except Exception as defect:  # noqa: BLE001  (no traceback ever reaches a user)
        return _fail(f"internal error, please report it: {defect!r}", ExitCode.INTERNAL)


def _fail(message: str, code: ExitCode) -> ExitCode:
    click.echo(f"{PROGRAM}: error: {printable(message)}", err=True)
    return code
