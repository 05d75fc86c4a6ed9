"""A sandbox: a real Traefik that loads a document on loopback ports, and can be queried.

Traefik runs in a temporary folder with a static configuration of its own: the given entrypoints
on ports that the system picks, and one entrypoint more, of a name that no route can guess, for
Traefik's API. The router to the API stands in a second dynamic file, so no user's entrypoint is
needed for it, ``traefik`` neither. Traefik applies both files at once: when the API answers, the
document is loaded.

Nothing leaves the machine: there are no certificate resolvers, no version check, no statistics,
no proxies and none of the caller's variables. Traefik dials a backend when a request for it comes
and none does; our documents have no health checks.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SettingsError, map_os_errors
from ctsdns_traefik.traefik.api import ApiError, traefik_api_from
from ctsdns_traefik.traefik.binary import running

OLDEST = 3
"""The oldest major version of Traefik that can load our documents."""

DOCUMENT = "document.yml"
"""The name of our document among the dynamic files."""

_LOOPBACK = "127.0.0.1"
_NEVER_DEFAULT = "traefik"
_HIGHEST = 2**62
_READY_WITHIN = 2.0
_A_MOMENT = 0.02

_NO_FOLDER = "cannot make the temporary files of a proof (see TMPDIR)"

_STATIC, _DYNAMIC, _LOG, _OUTPUT = "traefik.yml", "dynamic", "traefik.log", "output"


class SandboxEntrypoint(NamedTuple):
    """An entrypoint of the static configuration, as far as it matters to whether routes work."""

    name: str
    udp: bool = False
    tls: bool = False
    """Whether it gives its HTTP routers TLS (``http.tls``)."""
    default: bool = True
    """Whether routers of other files that name no entrypoint are on it."""
    middlewares: tuple[str, ...] = ()
    """Those of all its HTTP routers."""


class _Files(NamedTuple):
    """The files and the port of a sandbox."""

    folder: Path
    api: str
    """The name of the API's entrypoint, and of the router to it."""
    port: int
    """The API's."""


class PortTaken(SettingsError):
    """Another program took the port of Traefik's API before Traefik did; worth another try."""


class Sandbox:
    """A Traefik that runs, and what it reports; ``stops`` returns whether a signal has come."""

    def __init__(
        self,
        traefik: str,
        process: subprocess.Popen[bytes],
        files: _Files,
        stops: Callable[[], bool],
    ) -> None:
        self._program, self._process, self._files = shown(traefik), process, files
        self._stops = stops
        self._api = traefik_api_from(f"http://{_LOOPBACK}:{files.port}")

    @property
    def version(self) -> str:
        """Traefik's version, such as ``3.7.15``, from the first line of its log."""
        version = re.search(r"Traefik version v?(\S+) built on", self._read(_LOG))
        return version[1] if version else "unknown"

    @property
    def refusal(self) -> str:
        """Why Traefik refused the document as a whole; nothing if it did not."""
        lines = self._read(_LOG).splitlines()
        refused = (
            _error_in(line) for line in lines if "Cannot start the provider *file.Provider" in line
        )
        return self._tidy(next(refused, ""))

    def wait(self, patience: float) -> None:
        """Wait for Traefik to load the document or to refuse it; raise :class:`SettingsError`."""
        until = time.monotonic() + patience
        while not (self._has_loaded() or self.refusal):
            if self._process.poll() is not None:
                raise self._failed(f"ended with status {self._process.returncode}")
            if time.monotonic() > until:
                raise self._failed(f"has not loaded the routes within {patience:g} s")
            self._check_stop()
            time.sleep(_A_MOMENT)
        self._require_new_enough()

    def read(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the API's ``http/routers`` or another kind, by the name in the document."""
        try:
            return self._api.read(kind, "file", self._check_stop)
        except ApiError as why:
            raise SettingsError(f"Traefik's API gives no answer about {kind}: {why}") from why

    def _has_loaded(self) -> bool:
        """Return whether the API answers and is this Traefik's: no other has such an entrypoint."""
        try:
            self._api.get(f"/api/entrypoints/{self._files.api}", _READY_WITHIN)
        except ApiError:
            return False
        return True

    def _check_stop(self) -> None:
        """Raise if a signal has come, which acts when the sandbox is cleaned up."""
        if self._stops():
            raise KeyboardInterrupt

    def _failed(self, how: str) -> SettingsError:
        """Return an error that says how Traefik has failed, with the end of its log."""
        self._require_new_enough()
        lines = (self._read(_LOG) + self._read(_OUTPUT)).strip().splitlines()
        reason = self._tidy(_error_in(lines[-1])) if lines else "it logged nothing"
        kind = PortTaken if "address already in use" in reason else SettingsError
        return kind(f"{self._program} {how}: {reason}")

    def _require_new_enough(self) -> None:
        major = re.match(r"\d+", self.version)
        if major and int(major[0]) < OLDEST:
            version = shown(self.version)
            raise SettingsError(
                f"{self._program} is Traefik {version}; {OLDEST} or newer is needed"
            )

    def _tidy(self, text: str) -> str:
        """Remove the path of the temporary folder, which is gone when somebody reads the text."""
        for folder in (self._files.folder / _DYNAMIC, self._files.folder):
            text = text.replace(f"{folder}{os.sep}", "")
        return shown(text)

    def _read(self, name: str) -> str:
        with (
            map_os_errors(f"cannot read {name} of {self._program}", SettingsError),
            suppress(FileNotFoundError),
        ):
            return (self._files.folder / name).read_text(encoding="utf-8", errors="replace")
        return ""


@contextmanager
def start_sandbox(
    traefik: str,
    documents: Mapping[str, str],
    entrypoints: Iterable[SandboxEntrypoint],
    stops: Callable[[], bool],
) -> Iterator[Sandbox]:
    """Run Traefik with documents in this context, by file name; then end it and remove its files.

    They stay only if this process is killed. ``stops`` is what :func:`.postponed` yields.
    Raise :class:`SettingsError` if Traefik cannot be run.
    """
    with _folder() as folder:
        files = _Files(folder, f"sandbox-{secrets.token_hex(8)}", _free_port())
        _write(files, documents, entrypoints)
        command = [traefik, f"--configFile={folder / _STATIC}"]
        with running(command, folder, folder / _OUTPUT) as process:
            yield Sandbox(traefik, process, files, stops)


@contextmanager
def _folder() -> Iterator[Path]:
    with map_os_errors(_NO_FOLDER, SettingsError):
        made = tempfile.TemporaryDirectory(prefix="ctsdns-traefik-", ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder)


def _write(
    files: _Files, documents: Mapping[str, str], entrypoints: Iterable[SandboxEntrypoint]
) -> None:
    """Write what Traefik reads: static configuration, documents, and the router to the API."""
    folder, name, port = files
    rule = {"rule": "PathPrefix(`/api`)", "priority": _HIGHEST}
    router = {**rule, "service": "api@internal", "entryPoints": [name]}
    listening: dict[str, Any] = {each.name: _listening(each) for each in entrypoints}
    listening[name] = {
        "address": f"{_LOOPBACK}:{port}",
        "transport": {"lifeCycle": {"graceTimeOut": "1ms"}},  # it ends without waiting for requests
    }
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "json", "filePath": str(folder / _LOG)},
        "api": {"dashboard": False},
        "entryPoints": listening,
        "providers": {
            "providersThrottleDuration": 0,
            "file": {"directory": str(folder / _DYNAMIC), "watch": False},
        },
    }
    with map_os_errors(_NO_FOLDER, SettingsError):
        (folder / _STATIC).write_text(json.dumps(static))
        (folder / _DYNAMIC).mkdir()
        for file, text in documents.items():
            (folder / _DYNAMIC / file).write_text(text, encoding="utf-8")
        api = {"http": {"routers": {name: router}}}
        (folder / _DYNAMIC / "api.yml").write_text(json.dumps(api))


def _listening(entrypoint: SandboxEntrypoint) -> dict[str, Any]:
    """Let the system pick the port when Traefik listens: no other program can take it first."""
    listening: dict[str, Any] = {"address": f"{_LOOPBACK}:0{'/udp' if entrypoint.udp else ''}"}
    http: dict[str, Any] = {"tls": {}} if entrypoint.tls else {}
    http |= {"middlewares": list(entrypoint.middlewares)} if entrypoint.middlewares else {}
    if http and not entrypoint.udp:
        listening["http"] = http
    if entrypoint.default and not entrypoint.udp and entrypoint.name != _NEVER_DEFAULT:
        listening["asDefault"] = True  # so that no such router is on the API's
    return listening


def _free_port() -> int:
    with map_os_errors(f"cannot listen on {_LOOPBACK}", SettingsError), socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _error_in(line: str) -> str:
    """Return the error in a line of Traefik's log, or else its message."""
    try:
        record = json.loads(line)
        return str(record.get("error") or record["message"])
    except (ValueError, AttributeError, LookupError):
        return line
