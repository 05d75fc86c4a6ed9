"""The user's other dynamic files: what Traefik's file provider reads of a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctsdns_traefik.bounded_file import read_text
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.errors import os_reason

if TYPE_CHECKING:
    from ctsdns_traefik.core.checks import DynamicFile, DynamicFiles
    from ctsdns_traefik.core.static_config import StaticConfiguration

MOST_FILES = 1_000

_ENDINGS = (".yml", ".yaml", ".toml")


def paths_beside(output: Path, static: StaticConfiguration | None) -> list[Path]:
    """Return the paths of the dynamic files that Traefik reads, or may read, with the output.

    They are those in the output's folder, and if the static configuration is known, below it.
    """
    known = static if static and static.described else None
    if known and not (known.file_provider and known.file_provider.directory):
        return []
    found = _paths(output.parent, below=known is not None)
    return list(islice((path for path in found if path != output), MOST_FILES))


def read_beside(output: Path, static: StaticConfiguration | None) -> DynamicFiles:
    """Read these files; one that cannot be read has a fault in place of its text."""
    from ctsdns_traefik.core.checks import DynamicFiles

    files = [_file(path) for path in paths_beside(output, static)]
    return DynamicFiles(files, certain=bool(static and static.described))


def _paths(folder: Path, *, below: bool) -> Iterator[Path]:
    """Walk the files as Traefik does: sorted, dot files too, links to folders not followed."""
    for top, folders, names in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if Path(top, name).is_symlink()]
        for name in sorted([*names, *linked]):
            if name.lower().endswith(_ENDINGS):
                yield Path(top, name)
        if not below:
            return


def _file(path: Path) -> DynamicFile:
    from ctsdns_traefik.core.checks import DynamicFile

    try:
        return DynamicFile(str(path), read_text(path))
    except PermissionError:
        fault = "this user may not read it (may Traefik's?)"
    except UnicodeDecodeError:
        fault = "it is not UTF-8"
    except (OSError, ValueError) as why:
        dangling = path.is_symlink() and not path.exists()
        fault = "it is a link to nothing" if dangling else os_reason(why)
    return DynamicFile(str(path), fault=fault)


def texts_to_load(files: Iterable[DynamicFile]) -> dict[str, str]:
    """Return what a Traefik in a sandbox loads of the files, by path, each in its own format.

    Health checks are removed, since Traefik would start to dial backends; a template with one is
    left out, and so is a file that cannot be read.
    """
    texts = {file.path: _without_health_checks(file) for file in files if not file.fault}
    return {path: text for path, text in texts.items() if text}


def _without_health_checks(file: DynamicFile) -> str:
    from ctsdns_traefik.core.static_config import without_keys

    if not re.search("healthcheck", file.text, re.IGNORECASE):
        return file.text
    form: Literal["toml", "yaml"] = "toml" if file.path.lower().endswith(".toml") else "yaml"
    try:
        return "" if file.is_template else without_keys(file.text, form, "healthcheck")
    except LocatedError:
        return file.text  # Traefik refuses it too
