"""The user's other dynamic files: what Traefik's file provider reads of a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from ctsdns_traefik.core.checks import DynamicFile
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.static_config import without_keys
from ctsdns_traefik.errors import os_reason

LARGEST_FILE = 16 * 1024 * 1024
MOST_FILES = 1_000

_ENDINGS = (".yml", ".yaml", ".toml")


def read_beside(output: Path, *, below: bool) -> list[DynamicFile]:
    """Return the dynamic files in the folder of a file, and perhaps below it, except itself.

    A folder or file that cannot be read has a fault in place of its text.
    """
    found: list[DynamicFile] = []
    for path in _paths(output.parent, below=below):
        if len(found) == MOST_FILES:
            break
        if path != output:
            found.append(_file(path))
    return found


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
    try:
        if path.is_symlink() and not path.exists():
            return DynamicFile(str(path), fault="it is a link to nothing")
        if path.exists() and not path.is_file():
            return DynamicFile(str(path), fault="it is not a file")
        if path.stat().st_size > LARGEST_FILE:
            return DynamicFile(str(path), fault=f"it is larger than {LARGEST_FILE >> 20} MiB")
        return DynamicFile(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as why:
        return DynamicFile(str(path), fault=os_reason(why))
    except ValueError:
        return DynamicFile(str(path), fault="it is not UTF-8")


def texts_to_load(files: Iterable[DynamicFile]) -> dict[str, str]:
    """Return what a Traefik in a sandbox loads of the files, by path, each in its own format.

    Health checks are removed, since Traefik would start to dial backends; a template with one is
    left out, and so is a file that cannot be read.
    """
    texts = {file.path: _without_health_checks(file) for file in files if not file.fault}
    return {path: text for path, text in texts.items() if text}


def _without_health_checks(file: DynamicFile) -> str:
    if not re.search("healthcheck", file.text, re.IGNORECASE):
        return file.text
    form: Literal["toml", "yaml"] = "toml" if file.path.lower().endswith(".toml") else "yaml"
    try:
        return "" if file.is_template else without_keys(file.text, form, "healthcheck")
    except LocatedError:
        return file.text  # Traefik refuses it too
