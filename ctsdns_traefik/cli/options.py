"""The options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.parameter_types import CommandLine, HeaderType, Seconds
from ctsdns_traefik.core.text import in_quotes
from ctsdns_traefik.errors import MEANINGS, ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.logs import LogFormat

Function = TypeVar("Function", bound=Callable[..., Any])

_VERBOSITY = "ctsdns_traefik.verbosity"


def epilog(*examples: str, meanings: Mapping[ExitCode, str] = MEANINGS) -> str:
    """Return what ends a help text: examples of use, then the exit codes."""
    codes = (f"  {code.value:>3}  {meaning}" for code, meaning in meanings.items())
    paragraphs = (("Examples:", *(f"  {example}" for example in examples)), ("Exit codes:", *codes))
    return "\n\n".join("\n".join(("\b", *lines)) for lines in paragraphs if len(lines) > 1)


def _count_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    sign = -1 if param.name == "quiet" else 1
    ctx.meta[_VERBOSITY] = ctx.meta.get(_VERBOSITY, 0) + sign * value


def start_logging(*, dated: bool = False, form: LogFormat = "text") -> None:
    """Log to standard error as far as ``-v`` and ``-q`` ask for it; a daemon's lines are dated."""
    from ctsdns_traefik import logs

    verbosity = click.get_current_context().meta.get(_VERBOSITY, 0)
    logs.set_up(sys.stderr, verbosity, dated=dated, form=form)


def verbosity_options(function: Function) -> Function:
    """Declare ``-v`` and ``-q``; they add up over the program and the command."""
    for flags, text in (
        (("-q", "--quiet"), "Say less; twice for errors alone."),
        (("-v", "--verbose"), "Say more."),
    ):
        function = click.option(
            *flags,
            count=True,
            expose_value=False,
            show_default=False,
            callback=_count_verbosity,
            help=text,
        )(function)
    return function


def setting_option(
    *names: str, setting: settings.Setting, **attributes: Any
) -> Callable[[Function], Function]:
    """Declare the option of one setting, with its variable and its default."""
    if setting.default is not None:
        attributes.setdefault("default", setting.default)
    return click.option(
        *names, cls=_SettingOption, envvar=setting.variable, show_envvar=True, **attributes
    )


class _SettingOption(click.Option):
    """An option with a variable."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value; quotes around all of it are not meant, so complain."""
        value = super().resolve_envvar_value(ctx)
        if value is not None and in_quotes(value.strip()):
            raise click.UsageError(
                f"the value of {self.envvar} is in quotes: write it without"
                " (docker's --env-file keeps them)",
                ctx,
            )
        return value


def endpoint_options(function: Function) -> Function:
    """Declare how to get in at the endpoint; see :func:`..sources.build_endpoint`."""
    file = click.Path(dir_okay=False, path_type=Path)
    for decorate in (
        setting_option(
            "--ca-file",
            setting=settings.CA_FILE,
            type=file,
            help="Certificates to trust instead of the usual ones, for an https endpoint.",
        ),
        setting_option(
            "--token-file",
            setting=settings.TOKEN_FILE,
            type=file,
            help="File with a token for 'Authorization: Bearer', read at each connection."
            f" The token itself can be set as {settings.TOKEN.variable}.",
        ),
        setting_option(
            "--header",
            "headers",
            setting=settings.HEADERS,
            type=HeaderType(),
            multiple=True,
            help="Header to send to the endpoint; repeatable, in the variable one a line.",
        ),
    ):
        function = decorate(function)
    return function


def format_option(function: Function) -> Function:
    """Declare the format of the file."""
    return setting_option(
        "--format",
        "form",
        setting=settings.FORMAT,
        type=click.Choice(["json", "yaml"]),
        help="Text of the file; Traefik reads both, since JSON is YAML.",
    )(function)


def adopt_option(function: Function) -> Function:
    """Declare whether a file that is not this tool's may be replaced."""
    return setting_option(
        "--adopt",
        setting=settings.ADOPT,
        is_flag=True,
        help="Replace a file that ctsdns-traefik did not write; a copy of it is kept as NAME.bak.",
    )(function)


def log_format_option(function: Function) -> Function:
    """Declare the format of the log."""
    return setting_option(
        "--log-format",
        setting=settings.LOG_FORMAT,
        type=click.Choice(["text", "json"]),
        help="Lines of the log: text for people, or a JSON object each; see docs/status.md.",
    )(function)


def access_file_option(function: Function) -> Function:
    """Declare the file that says who may reach which route."""
    return setting_option(
        "--access-file",
        setting=settings.ACCESS_FILE,
        type=click.Path(path_type=Path),
        help="YAML file that says who may reach which route; see docs/access.md.",
    )(function)


def hook_options(function: Function) -> Function:
    """Declare the user's commands around a change of the file."""
    for decorate in (
        setting_option(
            "--check-command",
            setting=settings.CHECK_COMMAND,
            type=CommandLine(with_path=True),
            help="Command that has to agree, by its exit status 0, before the output is replaced;"
            " {path} stands for a file with the new content.",
        ),
        setting_option(
            "--on-change",
            setting=settings.ON_CHANGE,
            type=CommandLine(),
            help="Command to run after each change, without a shell; {path} stands for the file,"
            " if the output is one.",
        ),
    ):
        function = decorate(function)
    return function


source_argument = click.argument("source", required=False, envvar=settings.ENDPOINT.variable)

timeout_option = setting_option(
    "--timeout",
    setting=settings.SNAPSHOT_TIMEOUT,
    type=Seconds(),
    help="How long to wait for a snapshot.",
)
