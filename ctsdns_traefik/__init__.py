"""Turn the service entries of a Tailscale policy into Traefik routes, and keep them live.

The names in ``__all__`` are the public Python API; everything else is private.
"""

TYPE_CHECKING = False  # as type checkers know it, without the time that to import typing takes

if TYPE_CHECKING:
    from ctsdns_traefik.api import (
        Diagnostic,
        Entry,
        EntryError,
        InputError,
        RenderResult,
        Route,
        ValidationResult,
        parse_entry,
        render,
        validate_policy,
    )

__version__ = "0.1.0"

__all__ = [
    "Diagnostic",
    "Entry",
    "EntryError",
    "InputError",
    "RenderResult",
    "Route",
    "ValidationResult",
    "__version__",
    "parse_entry",
    "render",
    "validate_policy",
]


def __getattr__(name: str) -> object:
    """Import the API when it is first used, so that the commands start without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("ctsdns_traefik.api"), name)
