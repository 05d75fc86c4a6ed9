"""What the real Traefik reads of a static configuration, and what validate reads of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import find_traefik, until

from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.static_config.configuration import (
    Entrypoint,
    StaticConfiguration,
    read_running,
    read_static,
)
from ctsdns_traefik.core.static_config.reader import Form

LOADED = "Static configuration loaded"


def static_read_by_traefik(
    folder: Path, arguments: list[str], variables: Mapping[str, str]
) -> dict[str, Any] | None:
    """Start Traefik, and end it once it has logged its configuration; ``None`` if it refuses it."""
    log = folder / "log"
    log.touch()
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], **variables}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [find_traefik(), *arguments], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        written = folder / "output"
        until(lambda: LOADED in written.read_text() or process.poll() is not None, "neither")
    finally:
        process.kill()
        process.wait()
    for line in written.read_text().splitlines():
        if LOADED in line:
            read: dict[str, Any] = json.loads(line)["staticConfiguration"]
            return read
    return None


def read_here(text: str, form: Form) -> StaticConfiguration | None:
    """Read a configuration as validate does; ``None`` if it says that Traefik does not start."""
    try:
        static = read_static(text, form)
    except LocatedError:
        return None
    return None if static.refusals else static


def alike(entrypoint: Entrypoint) -> Entrypoint:
    """Return an entrypoint with what Traefik logs as it stands, defaults aside."""
    return entrypoint._replace(proxy_protocol=Entrypoint("").proxy_protocol)


def require_agreement(
    static: StaticConfiguration | None, read: dict[str, Any] | None
) -> StaticConfiguration | None:
    """Require that validate and Traefik have read the same; return it."""
    assert (static is None) is (read is None), read
    if static is None or read is None:
        return None
    there = read_running(read["entryPoints"])
    assert {name: alike(each) for name, each in static.entrypoints.items()} == {
        name: alike(each) for name, each in there.items()
    }
    file = (read.get("providers") or {}).get("file")
    assert bool(static.file_provider) is bool(file)
    if file and static.file_provider:
        assert static.file_provider.filename == file.get("filename", "")
        assert static.file_provider.directory == file.get("directory", "")
        assert static.file_provider.watch is file.get("watch", False)
    assert set(static.resolvers) == set(read.get("certificatesResolvers") or {})
    assert static.api is ("api" in read)
    return static
