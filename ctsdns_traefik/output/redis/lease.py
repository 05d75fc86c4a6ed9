"""The writer lease: which of several processes may write to one store, and for how long.

It is a key with a time to live, which each write sets again, so it expires with its holder.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import NamedTuple, Self

from ctsdns_traefik.core.text import shown

_LONGEST_HOLDER = 200


class Lease(NamedTuple):
    """What the holder of the writer lease stores: a token of its own, and which process it is."""

    token: str
    holder: str
    """For people: a process id and a host name."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Make a lease with a new token."""
        return cls(secrets.token_hex(16), f"pid {os.getpid()} on {socket.gethostname()}")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what is stored; any text is somebody's lease, for it is not ours to overwrite."""
        token, _, holder = text.partition(" ")
        return cls(token, shown(holder[:_LONGEST_HOLDER]) or "another process")

    def __str__(self) -> str:
        return f"{self.token} {self.holder}"
