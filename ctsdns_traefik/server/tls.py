"""The server's certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from ctsdns_traefik.key_pair import load_key_pair


class Certificate:
    """A certificate chain with its key, for a context that can be given a renewed one."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load both; raise :class:`.SettingsError` if they cannot be used."""
        self._files = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.reload()

    def reload(self) -> None:
        """Load the files again, for new connections.

        Raise :class:`.SettingsError`, and keep the old certificate, if they cannot be used.
        """
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
            load_key_pair(context, *self._files)
