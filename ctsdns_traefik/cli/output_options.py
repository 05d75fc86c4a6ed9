"""Output: the options of a file or store, and of the user's commands around a change of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import Function, bundle, option
from ctsdns_traefik.cli.options import warn_of_hangup, warn_unencrypted
from ctsdns_traefik.cli.parameter_types import (
    CHECK_COMMAND,
    COMMAND,
    FILE,
    NO_OUTPUT,
    OUTPUT,
    Choice,
    complete_files,
)
from ctsdns_traefik.cli.stdio import STANDARD_STREAM
from ctsdns_traefik.core.text import shown

if TYPE_CHECKING:
    from ctsdns_traefik.cancellation import Cancellation
    from ctsdns_traefik.core.dynamic import Format
    from ctsdns_traefik.daemon import Publish
    from ctsdns_traefik.output import Check, Command, OnChange, Output
    from ctsdns_traefik.output.redis import Address

_DOCUMENTS = ((".yml", ".yaml"), "Traefik reads JSON and YAML from no other file")
_PICTURES = ((".svg",), "Traefik cannot load a picture")
"""How the name of a file has to end, and why."""


@dataclass(frozen=True)
class OutputOptions:
    """Where the document goes, and the user's commands around a change of it."""

    output: Path | str | None
    form: Format | Literal["svg"]
    store_password_file: Path | None
    store_ca_file: Path | None
    on_change: Command | None
    adopt: bool
    check_command: Command | None

    @property
    def is_standard_output(self) -> bool:
        """Whether the output is standard output, which is written only once."""
        return self.output is None or self.output == Path(STANDARD_STREAM)

    @property
    def path(self) -> Path | None:
        """The file, if the output is one."""
        is_file = isinstance(self.output, Path) and not self.is_standard_output
        return self.output if is_file else None  # type: ignore[return-value]

    @property
    def is_store(self) -> bool:
        """Whether the output is a store."""
        return isinstance(self.output, str) and not self.is_none

    @property
    def is_none(self) -> bool:
        """Whether there is no output but what watch serves."""
        return self.output == NO_OUTPUT

    @property
    def provider(self) -> str:
        """Traefik's provider that reads the output."""
        if self.is_store:
            return "redis"
        return "http" if self.is_none else "file"

    @property
    def document_form(self) -> Format:
        """The format of the document; a store is written from JSON."""
        return "json" if self.is_store or self.form == "svg" else self.form

    def require_usable(self) -> None:
        """Raise :class:`click.UsageError` for a file's wrong ending, or a hook without a file."""
        from ctsdns_traefik.output import PATH

        endings, why = _PICTURES if self.form == "svg" else _DOCUMENTS
        if self.path and self.path.suffix.lower() not in endings:
            raise click.UsageError(
                f"--output {shown(str(self.path))} does not end in {' or '.join(endings)}: {why}"
            )
        if self.path is None and self.on_change and any(PATH in word for word in self.on_change):
            kind = "a store" if self.is_store else "no output"
            raise click.UsageError(
                f"{kind} has no file that {PATH} of --on-change could stand for: remove {PATH}"
            )

    def build(
        self,
        check: Check | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        cancellation: Cancellation | None = None,
        lease_seconds: float = settings.STORE_LEASE.default,
    ) -> Output:
        """Build the output.

        ``check`` has to accept new content, ``sleep`` waits amid a write, ``cancellation`` ends
        connections, ``lease_seconds`` is how long a write keeps other processes from writing to a
        store. Raise :class:`.SettingsError` for a store's URL that cannot be used.
        """
        if self.path:
            from ctsdns_traefik.output import FileOutput

            return FileOutput(self.path, check, adopt=self.adopt)
        if self.is_none:
            from ctsdns_traefik.output import MemoryOutput

            return MemoryOutput(check)
        from ctsdns_traefik.output.redis import RedisOutput

        address = self.store_address()
        if address.in_the_clear:
            warn_unencrypted(address, "rediss://")
        return RedisOutput(address, check, sleep, cancellation, lease_seconds)

    def store_address(self) -> Address:
        """Build the address of the store; raise :class:`.SettingsError` if it cannot be used."""
        from ctsdns_traefik.output.redis import address_from, load_library

        address = address_from(
            str(self.output),
            password=os.environ.get(settings.STORE_PASSWORD.variable) or None,
            password_file=self.store_password_file,
            ca_file=self.store_ca_file,
        )
        load_library()
        return address

    def build_check(self, stops: Callable[[], bool]) -> Check | None:
        """Build the check of new content, if there is a command for it."""
        from ctsdns_traefik.output import Check

        return Check(self.check_command, stops) if self.check_command else None

    def build_on_change(self, publish: Publish, stops: Callable[[], bool]) -> OnChange | None:
        """Build what runs after each change, if there is a command for it."""
        from ctsdns_traefik.daemon import HookFailed, HookSucceeded
        from ctsdns_traefik.output import OnChange

        if self.on_change is None:
            return None
        if not self.path:
            warn_of_hangup(self.on_change)

        def ended(error: object | None) -> None:
            publish(HookSucceeded() if error is None else HookFailed(str(error)))

        return OnChange(self.on_change, self.path, ended, stops)


def output_options(
    *, default: str | None, text: str, pictures: bool = False
) -> Callable[[Function], Function]:
    """Declare the output and all that goes with it; without one it is standard output."""
    picture = ", or svg for a picture of the routes" if pictures else ""
    return bundle(
        "target",
        OutputOptions,
        option(
            "-o",
            "--output",
            group="Output",
            setting=settings.OUTPUT,
            default=default,
            type=OUTPUT,
            shell_complete=complete_files,
            help=text,
        ),
        option(
            "--format",
            "form",
            group="Output",
            setting=settings.FORMAT,
            type=Choice(["json", "yaml", *(["svg"] if pictures else [])]),
            help=f"Format of the file: json or yaml, of which Traefik reads both{picture}.",
        ),
        *_OF_OUTPUTS,
    )


_OF_OUTPUTS = (
    option(
        "--on-change",
        group="Output",
        setting=settings.ON_CHANGE,
        type=COMMAND,
        help="Command to run after each change, without a shell; {path} stands for the file.",
    ),
    option(
        "--store-password-file",
        group="Output",
        setting=settings.STORE_PASSWORD_FILE,
        type=FILE,
        help="File with the password of a redis:// output, read at each snapshot; the password"
        f" itself can be in {settings.STORE_PASSWORD.variable}.",
    ),
    option(
        "--store-ca-file",
        group="Output",
        setting=settings.STORE_CA_FILE,
        type=FILE,
        help="File of certificates to trust instead of the usual ones, for a rediss:// output.",
    ),
    option(
        "--adopt",
        group="Safety",
        setting=settings.ADOPT,
        is_flag=True,
        help="Replace a file that ctsdns-traefik did not write, and keep a copy as NAME.bak.",
    ),
    option(
        "--check-command",
        group="Safety",
        setting=settings.CHECK_COMMAND,
        type=CHECK_COMMAND,
        help="Command that has to accept new content, by exit code 0, before it is written;"
        " {path} stands for a file with it.",
    ),
)
