"""The program: its commands, and the one place that maps errors to a line and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click
from click.core import ParameterSource

from ctsdns_traefik import __version__
from ctsdns_traefik.cli.command import (
    CONTEXT_SETTINGS,
    Context,
    epilog,
    verbosity_options,
    write_groups,
)
from ctsdns_traefik.cli.stdio import discard_unwritten, writing
from ctsdns_traefik.core.text import printable, quoted
from ctsdns_traefik.errors import CtsdnsError, ExitCode, ReaderGone, Stop, internal_error
from ctsdns_traefik.terminal import painter

PROGRAM = "ctsdns-traefik"

COMMANDS = ("watch", "render-once", "parse-host", "validate")


class Program(click.Group):
    """The program; it imports the module of a command only when that command is called."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands in the order in which a user needs them."""
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
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            ctx.fail(f"no such command {quoted(args[0])}{_meant(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups, then the commands."""
        write_groups(self, ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str()) for name, each in commands if each]
            )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; click itself would print an empty line for SIGINT."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stop(signal.SIGINT) from None


@click.group(
    cls=Program,
    epilog=epilog(),
    context_settings=CONTEXT_SETTINGS,
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
    """Run the program and return its exit code."""
    return run(cli, PROGRAM, arguments)


def run(command: click.Command, program: str, arguments: Sequence[str] | None) -> int:
    """Run a command; turn every exception into one line on standard error and an exit code."""
    code = _run(command, program, arguments)
    discard_unwritten(sys.stderr)
    return code


def _run(  # noqa: PLR0911  (a return for each kind of end)
    command: click.Command, program: str, arguments: Sequence[str] | None
) -> int:
    try:
        with writing():  # help, version and completion: commands raise no OSError
            return command.main(arguments, program, standalone_mode=False) or ExitCode.OK
    except click.ClickException as error:
        return _report_usage(error, program)
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Stop as stop:
        return stop.exit_code
    except SystemExit as end:  # click's own: after completion, or when its reader has gone
        return ExitCode.OUTPUT if end.code else ExitCode.OK
    except ReaderGone as gone:
        return gone.exit_code
    except CtsdnsError as error:
        for fault in error.faults or (str(error),):
            _report(program, fault, error.exit_code)
        return error.exit_code
    except Exception as defect:  # noqa: BLE001  (no traceback ever reaches a user)
        return _report(program, internal_error(defect), ExitCode.INTERNAL)


def _report_usage(error: click.ClickException, program: str) -> ExitCode:
    """Report bad usage and where to find help; without any arguments, that is the help itself."""
    message = _worded(error)
    if "\n" in message:
        return _print(message, ExitCode.USAGE)
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else program
    return _report(program, f"{message}; see '{path} --help'", ExitCode.USAGE)


def _worded(error: click.ClickException) -> str:
    """Word click's own errors as all others, independently of its release."""
    match error:
        case click.NoSuchOption():
            meant = _meant(error.option_name, error.possibilities or ())
            return f"no such option {error.option_name}{meant}"
        case click.MissingParameter(param=click.Parameter() as param):
            kind = "option" if isinstance(param, click.Option) else "argument"
            return f"missing {kind} {_place(param, None)}"
        case click.BadParameter(param=click.Parameter() as param):
            return f"invalid value for {_place(param, error.ctx)}: {error.message}"
    message = error.format_message()
    if isinstance(error, click.BadOptionUsage) or message.startswith("Got unexpected"):
        message = message[0].lower() + message[1:].rstrip(".").replace("'", "")
    return message


def _place(param: click.Parameter, context: click.Context | None) -> str:
    """Return where a value was given: the variable, the option, or the argument."""
    if not isinstance(param, click.Option):
        return param.human_readable_name
    source = context and param.name and context.get_parameter_source(param.name)
    return str(param.envvar) if source is ParameterSource.ENVIRONMENT else param.opts[-1]


def _meant(word: str, words: Sequence[str]) -> str:
    """Return the end of a message: which word was probably meant, if any."""
    from difflib import get_close_matches  # only mistakes need it

    return "".join(f" (did you mean {each}?)" for each in get_close_matches(word, words, n=1))


def _report(program: str, message: str, code: ExitCode) -> ExitCode:
    """Report an error that ends the program: to the log if that is in JSON, else as text."""
    from ctsdns_traefik.logs import log_failure

    if log_failure(message, code):
        return code
    return _print(f"{program}: {painter(sys.stderr)('error')}: {printable(message)}", code)


def _print(text: str, code: ExitCode) -> ExitCode:
    """Print on standard error; that it may be closed does not change the exit code."""
    with suppress(OSError):
        click.echo(text, err=True, color=True)  # click would take the colour out of a pipe
    return code
