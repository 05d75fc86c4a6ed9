"""Types of options: text of the command line or the environment, read into a value."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.core.entries import ENTRYPOINT_NAME, LARGEST_PORT
from ctsdns_traefik.core.text import in_quotes, shown
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from ctsdns_traefik.output import Command
    from ctsdns_traefik.source import Header
    from ctsdns_traefik.traefik import TraefikApi

PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

_PORT = re.compile("[0-9]{1,5}")
_ADDRESS = re.compile("(?P<host>.*:)?(?P<port>[0-9]{1,5})(/(tcp|udp))?")
_VERSION = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(\.[0-9A-Za-z.-]+)?")
_OLDEST_TRAEFIK = 3


class TextType(click.ParamType):  # type: ignore[type-arg]
    """A value that is read from text; a :class:`SettingsError` is reported as bad usage."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Read text; leave defaults, and values that were read before, as they are."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)

    def read(self, text: str) -> object:
        """Return the value; raise :class:`SettingsError`."""
        raise NotImplementedError


class Seconds(TextType):
    """A duration of at most a day, above zero or, with ``zero``, from zero on."""

    name = "seconds"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def read(self, text: str) -> float:
        """Read a number."""
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not (0 < seconds <= settings.LONGEST_WAIT or (self._zero and seconds == 0)):
            least = "of at least 0" if self._zero else "above 0"
            most = f"at most {settings.LONGEST_WAIT:g}"
            raise SettingsError(f"{text!r} is not a number {least} and {most}")
        return seconds


class HeaderType(TextType):
    """An HTTP header; in an environment variable each line is one."""

    name = "name: value"
    envvar_list_splitter = "\n"

    def read(self, text: str) -> Header:
        """Read ``Name: value``."""
        from ctsdns_traefik.source import header_from

        return header_from(text)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split into lines, without the empty ones."""
        return [line for line in rv.splitlines() if line.strip()]


class OutputType(TextType):
    """The path of a file, or the URL of a store, which stays text."""

    name = "path|url"

    def read(self, text: str) -> Path | str:
        """Distinguish a URL from a path."""
        from ctsdns_traefik.output.redis import is_store_url

        if in_quotes(text) and is_store_url(text[1:]):
            raise SettingsError("the store's URL is in quotes: write it without")
        return text if is_store_url(text) else Path(text)


class CommandLine(TextType):
    """A command, split into words as a shell does; it is run without a shell."""

    name = "command"

    def __init__(self, *, with_path: bool = False) -> None:
        self._with_path = with_path

    def read(self, text: str) -> Command:
        """Split into words; ``with_path`` requires a placeholder for the file's path."""
        from ctsdns_traefik.output import PATH, command_from

        command = command_from(text)
        if self._with_path and not any(PATH in word for word in command):
            raise SettingsError(f"it does not name the file to check: write {PATH} for it")
        return command


class TraefikUrl(TextType):
    """The base URL of Traefik's API, without ``/api``."""

    name = "url"

    def read(self, text: str) -> TraefikApi:
        """Read a URL; no error repeats it, since it may hold a password."""
        from ctsdns_traefik.traefik import traefik_api_from

        return traefik_api_from(text)


class EntrypointPort(TextType):
    """The name and the port of an entrypoint, for which an address may stand."""

    name = "name=[address:]port"

    def read(self, text: str) -> tuple[str, str]:
        """Read ``NAME=PORT`` or, as Traefik writes it, ``NAME=ADDRESS:PORT``."""
        entrypoint, _, address = text.partition("=")
        port = address.removesuffix("/tcp").rpartition(":")[2]
        if not (entrypoint and _PORT.fullmatch(port) and 1 <= int(port) <= LARGEST_PORT):
            raise SettingsError(f"{text!r} is not of the form NAME=PORT, tcp=4433 for one")
        return entrypoint, port


class EntrypointName(TextType):
    """The name of an entrypoint, optionally with its address as Traefik writes it."""

    name = "name[=address]"

    def read(self, text: str) -> str:
        """Read ``NAME`` or ``NAME=[HOST]:PORT[/PROTOCOL]``; return a port alone as ``:PORT``."""
        name, equals, address = text.partition("=")
        found = _ADDRESS.fullmatch(address)
        port_fits = found is not None and 1 <= int(found["port"]) <= LARGEST_PORT
        if not ENTRYPOINT_NAME.fullmatch(name) or (equals and not port_fits):
            form = "NAME or NAME=ADDRESS, web or web=:80 for two"
            raise SettingsError(f"{text!r} is not of the form {form}")
        return f"{name}=:{address}" if found and not found["host"] else text


class TraefikVersion(TextType):
    """A version of Traefik, of which the first two numbers matter."""

    name = "version"

    def read(self, text: str) -> tuple[int, int]:
        """Read ``3.6``, ``3.6.15`` or ``v3.6.15``."""
        found = _VERSION.fullmatch(text)
        if not found:
            raise SettingsError(f"{text!r} is not a version, such as 3.6 or 3.6.15")
        if int(found[1]) < _OLDEST_TRAEFIK:
            raise SettingsError(f"Traefik {shown(text)} is too old: routes need 3.0 or newer")
        return int(found[1]), int(found[2])
