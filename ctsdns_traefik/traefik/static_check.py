"""Traefik's own verdict on a static configuration, without starting what it configures.

``traefik healthcheck`` reads the configuration as a start would, and then sends a request to the
ping of a Traefik that runs with it, if it has one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ctsdns_traefik.core.static_config import Form, read_settings
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, map_os_errors
from ctsdns_traefik.traefik.binary import running

_WITHIN = 15.0
_COMMAND = "command healthcheck error: "


def refusal_of(traefik: str, text: str, form: Form) -> str:
    """Return why Traefik would not start with a static configuration, ``""`` if it would.

    The text is that of the file, or of one with flags or variables. It has been read before.
    Raise :class:`SettingsError` if Traefik cannot be run.
    """
    cannot_write = "cannot make the temporary files of a proof (see TMPDIR)"
    with (
        map_os_errors(cannot_write, SettingsError),
        tempfile.TemporaryDirectory(prefix="ctsdns-traefik-", ignore_cleanup_errors=True) as made,
    ):
        folder = Path(made)
        file, output = folder / f"static.{form}", folder / "output"
        file.write_text(text, encoding="utf-8")
        arguments, variables = [f"--configFile={file}"], {}
        if launch := read_settings(text, form)[1]:
            arguments = [flag for flag, _ in launch.flags]
            variables = dict(each.split("=", 1) for each, _ in launch.variables)
        command = [traefik, "healthcheck", *arguments]
        with running(command, folder, output, variables) as process:
            try:
                process.wait(_WITHIN)
            except subprocess.TimeoutExpired as why:
                raise SettingsError(f"{shown(traefik)} healthcheck does not end") from why
        return _refusal_in(output.read_text(encoding="utf-8", errors="replace"), str(file))


def _refusal_in(output: str, file: str) -> str:
    """Return the error in the command's output, in place of "incompatible" the option's own."""
    errors = list(_errors(output))
    for error in errors:
        if error.startswith(_COMMAND):
            reason = error.removeprefix(_COMMAND)
            if reason.startswith("incompatible deprecated") and errors[0] != error:
                reason = errors[0].partition(" For more information")[0]
            return shown(reason.replace(file, "the file"))
    return ""


def _errors(output: str) -> Iterator[str]:
    for line in output.splitlines():
        try:
            record = json.loads(line)
            if record["level"] == "error":
                yield str(record.get("error") or record["message"])
        except (ValueError, TypeError, LookupError):
            continue
