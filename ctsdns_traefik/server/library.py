"""The library that the server is built on, which is an extra."""

from __future__ import annotations

from ctsdns_traefik.errors import SettingsError


def load_library() -> None:
    """Import tornado; raise :class:`.SettingsError` if it is not installed."""
    try:
        import tornado.tcpserver  # noqa: F401
    except ImportError as why:
        advice = "install ctsdns-traefik with its extra 'serve'"
        raise SettingsError(f"--listen needs tornado: {advice}") from why
