"""A policy's text: HuJSON and snapshots to the hosts map, and where each entry is in the text.

What the names in a hosts map mean belongs to core/entries.
"""

from __future__ import annotations

from ctsdns_traefik.core.policy.locations import SourceText, in_bytes
from ctsdns_traefik.core.policy.other_files import kind_of
from ctsdns_traefik.core.policy.reader import HostsMap, SnapshotError, UnlikelyHosts
from ctsdns_traefik.core.policy.snapshot import (
    hosts_of_saved_policy,
    hosts_of_snapshot,
    hosts_of_text,
    is_empty,
    message_of_error,
)

__all__ = [
    "HostsMap",
    "SnapshotError",
    "SourceText",
    "UnlikelyHosts",
    "hosts_of_saved_policy",
    "hosts_of_snapshot",
    "hosts_of_text",
    "in_bytes",
    "is_empty",
    "kind_of",
    "message_of_error",
]
