"""Hooks: the user's own commands, run on what is about to be written and after each change.

A command runs without a shell, in a session of its own so that its whole process group can be
ended. Only the end of its output is kept. None of this tool's settings are in its environment:
tokens and passwords are among them, and a command that is this tool again must not inherit them.
SIGHUP waits for it; a stop ends it.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from ctsdns_traefik import settings
from ctsdns_traefik.core.text import SHOWN_AT_MOST, printable, shown
from ctsdns_traefik.errors import (
    CheckRefused,
    OutputError,
    SettingsError,
    map_os_errors,
    os_reason,
)

if TYPE_CHECKING:
    import subprocess

Command = tuple[str, ...]
"""The program and its arguments, ``{path}`` among them not yet replaced."""

PATH = "{path}"
"""Stands for the absolute path of the file."""

LIMIT = 30.0
"""Seconds that a command may take."""

_GRACE = 2.0
_GRACE_AT_STOP = 0.2
"""Seconds from SIGTERM to SIGKILL; fewer at a stop, which has to happen within a second."""

_POLL_INTERVAL = 0.05
"""Seconds between looks for a stop: no signal interrupts the write that a check is a part of."""

_PIECE = 64 * 1024
_KEPT = 4 * 1024
"""Bytes at the end of stdout and of stderr that are kept."""

_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
"""Variables by which a child could notify systemd in place of this process."""

Stopping = Callable[[], bool]

_running: set[int] = set()
"""The process groups of running commands."""


class HookError(Exception):
    """A command has failed; the message says how, with the end of its output."""


class _Tails(NamedTuple):
    """The ends of a command's output."""

    output: bytearray
    errors: bytearray


def never() -> bool:
    """Return false: nothing stops the process."""
    return False


def command_from(text: str) -> Command:
    """Split a command as a shell splits words; raise :class:`SettingsError`."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as why:
        raise SettingsError(f"it cannot be split into words: {str(why).lower()}") from why
    if not (words and words[0]) or "\0" in text:
        raise SettingsError("it names no program: write a command")
    return words


def run_hook(
    command: Command, path: Path | None, *, stopping: Stopping = never, limit: float = LIMIT
) -> None:
    """Run a command to its end; raise :class:`HookError` if it fails, or is ended for a stop.

    ``path`` replaces :data:`PATH`; it is ``None`` if the command does not contain that. Processes
    that the command leaves in the background are neither awaited nor ended, unless the command
    itself has to be ended: then its whole process group is.
    """
    name = shown(command[0])
    tails = _Tails(bytearray(), bytearray())
    try:
        absolute = PATH if path is None else os.path.abspath(path)  # noqa: PTH100
        words = [word.replace(PATH, absolute) for word in command]
        name = shown(words[0])
        process = _start(words)
        with _ending(process, stopping):
            deadline = time.monotonic() + limit
            while not _read_output(process, tails):
                if stopping():
                    raise HookError(f"{name} was ended: this process is stopping")
                if time.monotonic() > deadline:
                    raise HookError(f"{name} took longer than {limit:g} s{_tail_as_text(tails)}")
    except (OSError, ValueError) as why:
        raise HookError(f"{name} cannot be run: {os_reason(why)}") from why
    if process.returncode:
        raise HookError(f"{name} {_exit_as_text(process.returncode)}{_tail_as_text(tails)}")


def _start(words: list[str]) -> subprocess.Popen[bytes]:
    import subprocess  # only commands need it

    with _signals_unblocked():
        return subprocess.Popen(  # noqa: S603  (to run what the user names is the point)
            words,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )


@contextmanager
def _signals_unblocked() -> Iterator[None]:
    """Unblock all signals, since a command inherits those that its thread has blocked."""
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _environment() -> dict[str, str]:
    ours = {each.variable for each in vars(settings).values() if isinstance(each, settings.Setting)}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours | _OF_SYSTEMD and not name.startswith(_OF_SOURCE)
    }


_OF_SOURCE = "TAILSCALE_"
"""Variables that begin so are credentials of the source, and what belongs to them."""


@contextmanager
def _ending(process: subprocess.Popen[bytes], stopping: Stopping) -> Iterator[None]:
    """End the process group of a command if the context raises; always close its pipes."""
    from subprocess import TimeoutExpired

    _running.add(process.pid)
    try:
        yield
    except BaseException:
        _signal_group(process.pid, signal.SIGTERM)

        with suppress(TimeoutExpired):
            process.wait(_GRACE_AT_STOP if stopping() else _GRACE)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        _running.discard(process.pid)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def kill_running() -> None:
    """Kill all running commands, for a process that is about to end without cleaning up."""
    for group in tuple(_running):
        _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _read_output(process: subprocess.Popen[bytes], tails: _Tails) -> bool:
    """Read what the command prints within the poll interval; return whether it has ended.

    The pipes may then still be open, inherited by processes in the background.
    """
    from subprocess import TimeoutExpired

    ended = process.poll() is not None
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, tails.output), (process.stderr, tails.errors)):
            if pipe and not pipe.closed:
                selector.register(pipe, selectors.EVENT_READ, kept)
        if selector.get_map():
            for key, _ in selector.select(0 if ended else _POLL_INTERVAL):
                _read_piece(key.fileobj, key.data)  # type: ignore[arg-type]
        elif not ended:
            with suppress(TimeoutExpired):
                process.wait(_POLL_INTERVAL)
    return ended


def _read_piece(pipe: IO[bytes], kept: bytearray) -> None:
    piece = os.read(pipe.fileno(), _PIECE)
    if not piece:
        pipe.close()
    kept += piece
    del kept[:-_KEPT]


def _exit_as_text(status: int) -> str:
    if status > 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _tail_as_text(tails: _Tails) -> str:
    """Return the end of stderr, or else of stdout, if there is any."""
    for kept in tails.errors, tails.output:
        lines = kept.decode("utf-8", "replace").splitlines()
        words = "; ".join(line.strip() for line in lines if line.strip())
        if words:
            cut = len(words) > SHOWN_AT_MOST
            return ": " + printable(f"...{words[3 - SHOWN_AT_MOST :]}" if cut else words)
    return ""


class Check:
    """The command that has to accept new content before it replaces the old."""

    def __init__(self, command: Command, stopping: Stopping = never) -> None:
        self._command = command
        self._stopping = stopping

    def staged(self, staged: Path, content: bytes, target: object) -> None:
        """Check a file with ``content`` that is about to be renamed to the target.

        Raise :class:`CheckRefused` if the command fails, or if it changes the file.
        """
        before = _identity(staged)
        try:
            run_hook(self._command, staged, stopping=self._stopping)
            # The command has our rights: it could put another file, or a link, in the place.
            same = _identity(staged) == before and staged.read_bytes() == content
            words = "" if same else "it changed what it was to check"
        except FileNotFoundError:
            words = "it removed what it was to check"
        except HookError as why:
            # The temporary name is random, and would make each message a new one.
            words = str(why).replace(str(staged), str(target))
        if words:
            name = shown(str(target))
            raise CheckRefused(f"the check command refuses the new {name}, the old stays: {words}")

    def content(self, content: bytes, target: object) -> None:
        """Check content that is in no file beside the target, in a temporary folder.

        Raise :class:`CheckRefused` as :meth:`staged` does, and :class:`OutputError` if the folder
        cannot be written.
        """
        name = f"{shown(str(target))}, in a temporary file (TMPDIR says where)"
        with (
            map_os_errors(f"cannot check what to write to {name}", OutputError),
            tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as folder,
        ):
            staged = Path(folder) / "staged.tmp"
            staged.write_bytes(content)
            self.staged(staged, content, target)


def _identity(path: Path) -> tuple[int, ...]:
    """Return what distinguishes a file from another one, or a link, at the same path."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid


class OnChange:
    """The command that runs after each change.

    ``ended`` is called after it, with the :class:`HookError` if it has failed, else with ``None``.
    """

    def __init__(
        self,
        command: Command,
        path: Path | None,
        ended: Callable[[object | None], None],
        stopping: Stopping = never,
    ) -> None:
        self._command = command
        self._path = path
        self._ended = ended
        self._stopping = stopping

    def __call__(self) -> None:
        """Run it; its failure has no other effect than the report."""
        try:
            run_hook(self._command, self._path, stopping=self._stopping)
        except HookError as why:
            if not self._stopping():
                self._ended(why)
        else:
            self._ended(None)
