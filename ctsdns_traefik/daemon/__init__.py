"""Watch as a process: the loop, the reconciler, events, status and the verifier.

What needs a source and an output at the same time belongs here; reading a policy or writing a
document does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_mapped_face

if TYPE_CHECKING:
    from ctsdns_traefik.daemon.access_file import (
        FollowedAccess,
        follow_access_file,
        read_access_file,
    )
    from ctsdns_traefik.daemon.access_reloader import AccessReloader
    from ctsdns_traefik.daemon.event_publisher import EventPublisher, Publish
    from ctsdns_traefik.daemon.events import (
        AccessSettingsUnused,
        EntriesRefused,
        EntriesWarned,
        HookFailed,
        HookSucceeded,
        Listening,
        ListeningFailed,
        WebhookReceived,
        WebhookRefused,
    )
    from ctsdns_traefik.daemon.health_check import check_health
    from ctsdns_traefik.daemon.loop import Watch
    from ctsdns_traefik.daemon.memory import expect_large_snapshots
    from ctsdns_traefik.daemon.neighbours import NeighbourCheck
    from ctsdns_traefik.daemon.reconciler import Reconciler
    from ctsdns_traefik.daemon.sd_notify import service_manager
    from ctsdns_traefik.daemon.standby import StandbyTimer
    from ctsdns_traefik.daemon.status_reporter import Outlet, StatusFileWriter, StatusReporter
    from ctsdns_traefik.daemon.verifier import Verifier

_MODULES = {
    "AccessReloader": "access_reloader",
    "AccessSettingsUnused": "events",
    "EntriesRefused": "events",
    "EntriesWarned": "events",
    "EventPublisher": "event_publisher",
    "FollowedAccess": "access_file",
    "HookFailed": "events",
    "HookSucceeded": "events",
    "Listening": "events",
    "ListeningFailed": "events",
    "NeighbourCheck": "neighbours",
    "Outlet": "status_reporter",
    "Publish": "event_publisher",
    "Reconciler": "reconciler",
    "StandbyTimer": "standby",
    "StatusFileWriter": "status_reporter",
    "StatusReporter": "status_reporter",
    "Verifier": "verifier",
    "Watch": "loop",
    "WebhookReceived": "events",
    "WebhookRefused": "events",
    "check_health": "health_check",
    "expect_large_snapshots": "memory",
    "follow_access_file": "access_file",
    "read_access_file": "access_file",
    "service_manager": "sd_notify",
}


__getattr__ = make_mapped_face(__name__, _MODULES)

__all__ = [
    "AccessReloader",
    "AccessSettingsUnused",
    "EntriesRefused",
    "EntriesWarned",
    "EventPublisher",
    "FollowedAccess",
    "HookFailed",
    "HookSucceeded",
    "Listening",
    "ListeningFailed",
    "NeighbourCheck",
    "Outlet",
    "Publish",
    "Reconciler",
    "StandbyTimer",
    "StatusFileWriter",
    "StatusReporter",
    "Verifier",
    "Watch",
    "WebhookReceived",
    "WebhookRefused",
    "check_health",
    "expect_large_snapshots",
    "follow_access_file",
    "read_access_file",
    "service_manager",
]
