"""Types of options: text of the command line or the environment, read into a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctsdns_traefik import settings
from ctsdns_traefik.core.text import in_quotes, quoted, shown
from ctsdns_traefik.errors import SettingsError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ctsdns_traefik.output import Command
    from ctsdns_traefik.server import ListenAddress
    from ctsdns_traefik.source import Header
    from ctsdns_traefik.traefik import TraefikApi

NO_OUTPUT = "none"
"""The output of a watch that only serves."""

_OLDEST_TRAEFIK = 3


_HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}(/[0-9]*)?")
_USER_AND_PASSWORD = re.compile(r"[^./].*:[^/]*@")
"""A URL with a mistake before its password, which no message may repeat."""

_ENTRYPOINT_OPTION = re.compile(r"tls(=(true|false))?|redirect=(:[0-9]+|[A-Za-z0-9][\w-]*)")


def complete_files(
    ctx: click.Context,  # noqa: ARG001  (click gives it by name)
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Let a shell complete a value that may be a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


class TextType(click.ParamType):  # type: ignore[type-arg]
    """A value read from text by a function, whose :class:`SettingsError` becomes bad usage."""

    envvar_list_splitter = "\n"

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name = name
        self._read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Read text; leave defaults, and values that were read before, as they are."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except SettingsError as why:
            self.fail(str(why), param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split the value of a repeatable option's variable into lines; drop empty ones."""
        return [line for line in rv.splitlines() if line.strip()]


def _read_seconds(text: str, *, zero: bool = False) -> float:
    """Read a duration of at most a day, above zero or, with ``zero``, from zero on."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (0 < seconds <= settings.LONGEST_WAIT or (zero and seconds == 0)):
        limits = f"{'from 0' if zero else 'above 0 and up'} to {settings.LONGEST_WAIT:g}"
        raise SettingsError(f"{quoted(text)} is not a number of seconds {limits}")
    return seconds


def _read_header(text: str) -> Header:
    from ctsdns_traefik.source import header_from

    return header_from(text)


def _read_output(text: str) -> Path | str:
    """Read the path of a file; the URL of a store, or ``none`` for no output, stays text."""
    from ctsdns_traefik.output.redis import is_store_url

    if in_quotes(text) and is_store_url(text[1:]):
        raise SettingsError("the URL of the store is in quotes: write it without")
    if not text:
        raise SettingsError(_NO_PATH)
    if _HOST_AND_PORT.fullmatch(text):
        raise SettingsError(
            f"{quoted(text)} is not a file (did you mean the store redis://{text}?)"
        )
    if text == NO_OUTPUT or is_store_url(text):
        return text
    if _USER_AND_PASSWORD.match(text) and not Path(text).suffix.startswith(".y"):
        raise SettingsError("it is not a file; a store begins with redis:// or rediss://")
    return Path(text)


def _read_listen_address(text: str) -> ListenAddress:
    from ctsdns_traefik.server import listen_address_from

    return listen_address_from(text)


def _read_host_name(text: str) -> str:
    from ctsdns_traefik.server import host_name_from

    return host_name_from(text)


def _read_command(text: str) -> Command:
    """Split a command into words as a shell does; it is run without a shell."""
    from ctsdns_traefik.output import command_from

    return command_from(text)


def _read_check_command(text: str) -> Command:
    """Read a command with a placeholder for the path of the file to check."""
    from ctsdns_traefik.output import PATH as PLACEHOLDER

    command = _read_command(text)
    if not any(PLACEHOLDER in word for word in command):
        raise SettingsError(f"it does not name the file to check: write {PLACEHOLDER} for it")
    return command


def _read_traefik_url(text: str) -> TraefikApi:
    """Read the base URL of Traefik's API; no error repeats it, since it may hold a password."""
    from ctsdns_traefik.traefik import traefik_api_from

    return traefik_api_from(text)


def _read_entrypoint_port(text: str) -> tuple[str, str]:
    """Read ``NAME=PORT`` or, as Traefik writes it, ``NAME=ADDRESS:PORT``."""
    entrypoint, _, address = text.partition("=")
    port = re.sub("/(tcp|udp)$", "", address).rpartition(":")[2]
    if not entrypoint or not _is_port(port):
        raise SettingsError(f"{quoted(text)} is not of the form NAME=PORT, such as tcp=4433")
    return entrypoint, port


def _read_ca_file(text: str) -> str:
    """Read a path that can stand in the lines of every client; those quote in different ways."""
    if not re.fullmatch(r"[\w./~@%+:-]+", text):
        raise SettingsError(
            f"{quoted(text)} cannot stand in the lines of all clients: give the file a path of"
            " letters, digits and . _ - / alone"
        )
    return text


def _read_entrypoint(text: str) -> str:
    """Read ``NAME`` or ``NAME=[HOST]:PORT[/PROTOCOL][,OPTION...]``; return a port as ``:PORT``."""
    from ctsdns_traefik.core.entries import ENTRYPOINT_NAME

    name, equals, described = text.partition("=")
    address, *options = described.split(",")
    found = re.fullmatch("(?P<host>.*:)?(?P<port>[0-9]+)(/(tcp|udp))?", address)
    fits = _is_port(found["port"]) if found else not equals
    fits = fits and all(map(_ENTRYPOINT_OPTION.fullmatch, options))
    if not ENTRYPOINT_NAME.fullmatch(name) or not fits:
        form = "NAME, NAME=ADDRESS, NAME=ADDRESS,tls or NAME=ADDRESS,redirect=TARGET"
        raise SettingsError(f"{quoted(text)} is not of the form {form}")
    return f"{name}=:{described}" if found and not found["host"] else text


def _is_port(text: str) -> bool:
    from ctsdns_traefik.core.entries import LARGEST_PORT

    return bool(re.fullmatch("[0-9]{1,5}", text)) and 1 <= int(text) <= LARGEST_PORT


def _read_traefik_version(text: str) -> tuple[int, ...]:
    """Read ``3.6``, ``3.6.15`` or ``v3.6.15``; of a release candidate the numbers matter."""
    found = re.fullmatch(
        r"v?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3})([.-][0-9A-Za-z.-]+)?)?", text
    )
    if not found:
        raise SettingsError(f"{quoted(text)} is not a version, such as 3.6 or 3.6.15")
    if int(found[1]) < _OLDEST_TRAEFIK:
        raise SettingsError(f"Traefik {shown(text)} is too old: routes need 3.0 or newer")
    return tuple(int(each) for each in found.group(1, 2, 3) if each)


class PathType(click.Path):
    """The path of a file, which need not exist yet."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path; an empty one would be that of the working directory."""
        if not str(value):
            self.fail(_NO_PATH, param, ctx)
        return Path(str(value))


_NO_PATH = "it is empty: name a file"


class FileType(PathType):
    """The path of a file that is read, which need not exist yet."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path; reject that of a directory."""
        path = super().convert(value, param, ctx)
        with suppress(OSError, ValueError):
            if path.is_dir():
                self.fail(f"{shown(str(path))} is a directory: name a file", param, ctx)
        return path


class Choice(click.Choice[str]):
    """One of some words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a word; reject one that is not among the choices."""
        if value not in self.choices:
            self.fail(f"{quoted(str(value))} is not one of {', '.join(self.choices)}", param, ctx)
        return str(value)


PATH = PathType()
FILE = FileType()
SECONDS = TextType("seconds", _read_seconds)
SECONDS_OR_ZERO = TextType("seconds", partial(_read_seconds, zero=True))
HEADER = TextType("name: value", _read_header)
OUTPUT = TextType("path|url", _read_output)
LISTEN_ADDRESS = TextType("address:port", _read_listen_address)
HOST_NAME = TextType("name", _read_host_name)
COMMAND = TextType("command", _read_command)
CHECK_COMMAND = TextType("command", _read_check_command)
TRAEFIK_URL = TextType("url", _read_traefik_url)
TRAEFIK_VERSION = TextType("version", _read_traefik_version)
ENTRYPOINT = TextType("name[=address]", _read_entrypoint)
CA_FILE = TextType("path", _read_ca_file)
ENTRYPOINT_PORT = TextType("name=[address:]port", _read_entrypoint_port)
