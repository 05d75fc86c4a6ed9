"""Watch as a process: the loop, the reconciler, events, status and the verifier.

What needs a source and an output at the same time belongs here; reading a policy or writing a
document does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctsdns_traefik.daemon.access_file import (
        AccessText,
        FollowedAccess,
        follow_access_file,
        read_access_file,
    )
    from ctsdns_traefik.daemon.access_reloader import (
        AccessReloader,
    )
    from ctsdns_traefik.daemon.events import (
        Journal,
    )
    from ctsdns_traefik.daemon.health_check import (
        check_health,
    )
    from ctsdns_traefik.daemon.loop import (
        Connect,
        Watch,
    )
    from ctsdns_traefik.daemon.memory import (
        expect_large_snapshots,
    )
    from ctsdns_traefik.daemon.reconciler import (
        Reconciler,
    )
    from ctsdns_traefik.daemon.sd_notify import (
        service_manager,
    )
    from ctsdns_traefik.daemon.standby import (
        StandbyTimer,
    )
    from ctsdns_traefik.daemon.status_reporter import (
        Outlet,
        StatusFileWriter,
        StatusReporter,
    )
    from ctsdns_traefik.daemon.verifier import (
        Verifier,
    )

_FACE = {
    "access_file": (
        "AccessText",
        "FollowedAccess",
        "follow_access_file",
        "read_access_file",
    ),
    "access_reloader": ("AccessReloader",),
    "events": ("Journal",),
    "health_check": ("check_health",),
    "loop": (
        "Connect",
        "Watch",
    ),
    "memory": ("expect_large_snapshots",),
    "reconciler": ("Reconciler",),
    "sd_notify": ("service_manager",),
    "standby": ("StandbyTimer",),
    "status_reporter": (
        "Outlet",
        "StatusFileWriter",
        "StatusReporter",
    ),
    "verifier": ("Verifier",),
}


def __getattr__(name: str) -> object:
    """Import an exported name when it is first used: --health needs no loop."""
    for module, names in _FACE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AccessReloader",
    "AccessText",
    "Connect",
    "FollowedAccess",
    "Journal",
    "Outlet",
    "Reconciler",
    "StandbyTimer",
    "StatusFileWriter",
    "StatusReporter",
    "Verifier",
    "Watch",
    "check_health",
    "expect_large_snapshots",
    "follow_access_file",
    "read_access_file",
    "service_manager",
]
