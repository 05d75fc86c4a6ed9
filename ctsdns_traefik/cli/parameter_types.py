"""What the options take: texts of the command line and the environment, read into values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.core.entries import ENTRYPOINT_NAME, LARGEST_PORT
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from ctsdns_traefik.output import Command
    from ctsdns_traefik.source import Header
    from ctsdns_traefik.traefik import TraefikApi

_PORT = re.compile("[0-9]{1,5}")
_ADDRESS = re.compile("(?P<host>.*:)?(?P<port>[0-9]{1,5})(/(tcp|udp))?")
_VERSION = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(\.[0-9A-Za-z.-]+)?")
_OLDEST_TRAEFIK = 3


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
        from ctsdns_traefik.source import header_from

        if isinstance(value, tuple):
            return value
        try:
            return header_from(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split at line ends; empty lines say nothing."""
        return [line for line in rv.splitlines() if line.strip()]


class CommandLine(click.ParamType):  # type: ignore[type-arg]
    """A command, split as a shell splits words; no shell ever sees it."""

    name = "command"

    def __init__(self, *, with_path: bool = False) -> None:
        """Take whether it has to say where the path of the file goes."""
        self._with_path = with_path

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Command:
        """Split the words."""
        from ctsdns_traefik.output import PATH, command_from

        if isinstance(value, tuple):
            return value
        try:
            command = command_from(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)
        if self._with_path and not any(PATH in word for word in command):
            self.fail(f"it does not say what to check: {PATH} stands for the file", param, ctx)
        return command


class TraefikUrl(click.ParamType):  # type: ignore[type-arg]
    """The URL that stands before ``/api`` of Traefik's API."""

    name = "url"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TraefikApi:
        """Read it; a complaint never repeats it, since it may hold a password."""
        from ctsdns_traefik.traefik import TraefikApi, traefik_api_from

        if isinstance(value, TraefikApi):
            return value
        try:
            return traefik_api_from(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)


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


class EntrypointName(click.ParamType):  # type: ignore[type-arg]
    """The name of an entrypoint, and perhaps its address as Traefik writes it."""

    name = "name[=address]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read ``NAME`` or ``NAME=[HOST]:PORT[/PROTOCOL]``; a port alone will do."""
        name, equals, address = str(value).partition("=")
        found = _ADDRESS.fullmatch(address)
        port_fits = found is not None and 1 <= int(found["port"]) <= LARGEST_PORT
        if not ENTRYPOINT_NAME.fullmatch(name) or (equals and not port_fits):
            form = "NAME or NAME=ADDRESS, web or web=:80 for two"
            self.fail(f"{value!r} is not of the form {form}", param, ctx)
        return f"{name}=:{address}" if found and not found["host"] else str(value)


class TraefikVersion(click.ParamType):  # type: ignore[type-arg]
    """A version of Traefik, of which the first two numbers count."""

    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read ``3.6``, ``3.6.15`` or ``v3.6.15``."""
        if isinstance(value, tuple):
            return value
        found = _VERSION.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is not a version, such as 3.6 or 3.6.15", param, ctx)
        if int(found[1]) < _OLDEST_TRAEFIK:
            self.fail(f"Traefik {shown(value)} is too old: routes need 3.0 or newer", param, ctx)
        return int(found[1]), int(found[2])
