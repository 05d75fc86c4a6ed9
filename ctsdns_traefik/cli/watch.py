"""``ctsdns-traefik watch``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import __version__
from ctsdns_traefik.cli.command import GroupedCommand, epilog, start_logging
from ctsdns_traefik.cli.output_options import OutputOptions
from ctsdns_traefik.cli.watch_options import WatchOptions, watch_options
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.core.static_config import StaticConfiguration
    from ctsdns_traefik.daemon import EventPublisher, FollowedAccess, Publish, Reconciler, Watch
    from ctsdns_traefik.output import Output
    from ctsdns_traefik.server import Handover
    from ctsdns_traefik.signals import Signals
    from ctsdns_traefik.source import Source


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik watch tailscale:",
        "ctsdns-traefik watch policy.hujson -o dynamic.yml",
        "ctsdns-traefik watch https://worker.example.com/api/config",
        "ctsdns-traefik watch --token-file /run/secrets/token -o /etc/traefik/dynamic.yml",
        "ctsdns-traefik watch --check tailscale: --static-config /etc/traefik/traefik.yml",
        "ctsdns-traefik watch --health --status-file /run/ctsdns-traefik/status.json",
        ok="stopped by SIGTERM; of --check and --health: all is well",
        findings="--check or --health found something",
    ),
)
@watch_options
def watch(options: WatchOptions) -> ExitCode:
    """Follow the policy and keep the output current, until stopped.

    SOURCE is where the policy is: tailscale:, headscale+https://HOST, an http(s) URL, or a file;
    TRAEFIK_CONFIG_API_ENDPOINT if left out. SIGTERM and SIGINT stop it, SIGHUP makes it poll or
    connect again at once.
    """
    if options.offline and not options.check:
        raise click.UsageError("--offline is for --check: watch itself needs its source")
    if options.monitoring.health:
        if options.check:
            raise click.UsageError("--check and --health exclude each other: give one of them")
        return options.monitoring.report_health()
    if options.check:
        from ctsdns_traefik.cli.check import run_checks

        start_logging(form=options.log_format)
        options.require_usable()
        return run_checks(options)
    start_logging(dated=True, form=options.log_format)
    address = options.stream.address()
    options.require_usable()
    static = options.static.read_known()
    signals = _handle_signals()
    source = options.stream.build(address)
    check = options.target.build_check(signals.stops)
    output = options.target.build(
        check,
        sleep=signals.sleep,
        cancellation=signals.output,
        lease_seconds=options.lease_seconds(source),
    )
    handover = _build_handover(options)
    publisher = _build_publisher(options, source, output, signals, handover)
    with _serving(options, handover, publisher, source), output.claim(), publisher:
        return _build_watch(options, static, source, output, signals, publisher, handover).run()


def _handle_signals() -> Signals:
    """Handle signals from now on; a stop that takes too long kills the running hooks, too."""
    from ctsdns_traefik.output import kill_running
    from ctsdns_traefik.signals import Signals

    return Signals(last_act=kill_running)


def _build_handover(options: WatchOptions) -> Handover | None:
    """Build what passes the document, the hosts and the status to the server, if there is one."""
    if options.server.listen is None:
        return None
    from ctsdns_traefik.server import Handover

    return Handover()


def _serving(
    options: WatchOptions, handover: Handover | None, publisher: EventPublisher, source: Source
) -> AbstractContextManager[None]:
    """Build the context in which the server runs, if there is one."""
    if handover is None:
        return nullcontext()
    return options.server.serving(
        handover,
        publisher.publish,
        refresh=source.refresh,
        max_age=options.monitoring.max_age,
    )


def _build_publisher(
    options: WatchOptions,
    source: Source,
    output: Output,
    signals: Signals,
    handover: Handover | None,
) -> EventPublisher:
    """Build what publishes the events of watch: to the log, files and the service manager."""
    from ctsdns_traefik.core.status import AccessFile, Status
    from ctsdns_traefik.daemon import EventPublisher, StatusReporter, service_manager

    manager = service_manager()
    status = Status(
        version=__version__,
        pid=os.getpid(),
        started=time.time(),
        endpoint=str(source),
        output=str(output),
        access=AccessFile(str(options.access_file)) if options.access_file else None,
    )
    outlets = options.monitoring.build_outlets()
    if handover:
        outlets.append(handover.beat)
    reporter = StatusReporter(outlets, manager)
    publisher = EventPublisher(status, reporter, manager)
    if handover:
        handover.follow_status(lambda: publisher.status)
    signals.report_forced_end(publisher.stopped)
    return publisher


def _build_watch(
    options: WatchOptions,
    static: StaticConfiguration | None,
    source: Source,
    output: Output,
    signals: Signals,
    publisher: EventPublisher,
    handover: Handover | None,
) -> Watch:
    """Build the loop of watch, and what it drives."""
    from ctsdns_traefik.daemon import Reconciler, Watch, expect_large_snapshots, follow_access_file
    from ctsdns_traefik.source import UrlSource

    target, monitoring = options.target, options.monitoring
    path, publish = options.access_file, publisher.publish
    followed = follow_access_file(path, signals.sleep, options.release) if path else None
    reconciler = Reconciler(
        output,
        target.document_form,
        guard=options.removal_guard,
        damaged=isinstance(source, UrlSource),
        check_stop=signals.check,
        access=followed.access if followed else None,
        publisher=publisher,
        on_change=_build_on_change(target, static, publish, signals),
        verifier=monitoring.start_verifier(publish, target.provider),
        readers=handover,
        without_tls=static.without_tls if static else (),
    )
    expect_large_snapshots()
    lease = options.lease_seconds(source)
    return Watch(
        source,
        reconciler,
        signals,
        delay=options.stream.retry_delay,
        publisher=publisher,
        beside=_run_threads(reconciler, publisher, followed, lease if target.is_store else None),
    )


def _build_on_change(
    target: OutputOptions, static: StaticConfiguration | None, publish: Publish, signals: Signals
) -> Callable[[], None] | None:
    """Build what runs after a change: the user's command, and the check of the other files.

    The other files are checked now, too.
    """
    from ctsdns_traefik.daemon import NeighbourCheck

    run_hook = target.build_on_change(publish, signals.stops)
    if target.path is None:
        return run_hook
    neighbours = NeighbourCheck(target.path, static, publish)
    neighbours.run()

    def on_change() -> None:
        if run_hook:
            run_hook()
        neighbours.run()

    return on_change


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
