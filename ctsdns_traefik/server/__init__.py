"""What ``watch --listen`` serves: Traefik's HTTP provider, the relay, health, metrics, the webhook.

It runs in a thread beside the loop, and knows only what a :class:`Handover` has passed to it. The
modules that import tornado are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_mapped_face

if TYPE_CHECKING:
    from ctsdns_traefik.server.address import (
        ListenAddress,
        close_listener,
        listen_address_from,
        open_listener,
    )
    from ctsdns_traefik.server.application import Application, Settings
    from ctsdns_traefik.server.guard import SecretFile, host_name_from
    from ctsdns_traefik.server.handover import Handover
    from ctsdns_traefik.server.library import load_library
    from ctsdns_traefik.server.server import Server
    from ctsdns_traefik.server.tls import Certificate

_MODULES = {
    "Application": "application",
    "Certificate": "tls",
    "Handover": "handover",
    "ListenAddress": "address",
    "SecretFile": "guard",
    "Server": "server",
    "Settings": "application",
    "close_listener": "address",
    "host_name_from": "guard",
    "listen_address_from": "address",
    "load_library": "library",
    "open_listener": "address",
}


__getattr__ = make_mapped_face(__name__, _MODULES)

__all__ = [
    "Application",
    "Certificate",
    "Handover",
    "ListenAddress",
    "SecretFile",
    "Server",
    "Settings",
    "close_listener",
    "host_name_from",
    "listen_address_from",
    "load_library",
    "open_listener",
]
