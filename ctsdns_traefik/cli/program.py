"""The program: its commands, and every error turned into one line and an exit code."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from ctsdns_traefik import __version__
from ctsdns_traefik.cli.options import epilog, verbosity_options
from ctsdns_traefik.cli.stdio import writing
from ctsdns_traefik.core.text import printable
from ctsdns_traefik.errors import CtsdnsError, ExitCode, ReaderGone, Stop, internal_error

PROGRAM = "ctsdns-traefik"

COMMANDS = ("watch", "render-once", "parse-host", "validate")


class Program(click.Group):
    """The program; a command's module is imported only when the command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command from the module of its name."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"ctsdns_traefik.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that was probably meant."""
        likely = get_close_matches(args[0], COMMANDS, n=1)
        if likely and args[0] not in COMMANDS and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r} (did you mean {likely[0]!r}?)")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; click itself would print an empty line for SIGINT."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stop(signal.SIGINT) from None


@click.group(
    cls=Program,
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
    """Turn the service entries of a Tailscale policy into live Traefik routes.

    An entry in the policy's hosts map such as

    \b
      "_websecure_http_3000._tcp.app.example.com": "100.64.0.1"

    means: on entrypoint websecure, route app.example.com to http://100.64.0.1:3000.
    """  # noqa: D301  (click's mark for a paragraph that is not to be wrapped)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; every error becomes one line on standard error and an exit code."""
    return run(cli, PROGRAM, arguments)


def run(  # noqa: PLR0911  (one a kind of end)
    command: click.Command, program: str, arguments: Sequence[str] | None
) -> int:
    """Run a program's command; every error becomes one line and an exit code."""
    try:
        with writing():  # help, the version, completion; what a command raises is no OSError
            return command.main(arguments, program, standalone_mode=False) or ExitCode.OK
    except click.ClickException as why:
        return _fail_usage(why, program)
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Stop as stop:
        return stop.exit_code
    except SystemExit as end:  # click's own: completion, or a reader of its output gone away
        return ExitCode.OUTPUT if end.code else ExitCode.OK
    except ReaderGone as gone:
        return gone.exit_code
    except CtsdnsError as why:
        return _fail(program, str(why), why.exit_code)
    except Exception as defect:  # noqa: BLE001  (no traceback ever reaches a user)
        return _fail(program, internal_error(defect), ExitCode.INTERNAL)


def _fail_usage(why: click.ClickException, program: str) -> ExitCode:
    """Say what is wrong in one line, and where help is; no arguments at all get the help itself."""
    message = _unknown_option(why) if isinstance(why, click.NoSuchOption) else why.format_message()
    if "\n" in message:
        return _say(message, ExitCode.USAGE)
    context = why.ctx if isinstance(why, click.UsageError) else None
    path = context.command_path if context else program
    return _fail(program, f"{message.rstrip('.')}; see '{path} --help'", ExitCode.USAGE)


def _unknown_option(why: click.NoSuchOption) -> str:
    """Word it as an unknown command is, whatever the release of click."""
    meant = get_close_matches(why.option_name, why.possibilities or (), n=1)
    return f"No such option {why.option_name!r}" + (f" (did you mean {meant[0]}?)" if meant else "")


def _fail(program: str, message: str, code: ExitCode) -> ExitCode:
    """Say why it ends, as the log says things if that is in JSON."""
    from ctsdns_traefik.logs import log_failure

    if log_failure(message, code):
        return code
    return _say(f"{program}: error: {printable(message)}", code)


def _say(text: str, code: ExitCode) -> ExitCode:
    """Print on standard error; that it cannot be heard changes nothing about how it ends."""
    with suppress(OSError):
        click.echo(text, err=True)
    return code
