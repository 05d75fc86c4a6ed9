"""The server's certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, os_reason


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
        certificate, key = self._files
        names = f"the certificate {shown(str(certificate))} and its key {shown(str(key))}"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
            self.context.load_cert_chain(certificate, key, _no_password)
        except ssl.SSLError as why:
            reason = "they are no certificate and its key in PEM"
            raise SettingsError(f"{names} cannot be used: {why.reason or reason}") from why
        except (OSError, ValueError) as why:
            raise SettingsError(f"{names} cannot be read: {os_reason(why)}") from why


def _no_password() -> str:
    raise ValueError("the key is encrypted, and a server cannot ask for its password")
