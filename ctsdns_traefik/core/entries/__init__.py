"""The entry grammar: one name and address of the hosts map, read, refused or explained.

Routes, which need all entries at once, are in core/dynamic.
"""

from __future__ import annotations

from ctsdns_traefik.core.entries.address import (
    TAILNET_RANGES,
)
from ctsdns_traefik.core.entries.client_commands import (
    ClientCommands,
)
from ctsdns_traefik.core.entries.domain import (
    read_domain,
)
from ctsdns_traefik.core.entries.explanation import (
    Explanation,
    describe_route,
    explain,
)
from ctsdns_traefik.core.entries.grammar import (
    ENTRYPOINT_NAME,
    LARGEST_PORT,
    HostEntry,
    parse_host,
    read_hosts,
)
from ctsdns_traefik.core.entries.near_misses import (
    find_near_misses,
)
from ctsdns_traefik.core.entries.notation import (
    COMMENT,
    WrittenEntry,
    read_arguments,
    read_notation,
)

__all__ = [
    "COMMENT",
    "ENTRYPOINT_NAME",
    "LARGEST_PORT",
    "TAILNET_RANGES",
    "ClientCommands",
    "Explanation",
    "HostEntry",
    "WrittenEntry",
    "describe_route",
    "explain",
    "find_near_misses",
    "parse_host",
    "read_arguments",
    "read_domain",
    "read_hosts",
    "read_notation",
]
