"""Source: the options of an endpoint, a stream that is followed, and one snapshot."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import bundle, option
from ctsdns_traefik.cli.options import warn_unencrypted
from ctsdns_traefik.cli.parameter_types import (
    FILE,
    HEADER,
    SECONDS,
    SECONDS_OR_ZERO,
    complete_files,
)
from ctsdns_traefik.cli.stdio import STANDARD_STREAM
from ctsdns_traefik.core.sse import SHORTEST

if TYPE_CHECKING:
    from ctsdns_traefik.source import Header, MachineList, OnAnswer, Policy, Source


_NO_SOURCE = f"name a SOURCE, or set {settings.ENDPOINT.variable}"


@dataclass(frozen=True)
class EndpointOptions:
    """How to connect to an endpoint."""

    headers: tuple[Header, ...]
    token_file: Path | None
    ca_file: Path | None
    client_cert: Path | None
    client_key: Path | None

    def build_source(
        self,
        address: str,
        read_timeout: float,
        poll_interval: float = settings.POLL_INTERVAL.default,
        *,
        check_machines: bool = False,
        on_answer: OnAnswer | None = None,
    ) -> Source:
        """Build the source, and warn of credentials that are sent unencrypted.

        Raise :class:`.SettingsError`. Secrets have variables and no options, since all users of a
        machine can read command lines.
        """
        from ctsdns_traefik.source import SourceSettings, source_from

        given = SourceSettings(
            headers=self.headers,
            token=os.environ.get(settings.TOKEN.variable) or None,
            token_file=self.token_file,
            ca_file=self.ca_file,
            client_cert=self.client_cert,
            client_key=self.client_key,
            read_timeout=read_timeout,
            poll_interval=poll_interval,
            check_machines=check_machines,
            environment=os.environ,
            on_answer=on_answer,
        )
        return source_from(address, given, lambda endpoint: warn_unencrypted(endpoint, "https"))


@dataclass(frozen=True)
class StreamOptions(EndpointOptions):
    """The endpoint that watch follows."""

    source: str | None
    endpoint: str | None
    retry_delay: float
    read_timeout: float
    poll_interval: float
    check_machines: bool

    def build(self, address: str, on_answer: OnAnswer | None = None) -> Source:
        """Build the source; raise :class:`.SettingsError`."""
        from ctsdns_traefik.source import FileSource, path_from

        if address == "-":
            raise click.UsageError("watch follows no standard input: name a file or a URL")
        path = path_from(address)
        if path and not self.check_machines:
            return FileSource(path)
        return self.build_source(
            address,
            self.read_timeout,
            self.poll_interval,
            check_machines=self.check_machines,
            on_answer=on_answer,
        )

    def address(self) -> str:
        """Return the address that was given as argument or option, or else in the variable.

        Raise :class:`click.UsageError` if there is none, or if the command line has two.
        """
        if self.source is None:
            if self.endpoint is None:
                raise click.UsageError(_NO_SOURCE)
            return self.endpoint
        origin = click.get_current_context().get_parameter_source("endpoint")
        differ = self.endpoint is not None and self.endpoint != self.source
        if differ and origin is ParameterSource.COMMANDLINE:
            raise click.UsageError("SOURCE and --endpoint differ: name one source")
        return self.source


@dataclass(frozen=True)
class SnapshotOptions(EndpointOptions):
    """The source of one snapshot."""

    source: str | None
    timeout: float

    def read(self) -> Policy:
        """Read one snapshot or policy from a URL, a file or standard input, as read_all does."""
        return self.read_all(check_machines=False)[0]

    def read_all(self, *, check_machines: bool) -> tuple[Policy, MachineList | None]:
        """Read one policy, and after it the list of machines if that is wanted.

        Raise :class:`click.UsageError` if no source is given, :class:`.SourceError` if no snapshot
        can be read from it.
        """
        from ctsdns_traefik.cli.report.progress import Progress
        from ctsdns_traefik.source import list_machines, path_from, read_policy

        if self.source is None:
            raise click.UsageError(_NO_SOURCE)
        path = path_from(self.source)
        if path and not check_machines:
            name = _named(self.source, path)
            with Progress(f"reading {name}") if name != STANDARD_STREAM else nullcontext():
                return read_policy(name, self.timeout), None
        source = self.build_source(self.source, self.timeout, check_machines=check_machines)
        with Progress(f"waiting up to {self.timeout:g} s for {source}"):
            policy = read_policy(source, self.timeout)
            return policy, list_machines(source, self.timeout) if check_machines else None


def _named(address: str, path: Path) -> str:
    """Return a path as the user has written it; a file can be called ``-`` only in other forms."""
    if path == Path(address):
        return address
    return f"./{path}" if str(path) == "-" else str(path)


CHECK_MACHINES_HELP = (
    "For tailscale: warn of entries whose machine is unknown or offline, or has an expired key;"
    " needs the scope devices:core:read."
)

_CONNECTION = (
    option(
        "--header",
        "headers",
        group="Source",
        setting=settings.HEADERS,
        type=HEADER,
        multiple=True,
        help="HTTP header to send to the source; repeatable, in the variable one a line.",
    ),
    option(
        "--token-file",
        group="Source",
        setting=settings.TOKEN_FILE,
        type=FILE,
        help="File with a token for 'Authorization: Bearer', read at each request; the token"
        f" itself can be in {settings.TOKEN.variable}.",
    ),
    option(
        "--ca-file",
        group="Source",
        setting=settings.CA_FILE,
        type=FILE,
        help="File of certificates to trust instead of the usual ones, for an https source.",
    ),
    option(
        "--client-cert",
        group="Source",
        setting=settings.CLIENT_CERT,
        type=FILE,
        help="Certificate to show to an https source that demands one, in PEM, read at each"
        " connection; its key may stand in the same file.",
    ),
    option(
        "--client-key",
        group="Source",
        setting=settings.CLIENT_KEY,
        type=FILE,
        help="Key of the client certificate, in PEM and not encrypted.",
    ),
)

stream_options = bundle(
    "stream",
    StreamOptions,
    click.argument("source", metavar="[SOURCE]", required=False, shell_complete=complete_files),
    option(
        "--endpoint",
        group="Source",
        setting=settings.ENDPOINT,
        metavar="SOURCE",
        shell_complete=complete_files,
        help="The source, if it is not named as SOURCE.",
    ),
    option(
        "--retry-delay",
        group="Source",
        setting=settings.RETRY_DELAY,
        type=SECONDS_OR_ZERO,
        help=f"Pause before connecting again after a failure; at least {SHORTEST:g}.",
    ),
    option(
        "--poll-interval",
        group="Source",
        setting=settings.POLL_INTERVAL,
        type=SECONDS,
        help="Time between two polls of a policy; at least 5 for Tailscale.",
    ),
    option(
        "--read-timeout",
        group="Source",
        setting=settings.READ_TIMEOUT,
        type=SECONDS,
        help="Silence of the source that counts as a failure; longer than a worker's interval.",
    ),
    option(
        "--check-machines/--no-check-machines",
        group="Source",
        setting=settings.CHECK_MACHINES,
        help=CHECK_MACHINES_HELP,
    ),
    *_CONNECTION,
)

snapshot_options = bundle(
    "snapshot",
    SnapshotOptions,
    click.argument(
        "source",
        required=False,
        envvar=settings.ENDPOINT.variable,
        shell_complete=complete_files,
    ),
    option(
        "--timeout",
        group="Source",
        setting=settings.SNAPSHOT_TIMEOUT,
        type=SECONDS,
        help="Longest wait for a snapshot.",
    ),
    *_CONNECTION,
)
