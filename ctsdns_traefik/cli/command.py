"""Commands and options: groups in --help, variables, options bundled as values, verbosity."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import click

from ctsdns_traefik.core.text import in_quotes, in_quotes_error, quoted
from ctsdns_traefik.errors import MEANINGS, CtsdnsError, ExitCode, internal_error
from ctsdns_traefik.settings import Setting

if TYPE_CHECKING:
    from ctsdns_traefik.logs import LogFormat

Function = TypeVar("Function", bound=Callable[..., Any])

_VERBOSITY = "ctsdns_traefik.verbosity"
"""Where click's context keeps the sum of all -v and -q."""

_FLAG_VALUES = ("1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off")
"""What click reads as a flag."""

_LONGEST_NAMES = 30
"""Columns of an option's names beyond which its description starts on the next line."""

_TWO_COLUMNS = 74
"""The least width for names beside descriptions, which hold variables of up to 40 letters."""

_HYPHEN = "\N{NON-BREAKING HYPHEN}"


Group = Literal[
    "Source",
    "Traefik",
    "Output",
    "Server",
    "Access",
    "Safety",
    "Monitoring",
    "Logging",
    "Other",
]
"""The groups of options, in the order in which --help and docs/cli.md list them."""


class Option(click.Option):
    """An option that belongs to a group, and may have an environment variable."""

    def __init__(self, *arguments: Any, group: Group, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.group = group

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value; refuse one in quotes, which no shell has removed."""
        value = super().resolve_envvar_value(ctx)
        text = (value or "").strip()
        if in_quotes(text):
            raise click.UsageError(in_quotes_error(str(self.envvar)), ctx)
        if text and self.is_flag and text.lower() not in _FLAG_VALUES:
            fault = f"{quoted(text)} is neither true nor false"
            raise click.UsageError(f"invalid value for {self.envvar}: {fault}", ctx)
        return value


class HelpFormatter(click.HelpFormatter):
    """A formatter that wraps between words alone, so that each can be copied.

    click's own breaks options and URLs at their hyphens, and long words anywhere.
    """

    def write(self, string: str) -> None:
        """Write text, its hyphens as they were."""
        super().write(string.replace(_HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = _LONGEST_NAMES, col_spacing: int = 2
    ) -> None:
        """Write names and descriptions beside each other, or one below the other if narrow."""
        rows = [(name, text.replace("-", _HYPHEN)) for name, text in rows]
        if self.width >= _TWO_COLUMNS:
            return super().write_dl(rows, col_max, col_spacing)
        for name, text in rows:
            self.write(f"{'':{self.current_indent}}{name.rstrip()}\n")
            self.indent()
            self.indent()
            self.write_text(text)
            self.dedent()
            self.dedent()
        return None


class Context(click.Context):
    """A context whose help is formatted like that."""

    formatter_class = HelpFormatter


CONTEXT_SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "show_default": True,
}


class GroupedCommand(click.Command):
    """A command whose --help lists the options in groups."""

    context_class = Context

    def get_short_help_str(self, limit: int = 99) -> str:
        """Return the first sentence, whole, for the list and completion."""
        return super().get_short_help_str(limit)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading."""
        write_groups(self, ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; an error knows its command, whose --help it names."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise an unexpected :class:`OSError` as a :class:`CtsdnsError`.

        The only other :class:`OSError` that click lets out is then one of standard output.
        """
        try:
            return super().invoke(ctx)
        except OSError as defect:
            raise CtsdnsError(internal_error(defect)) from defect


def write_groups(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the help of a command's options, in groups."""
    groups: dict[Group, list[tuple[str, str]]] = {group: [] for group in get_args(Group)}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record:
            groups[getattr(parameter, "group", "Other")].append(record)
    longest = max(len(names) for records in groups.values() for names, _ in records)
    width = min(longest, _LONGEST_NAMES)  # one for all groups, so that their columns align
    for group, records in groups.items():
        if records:
            with formatter.section(group):
                formatter.write_dl([(names.ljust(width), text) for names, text in records])


def option(
    *names: str, group: Group, setting: Setting | None = None, **attributes: Any
) -> Callable[[Function], Function]:
    """Declare an option; a setting gives it an environment variable and a default."""
    if setting:
        attributes |= {"envvar": setting.variable, "show_envvar": True}
        if setting.default is not None:
            attributes.setdefault("default", setting.default)
    return click.option(*names, cls=Option, group=group, **attributes)


def bundle(
    name: str, kind: type, *declarations: Callable[[Function], Function]
) -> Callable[[Function], Function]:
    """Declare parameters that a command receives as one argument ``name``, a dataclass ``kind``.

    The dataclass has a field for each parameter.
    """

    def decorate(function: Function) -> Function:
        from dataclasses import fields  # parse-host has no bundles, and starts faster without

        @wraps(function)
        def bundled(**values: Any) -> Any:
            bundled_values = {field.name: values.pop(field.name) for field in fields(kind)}
            return function(**values, **{name: kind(**bundled_values)})

        command: Any = bundled
        for declare in reversed(declarations):
            command = declare(command)
        return command  # type: ignore[no-any-return]

    return decorate


def verbosity_options(function: Function) -> Function:
    """Declare ``-v`` and ``-q``, which add up over the program and the command."""
    for flags, text in (
        (("-q", "--quiet"), "Log less; twice: errors only."),
        (("-v", "--verbose"), "Log more."),
    ):
        function = option(
            *flags,
            group="Logging",
            count=True,
            expose_value=False,
            show_default=False,
            callback=_count_verbosity,
            help=text,
        )(function)
    return function


def _count_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    sign = -1 if param.name == "quiet" else 1
    ctx.meta[_VERBOSITY] = ctx.meta.get(_VERBOSITY, 0) + sign * value


def start_logging(*, dated: bool = False, form: LogFormat = "text") -> None:
    """Log to standard error, at the level that ``-v`` and ``-q`` set; with times if ``dated``."""
    from ctsdns_traefik import logs

    verbosity = click.get_current_context().meta.get(_VERBOSITY, 0)
    logs.set_up(sys.stderr, verbosity, dated=dated, form=form)


def epilog(
    *examples: str,
    meanings: Mapping[ExitCode, str] = MEANINGS,
    ok: str = "",
    findings: str = "",
) -> str:
    """Return the end of a help text: examples, then the exit codes.

    ``ok`` and ``findings`` are what 0 and 1 mean for a command, if that is more exact.
    """
    own = {ExitCode.OK: ok, ExitCode.FINDINGS: findings}
    meanings = {code: own.get(code) or meaning for code, meaning in meanings.items()}
    codes = (f"  {code.value:>3}  {meaning}" for code, meaning in meanings.items())
    paragraphs = (("Examples:", *(f"  {example}" for example in examples)), ("Exit codes:", *codes))
    return "\n\n".join("\n".join(("\b", *lines)) for lines in paragraphs if len(lines) > 1)
