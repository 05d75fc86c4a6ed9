"""Server: the options of ``--listen``, and what is built of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import bundle, option
from ctsdns_traefik.cli.options import warn_unencrypted
from ctsdns_traefik.cli.parameter_types import FILE, HOST_NAME, LISTEN_ADDRESS, SECONDS

if TYPE_CHECKING:
    from socket import socket

    from ctsdns_traefik.daemon import Publish
    from ctsdns_traefik.server import Handover, ListenAddress, Server


@dataclass(frozen=True)
class ServerOptions:
    """Where watch serves what it knows, and to whom."""

    listen: ListenAddress | None
    listen_token_file: Path | None
    listen_open: bool
    listen_hosts: tuple[str, ...]
    listen_cert: Path | None
    listen_key: Path | None
    listen_interval: float
    webhook_secret_file: Path | None

    def require_usable(self, *, has_output: bool) -> None:
        """Raise :class:`click.UsageError` for options that do not fit together."""
        if self.listen is None:
            if not has_output:
                raise click.UsageError("--output none needs --listen, or the routes go nowhere")
            self._require_unused()
            return
        if bool(self.listen_cert) != bool(self.listen_key):
            raise click.UsageError("--listen-cert and --listen-key belong together: name both")
        if not (self.listen.is_local or self.listen_token_file or self.listen_open):
            raise click.UsageError(
                f"others can reach {self.listen}: name --listen-token-file, so that they need a"
                " token, or allow everybody with --listen-open"
            )

    def _require_unused(self) -> None:
        """Raise :class:`click.UsageError` for what is set about a server that is not there."""
        for name, is_set in {
            "--listen-token-file": self.listen_token_file,
            "--listen-open": self.listen_open,
            "--listen-host": self.listen_hosts,
            "--listen-cert": self.listen_cert,
            "--listen-key": self.listen_key,
            "--listen-interval": self.listen_interval != settings.LISTEN_INTERVAL.default,
            "--webhook-secret-file": self.webhook_secret_file,
        }.items():
            if is_set:
                raise click.UsageError(f"{name} needs --listen, which names where to serve")

    @contextmanager
    def serving(
        self,
        handover: Handover,
        publish: Publish,
        *,
        refresh: Callable[[], str],
        max_age: float,
    ) -> Iterator[None]:
        """Serve what a handover gets, in a thread, until the context ends.

        ``refresh`` has the policy read at once, and returns what follows, for the log. Raise
        :class:`.SettingsError` for files that cannot be used, :class:`.OutputError` if the address
        is taken.
        """
        if self.listen is None:
            yield
            return
        from ctsdns_traefik.server import close_listener, load_library, open_listener

        load_library()
        build = self._prepare(handover, publish, refresh, max_age)
        listener = open_listener(self.listen)
        try:
            with build(listener):
                self._report_address(self.listen.as_bound(listener), publish)
                yield
        finally:
            close_listener(self.listen)

    def _prepare(
        self,
        handover: Handover,
        publish: Publish,
        refresh: Callable[[], str],
        max_age: float,
    ) -> Callable[[socket], Server]:
        """Read the files, and return what builds the server on a listening socket."""
        from ctsdns_traefik.daemon import ListeningFailed, WebhookReceived, WebhookRefused
        from ctsdns_traefik.server import Application, Certificate, SecretFile, Server, Settings

        def refresh_and_report() -> None:
            if plan := refresh():
                publish(WebhookReceived(plan))

        token, secret = self.listen_token_file, self.webhook_secret_file
        tls = self.listen_cert and self.listen_key and (self.listen_cert, self.listen_key)
        tokens = SecretFile(token, "token") if token else None
        secrets = SecretFile(secret, "webhook secret") if secret else None
        certificate = Certificate(*tls) if tls else None
        settings = Settings(tokens, frozenset(self.listen_hosts), secrets, max_age)
        if self.listen and self.listen.path:
            settings = replace(settings, any_host=True)
        application = Application(
            handover,
            settings,
            refresh=refresh_and_report,
            refuse=lambda why: publish(WebhookRefused(why)),
        )
        return partial(
            Server,
            application=application,
            handover=handover,
            interval=self.listen_interval,
            context=certificate.context if certificate else None,
            reloadable=tuple(each for each in (tokens, secrets, certificate) if each),
            report=lambda why: publish(ListeningFailed(why)),
        )

    def _report_address(self, address: ListenAddress, publish: Publish) -> None:
        """Log the address, and warn of tokens in the clear."""
        from ctsdns_traefik.daemon import Listening
        from ctsdns_traefik.source import is_private

        tls = self.listen_cert is not None
        where = str(address) if address.path else f"http{'s' if tls else ''}://{address}"
        publish(Listening(where))
        if self.listen_token_file and not (tls or address.path or is_private(address.host)):
            warn_unencrypted(where, "--listen-cert and --listen-key, or the address in the tailnet")


server_options = bundle(
    "server",
    ServerOptions,
    option(
        "--listen",
        group="Server",
        setting=settings.LISTEN,
        type=LISTEN_ADDRESS,
        help="Address to serve the document, the policy, health, metrics and a page at; a port"
        " alone is on 127.0.0.1, unix:PATH is a socket.",
    ),
    option(
        "--listen-token-file",
        group="Server",
        setting=settings.LISTEN_TOKEN_FILE,
        type=FILE,
        help="File with tokens, one a line, of which clients send one as 'Authorization:"
        " Bearer'; required for an address that others can reach.",
    ),
    option(
        "--listen-open",
        group="Server",
        setting=settings.LISTEN_OPEN,
        is_flag=True,
        help="Serve without a token on an address that others can reach.",
    ),
    option(
        "--listen-host",
        "listen_hosts",
        group="Server",
        setting=settings.LISTEN_HOSTS,
        type=HOST_NAME,
        multiple=True,
        help="Name that clients may use in place of the address; repeatable, in the variable one"
        " a line.",
    ),
    option(
        "--listen-cert",
        group="Server",
        setting=settings.LISTEN_CERT,
        type=FILE,
        help="File of the certificate chain to serve over TLS with; read again when it is renewed.",
    ),
    option(
        "--listen-key",
        group="Server",
        setting=settings.LISTEN_KEY,
        type=FILE,
        help="File of the certificate's key.",
    ),
    option(
        "--listen-interval",
        group="Server",
        setting=settings.LISTEN_INTERVAL,
        type=SECONDS,
        help="Time after which other watches get an unchanged policy again.",
    ),
    option(
        "--webhook-secret-file",
        group="Server",
        setting=settings.WEBHOOK_SECRET_FILE,
        type=FILE,
        help="File with secrets, one a line, of Tailscale's webhooks to /webhook; a webhook has"
        " a saved policy read at once.",
    ),
)
