"""Traefik's static configuration: the options that name it, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import bundle, option
from ctsdns_traefik.cli.parameter_types import ENTRYPOINT, FILE, TRAEFIK_VERSION
from ctsdns_traefik.errors import SettingsError, os_reason

if TYPE_CHECKING:
    from ctsdns_traefik.core.checks import StaticText
    from ctsdns_traefik.core.static_config import Form, StaticConfiguration

_FORMS: Mapping[str, Form] = {
    ".yml": "yaml",
    ".yaml": "yaml",
    ".toml": "toml",
    ".env": "variables",
}
"""The forms of a static configuration by the ending of the file's name."""


@dataclass(frozen=True)
class StaticOptions:
    """What the command line says of Traefik's static configuration."""

    static_config: Path | None
    entrypoints: tuple[str, ...]
    traefik_version: tuple[int, ...] | None

    def read(self, *, prove: bool = False) -> StaticText:
        """Read it as :func:`read_static_config` does."""
        return read_static_config(self.static_config, self.entrypoints, prove=prove)

    def read_known(self) -> StaticConfiguration | None:
        """Read it likewise, ``None`` without the imports of that if nothing is known."""
        if self.static_config is None and not self.entrypoints:
            return None
        return self.read().configuration

    def without_tls(self) -> frozenset[str]:
        """Return the entrypoints that are known to have no TLS."""
        known = self.read_known()
        return known.without_tls if known else frozenset()


def read_static_config(
    path: Path | None, entrypoints: Iterable[str] = (), *, prove: bool = False
) -> StaticText:
    """Read Traefik's static configuration, and add the entrypoints from the command line.

    With ``prove`` a real Traefik judges the file.
    Raise :class:`SettingsError`, with the place, for a file that Traefik would not start with.
    """
    from ctsdns_traefik.bounded_file import PATIENCE, read_text
    from ctsdns_traefik.core.checks import StaticText
    from ctsdns_traefik.core.policy import in_bytes
    from ctsdns_traefik.core.problems import LocatedError
    from ctsdns_traefik.core.static_config import read_static, with_entrypoints
    from ctsdns_traefik.core.text import shown
    from ctsdns_traefik.traefik import find_traefik, refusal_of

    if path is None:
        return StaticText(configuration=with_entrypoints(None, entrypoints))
    name, form = shown(str(path)), _FORMS.get((path.suffix or path.name).lower())
    if form is None:
        raise SettingsError(
            f"{name} does not end in .yml, .yaml or .toml, as Traefik's static configuration does"
            " (or, for a file with its variables, in .env)"
        )
    try:
        text = read_text(path, PATIENCE)
        static = read_static(text, form)
        if prove:
            static = read_static(text, form, refusal_of(find_traefik(), text, form))
    except LocatedError as why:
        line, column = in_bytes(why.location, text)
        raise SettingsError(f"{name}:{line}:{column}: {why.message}") from why
    except UnicodeDecodeError as why:
        raise SettingsError(f"{name}: it is not UTF-8") from why
    except (OSError, ValueError) as why:
        raise SettingsError(f"cannot read {name}: {os_reason(why)}") from why
    return StaticText(str(path), text, with_entrypoints(static, entrypoints))


static_options = bundle(
    "static",
    StaticOptions,
    option(
        "--static-config",
        group="Traefik",
        setting=settings.STATIC_CONFIG,
        type=FILE,
        help="File with Traefik's static configuration (.yml, .yaml or .toml), or a Compose"
        " file, a manifest or an .env file with its flags or variables.",
    ),
    option(
        "--entrypoint",
        "entrypoints",
        group="Traefik",
        multiple=True,
        type=ENTRYPOINT,
        help="Entrypoint of Traefik, such as web=:80,redirect=websecure or websecure=:443,tls;"
        " repeatable.",
    ),
    option(
        "--traefik-version",
        group="Traefik",
        setting=settings.TRAEFIK_VERSION,
        type=TRAEFIK_VERSION,
        help="Release of Traefik that will run, such as 3.6.15; if left out, that of a Traefik"
        " which is asked, or the newest.",
    ),
)
