"""From what the user named as output to the file or store that it is."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.options import setting_option
from ctsdns_traefik.cli.parameter_types import Seconds
from ctsdns_traefik.core.text import in_quotes

if TYPE_CHECKING:
    from ctsdns_traefik.cancellation import Cancellation
    from ctsdns_traefik.output import Check, Command, Output

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


class OutputType(click.ParamType):  # type: ignore[type-arg]
    """A file, or a store's URL; the URL stays text."""

    name = "path|url"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path | str:
        """Tell a URL from a path."""
        from ctsdns_traefik.output.redis import is_store_url

        if isinstance(value, str) and in_quotes(value) and is_store_url(value[1:]):
            self.fail("the store's URL is in quotes: write it without", param, ctx)
        return value if isinstance(value, str) and is_store_url(value) else Path(value)


def store_options(function: Function) -> Function:
    """Declare how to get in at a store; see :func:`build_output`."""
    file = click.Path(dir_okay=False, path_type=Path)
    for decorate in (
        setting_option(
            "--store-ca-file",
            setting=settings.STORE_CA_FILE,
            type=file,
            help="Certificates to trust instead of the usual ones, for a rediss:// output.",
        ),
        setting_option(
            "--store-password-file",
            setting=settings.STORE_PASSWORD_FILE,
            type=file,
            help="File with the password of a redis:// output, read at each snapshot."
            f" The password itself can be set as {settings.STORE_PASSWORD.variable}.",
        ),
    ):
        function = decorate(function)
    return function


store_lease_option = setting_option(
    "--store-lease",
    setting=settings.STORE_LEASE,
    type=Seconds(),
    help="For a redis:// output that several watches share: for how long the one that writes keeps"
    " the others from writing after its last snapshot. At least twice the source's interval.",
)


def refuse_path(output: Path | str | None, on_change: Command | None) -> None:
    """Raise :class:`click.UsageError` for a command after a change that wants a store's path."""
    from ctsdns_traefik.output import PATH

    if isinstance(output, str) and on_change and any(PATH in word for word in on_change):
        raise click.UsageError(f"a store has no file that {PATH} of --on-change could stand for")


def build_output(
    output: Path | str,
    store_password_file: Path | None,
    store_ca_file: Path | None,
    check: Check | None = None,
    *,
    adopt: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    cancellation: Cancellation | None = None,
    lease_seconds: float = settings.STORE_LEASE.default,
) -> Output:
    """Build the target; a password comes from the environment, a file or the URL.

    ``check`` has to agree to new content; ``adopt`` lets it replace a file that is not this
    tool's; ``sleep`` is how to wait amid a write, and ``cancellation`` ends connections.
    ``lease_seconds`` is how long a write keeps other processes from writing to a store. Raise
    :class:`SettingsError` for a URL that cannot be used.
    """
    if isinstance(output, Path):
        from ctsdns_traefik.output import FileOutput

        return FileOutput(output, check, adopt=adopt)
    from ctsdns_traefik.logs import as_event
    from ctsdns_traefik.output.redis import RedisOutput, address_from, load_library

    address = address_from(
        output,
        password=os.environ.get(settings.STORE_PASSWORD.variable) or None,
        password_file=store_password_file,
        ca_file=store_ca_file,
    )
    load_library()
    if address.in_the_clear:
        said = "the password of %s goes over the network unencrypted: use rediss://"
        log.warning(said, address, extra=as_event("unencrypted", endpoint=address))
    return RedisOutput(address, check, sleep, cancellation, lease_seconds)
