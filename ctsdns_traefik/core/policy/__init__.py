"""The policy's text: HuJSON, snapshots, and where in the text each entry is.

It ends with the hosts map; what a name in it means is the business of core/entries.
"""

from __future__ import annotations

from ctsdns_traefik.core.policy.entry_locations import (
    Repeat,
    locate_entries,
)
from ctsdns_traefik.core.policy.json_scanner import (
    Member,
)
from ctsdns_traefik.core.policy.locations import (
    Lines,
    Source,
    SourceLocation,
    in_bytes,
)
from ctsdns_traefik.core.policy.reader import (
    HostsMap,
    fold,
)
from ctsdns_traefik.core.policy.snapshot import (
    SnapshotError,
    hosts_of_snapshot,
    hosts_of_text,
    message_of_error,
)

__all__ = [
    "HostsMap",
    "Lines",
    "Member",
    "Repeat",
    "SnapshotError",
    "Source",
    "SourceLocation",
    "fold",
    "hosts_of_snapshot",
    "hosts_of_text",
    "in_bytes",
    "locate_entries",
    "message_of_error",
]
