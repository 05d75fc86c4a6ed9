"""The entry grammar: read, reject or explain a name and an address of the hosts map.

Routes, which need all entries at once, are in core/dynamic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.core.entries.address import TAILNET_RANGES
    from ctsdns_traefik.core.entries.client_commands import ClientCommands
    from ctsdns_traefik.core.entries.explanation import (
        EXAMPLE_PORTS,
        TRUST,
        UNKNOWN_PORT,
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
    from ctsdns_traefik.core.entries.notation import (
        COMMENT,
        WrittenEntry,
        read_arguments,
        read_notation,
    )

__all__ = [
    "COMMENT",
    "ENTRYPOINT_NAME",
    "EXAMPLE_PORTS",
    "LARGEST_PORT",
    "TAILNET_RANGES",
    "TRUST",
    "UNKNOWN_PORT",
    "ClientCommands",
    "Explanation",
    "HostEntry",
    "WrittenEntry",
    "describe_route",
    "explain",
    "parse_host",
    "read_arguments",
    "read_hosts",
    "read_notation",
]

__getattr__ = make_face(
    __name__, ("address", "grammar", "client_commands", "notation", "explanation"), __all__
)
