"""``ctsdns-traefik watch``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ctsdns_traefik import settings
from ctsdns_traefik.cli.file_arguments import require_different
from ctsdns_traefik.cli.hook_options import make_check, make_on_change, start_verifier, take_signals
from ctsdns_traefik.cli.leaf_command import LeafCommand
from ctsdns_traefik.cli.monitoring_options import (
    WRITTEN,
    make_publisher,
    needed,
    report_health,
    reporting_options,
)
from ctsdns_traefik.cli.options import (
    access_file_option,
    adopt_option,
    endpoint_options,
    epilog,
    format_option,
    hook_options,
    log_format_option,
    setting_option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.output_options import (
    OutputType,
    build_output,
    refuse_path,
    store_lease_option,
    store_options,
)
from ctsdns_traefik.cli.parameter_types import Seconds, TraefikUrl
from ctsdns_traefik.cli.source_options import build_endpoint
from ctsdns_traefik.cli.stdio import STANDARD_STREAM
from ctsdns_traefik.core.sse import SHORTEST
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.core.dynamic import Format
    from ctsdns_traefik.daemon import Connect, EventPublisher, FollowedAccess, Reconciler
    from ctsdns_traefik.logs import LogFormat
    from ctsdns_traefik.output import Command
    from ctsdns_traefik.traefik import TraefikApi

log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """What differs between a file and a store."""

    provider: str
    form: Format | None


_KINDS = (_Kind("file", None), _Kind("redis", "json"))


@click.command(
    cls=LeafCommand,
    epilog=epilog(
        "ctsdns-traefik watch https://worker.example.com/api/config",
        "ctsdns-traefik watch --token-file /run/secrets/token -o /etc/traefik/dynamic.yml",
        "ctsdns-traefik watch --health --status-file /run/ctsdns-traefik/status.json",
    ),
)
@click.argument("source", metavar="[URL]", required=False)
@setting_option(
    "--endpoint",
    setting=settings.ENDPOINT,
    metavar="URL",
    help="The worker's /api/config, if not named as URL; required, but not for --health.",
)
@setting_option(
    "-o",
    "--output",
    setting=settings.OUTPUT,
    type=OutputType(),
    help="The file that Traefik's file provider watches, or redis://HOST:PORT/DB?rootKey=traefik.",
)
@adopt_option
@setting_option(
    "--retry-delay",
    setting=settings.RETRY_DELAY,
    type=Seconds(zero=True),
    help=f"Pause before connecting again; less than {SHORTEST:g} counts as {SHORTEST:g}.",
)
@setting_option(
    "--read-timeout",
    setting=settings.READ_TIMEOUT,
    type=Seconds(),
    help="Silence that counts as a failure; longer than the worker's interval.",
)
@setting_option(
    "--removal-guard/--no-removal-guard",
    setting=settings.REMOVAL_GUARD,
    help="Let a snapshot that drops most routes wait until the next one agrees.",
)
@setting_option(
    "--traefik-api",
    setting=settings.TRAEFIK_API,
    type=TraefikUrl(),
    help="Traefik's API, to ask after each change whether the routes are served.",
)
@hook_options
@access_file_option
@reporting_options
@store_options
@store_lease_option
@endpoint_options
@format_option
@log_format_option
@verbosity_options
def watch(
    source: str | None,
    endpoint: str | None,
    output: Path | str,
    adopt: bool,
    retry_delay: float,
    read_timeout: float,
    removal_guard: bool,
    traefik_api: TraefikApi | None,
    on_change: Command | None,
    check_command: Command | None,
    access_file: Path | None,
    store_password_file: Path | None,
    store_ca_file: Path | None,
    store_lease: float,
    status_file: Path | None,
    metrics_file: Path | None,
    health: bool,
    max_age: float,
    form: Format,
    log_format: LogFormat,
    **access: Any,
) -> ExitCode:
    """Follow the endpoint and keep the file current, until stopped.

    SIGTERM and SIGINT stop it, SIGHUP makes it connect again at once.
    """
    if health:
        return report_health(status_file, max_age)

    from ctsdns_traefik.daemon import Reconciler, Watch, follow_access_file

    start_logging(dated=True, form=log_format)
    url = needed("endpoint", _named(source, endpoint))
    _look_at(output, on_change)
    signals = take_signals()
    followed = build_endpoint(url, read_timeout=read_timeout, **access)
    check = make_check(check_command, signals.stops)
    store = (store_password_file, store_ca_file)
    waits: dict[str, Any] = {"sleep": signals.sleep, "cancellation": signals.output}
    target = build_output(output, *store, check, adopt=adopt, lease_seconds=store_lease, **waits)
    kind = _KINDS[type(output) is str]
    files = {"status_file": status_file, "metrics_file": metrics_file, "access_file": access_file}
    publisher = make_publisher(followed, target, signals, **files)
    publish = publisher.publish
    with target.claim(), publisher:
        rights = follow_access_file(access_file, signals.sleep) if access_file else None
        reconciler = Reconciler(
            target,
            kind.form or form,
            guard=removal_guard,
            check_stop=signals.check,
            access=rights.access if rights else None,
            publisher=publisher,
            on_change=make_on_change(on_change, output, publish, signals.stops),
            verifier=start_verifier(traefik_api, publish, kind.provider),
        )
        lease = store_lease if type(output) is str else None
        beside = _run_threads(reconciler, publisher, rights, lease)
        loop = partial(Watch, followed, reconciler, signals, delay=retry_delay)
        connect = _prepare_to_connect(publisher)
        return loop(publisher=publisher, connect=connect, beside=beside).run()


@contextmanager
def _run_threads(
    reconciler: Reconciler,
    publisher: EventPublisher,
    rights: FollowedAccess | None,
    lease_seconds: float | None,
) -> Iterator[None]:
    """Run what follows the access file, and what waits for the writer lease, if there is any."""
    from ctsdns_traefik.daemon import AccessReloader, StandbyTimer

    with ExitStack() as stack:
        if rights:
            stack.enter_context(AccessReloader(rights, reconciler, publisher.publish))
        if lease_seconds is not None:
            stack.enter_context(StandbyTimer(reconciler, publisher, lease_seconds))
        yield


def _prepare_to_connect(publisher: EventPublisher) -> Connect:
    """Load what connections need, and return what makes one."""
    from ctsdns_traefik.daemon import expect_large_snapshots
    from ctsdns_traefik.source import load_libraries, open_stream

    load_libraries()
    expect_large_snapshots()
    return partial(open_stream, expect=publisher.expect)


def _named(source: str | None, endpoint: str | None) -> str | None:
    """Return what to follow: the argument or the option, before the variable.

    Raise :class:`click.UsageError` if the command line names two.
    """
    if source is None or source == endpoint:
        return endpoint
    origin = click.get_current_context().get_parameter_source("endpoint")
    if endpoint is not None and origin is ParameterSource.COMMANDLINE:
        raise click.UsageError("the argument URL and --endpoint differ: name one endpoint")
    return source


def _look_at(output: Path | str, on_change: Command | None) -> None:
    """Warn of a file that Traefik does not load; raise :class:`click.UsageError` for worse."""
    from ctsdns_traefik.logs import as_event

    if output == Path(STANDARD_STREAM):
        raise click.UsageError("watch keeps a file: name it with --output")
    refuse_path(output, on_change)
    require_different(*WRITTEN)
    if isinstance(output, Path) and output.suffix not in (".yml", ".yaml"):
        log.warning(
            "Traefik loads this format only from .yml and .yaml files, not %s",
            output,
            extra=as_event("output-name", output=output),
        )
