"""What the options take: texts of the command line and the environment, read into values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.core.hosts import LARGEST_PORT
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from ctsdns_traefik.endpoint import Header

_PORT = re.compile("[0-9]{1,5}")


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A time in seconds, above zero or from zero."""

    name = "seconds"

    def __init__(self, *, zero: bool = False) -> None:
        """Take whether zero is a time."""
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a finite number of at most a day."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not (0 < seconds <= settings.LONGEST_WAIT or (self._zero and seconds == 0)):
            least = "of at least 0" if self._zero else "above 0"
            most = f"at most {settings.LONGEST_WAIT:g}"
            self.fail(f"{value!r} is not a number {least} and {most}", param, ctx)
        return seconds


class HeaderType(click.ParamType):  # type: ignore[type-arg]
    """An HTTP header; several in the environment stand one a line."""

    name = "name: value"
    envvar_list_splitter = "\n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Header:
        """Read ``Name: value``."""
        from ctsdns_traefik.endpoint import header_from

        if isinstance(value, tuple):
            return value
        try:
            return header_from(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split at line ends; empty lines say nothing."""
        return [line for line in rv.splitlines() if line.strip()]


class EntrypointPort(click.ParamType):  # type: ignore[type-arg]
    """The name and the port of an entrypoint, the port possibly as an address."""

    name = "name=[address:]port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read ``NAME=PORT`` or, as Traefik writes it, ``NAME=ADDRESS:PORT``."""
        if isinstance(value, tuple):
            return value
        entrypoint, _, address = value.partition("=")
        port = address.removesuffix("/tcp").rpartition(":")[2]
        if not (entrypoint and _PORT.fullmatch(port) and 1 <= int(port) <= LARGEST_PORT):
            self.fail(f"{value!r} is not of the form NAME=PORT, tcp=4433 for one", param, ctx)
        return entrypoint, port
