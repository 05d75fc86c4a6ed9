"""A certificate chain and its private key, in PEM files."""

from __future__ import annotations

import ssl
from pathlib import Path

from ctsdns_traefik.bounded_file import read_secret_file
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, os_reason

_CERTIFICATE, _KEY = "CERTIFICATE-----", "PRIVATE KEY-----"
"""How the lines end that begin one in PEM."""

_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def load_key_pair(
    context: ssl.SSLContext, certificate: Path, key: Path | None, what: str = "the certificate"
) -> None:
    """Load a chain and its key, which may stand in one file; a password is not asked for.

    Raise :class:`.SettingsError` that names the file at fault, the certificate as ``what``.
    """
    chain = f"{what} {shown(str(certificate))}"
    keys = f"the key {shown(str(key))}" if key else chain
    _require(_CERTIFICATE, certificate, chain)
    _require(_KEY, key or certificate, keys)

    def refuse_password() -> str:
        raise SettingsError(f"cannot use {keys}: it is encrypted; store it without a password")

    try:
        context.load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as why:
        if why.reason in _MISMATCHES:
            raise SettingsError(f"{keys} does not fit {chain}") from why
        fault = why.reason or "the PEM is damaged"
        raise SettingsError(f"cannot use {chain} and its key: {fault}") from why
    except OSError as why:
        raise SettingsError(f"cannot read {chain} and its key: {os_reason(why)}") from why


def _require(part: str, path: Path, name: str) -> None:
    """Raise :class:`.SettingsError` if a file has no such part."""
    try:
        text = read_secret_file(path)
    except UnicodeError:
        text = ""
    except (OSError, ValueError) as why:
        raise SettingsError(f"cannot read {name}: {os_reason(why)}") from why
    if part not in text:
        kind = part.rstrip("-").lower()
        raise SettingsError(f"cannot use {name}: it has no {kind} in PEM")
