"""Hooks: the user's own commands, run on what is about to be written and after each change.

A command runs without a shell, in a session of its own so that all of it can be ended, with its
output read but not kept beyond the end, and with none of this tool's settings in its environment:
tokens and passwords are among them, and a command that is this tool again is not to inherit them.
SIGHUP waits for it; a stop ends it.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from ctsdns_traefik import settings
from ctsdns_traefik.core.text import SHOWN_AT_MOST, printable, shown
from ctsdns_traefik.errors import CheckRefused, OutputError, SettingsError

Command = tuple[str, ...]
"""The program and its arguments, ``{path}`` among them not yet replaced."""

PATH = "{path}"
"""Stands for the absolute path of the file."""

LIMIT = 30.0
"""Seconds that a command may take."""

_GRACE = 2.0
_GRACE_AT_STOP = 0.2
"""Seconds from SIGTERM to SIGKILL; the watchdog of a stop does not wait long."""

_A_MOMENT = 0.05
_PIECE = 64 * 1024
_KEPT = 4 * 1024
"""Bytes of each kind of output that are kept: the last."""

_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
"""What lets a process speak to systemd in our name."""

Stopping = Callable[[], bool]

_running: set[int] = set()
"""The process groups of commands that have not ended."""


class HookError(Exception):
    """A command has failed; the text says how, with its last words."""


class _Said(NamedTuple):
    """The ends of what a command has said."""

    output: bytearray
    errors: bytearray


def never() -> bool:
    """Say that nothing wants the process to stop."""
    return False


def command_from(text: str) -> Command:
    """Split a command as a shell splits words; raise :class:`SettingsError`."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as why:
        raise SettingsError(f"it cannot be split into words: {str(why).lower()}") from why
    if not (words and words[0]) or "\0" in text:
        raise SettingsError("it names no program")
    return words


def run_hook(
    command: Command, path: Path | None, *, stopping: Stopping = never, limit: float = LIMIT
) -> None:
    """Run a command to its end; raise :class:`HookError` if it fails, or is ended for a stop.

    ``path`` is what :data:`PATH` stands for, ``None`` if the command does not name it. What it
    leaves running in the background is neither waited for nor ended, unless the command itself is:
    then all of its process group is.
    """
    name = shown(command[0])
    said = _Said(bytearray(), bytearray())
    try:
        there = PATH if path is None else os.path.abspath(path)  # noqa: PTH100
        words = [word.replace(PATH, there) for word in command]
        name = shown(words[0])
        process = _start(words)
        with _ended(process, stopping):
            deadline = time.monotonic() + limit
            while not _listen(process, said):
                if stopping():
                    raise HookError(f"{name} was ended: this process was told to stop")
                if time.monotonic() > deadline:
                    raise HookError(f"{name} took longer than {limit:g} s{_last_words(said)}")
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        raise HookError(f"{name} cannot be run: {reason.lower()}") from why
    if process.returncode:
        raise HookError(f"{name} {_end_of(process.returncode)}{_last_words(said)}")


def _start(words: list[str]) -> subprocess.Popen[bytes]:
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
    """Have a command begin with no signal blocked, whichever thread starts it: it inherits them."""
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _environment() -> dict[str, str]:
    ours = {each.variable for each in vars(settings).values() if isinstance(each, settings.Setting)}
    return {name: value for name, value in os.environ.items() if name not in ours | _OF_SYSTEMD}


@contextmanager
def _ended(process: subprocess.Popen[bytes], stopping: Stopping) -> Iterator[None]:
    """Leave nothing of a command when this context breaks off; close its pipes in any case."""
    _running.add(process.pid)
    try:
        yield
    except BaseException:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
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
    """End every command at once; for a process that is about to end without cleaning up."""
    for group in tuple(_running):
        _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _listen(process: subprocess.Popen[bytes], said: _Said) -> bool:
    """Take what there is to hear in a moment; tell whether the command has ended.

    That the pipes are still open then, in the hands of what it left running, does not matter.
    """
    ended = process.poll() is not None
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, said.output), (process.stderr, said.errors)):
            if pipe and not pipe.closed:
                selector.register(pipe, selectors.EVENT_READ, kept)
        if selector.get_map():
            for key, _ in selector.select(0 if ended else _A_MOMENT):
                _take(key.fileobj, key.data)  # type: ignore[arg-type]
        elif not ended:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_A_MOMENT)
    return ended


def _take(pipe: IO[bytes], kept: bytearray) -> None:
    piece = os.read(pipe.fileno(), _PIECE)
    if not piece:
        pipe.close()
    kept += piece
    del kept[:-_KEPT]


def _end_of(status: int) -> str:
    if status > 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _last_words(said: _Said) -> str:
    """Return the end of what a command said, if anything, of its errors rather than its output."""
    for kept in said.errors, said.output:
        lines = kept.decode("utf-8", "replace").splitlines()
        words = "; ".join(line.strip() for line in lines if line.strip())
        if words:
            cut = len(words) > SHOWN_AT_MOST
            return ": " + printable(f"...{words[3 - SHOWN_AT_MOST :]}" if cut else words)
    return ""


class Check:
    """The command that has to agree to new content before it takes the place of the old."""

    def __init__(self, command: Command, stopping: Stopping = never) -> None:
        """Take the command, and what tells that the process is to stop."""
        self._command = command
        self._stopping = stopping

    def staged(self, staged: Path, content: bytes, target: object) -> None:
        """Have a file checked that holds ``content`` and is about to be renamed to the target.

        Raise :class:`CheckRefused` if the command does not agree, or if what it leaves there is
        not the file that was checked.
        """
        before = _identity(staged)
        try:
            run_hook(self._command, staged, stopping=self._stopping)
            same = _identity(staged) == before and staged.read_bytes() == content
            words = "" if same else "it changed what it was to check"
        except FileNotFoundError:
            words = "it removed what it was to check"
        except HookError as why:
            words = str(why).replace(str(staged), str(target))  # its random part would be news
        if words:
            name = shown(str(target))
            raise CheckRefused(f"the check command refuses the new {name}, the old stays: {words}")

    def content(self, content: bytes, target: object) -> None:
        """Have content checked that no file beside the target holds, in a temporary folder.

        Raise :class:`CheckRefused` likewise, :class:`OutputError` if there is no room for it.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as folder:
                staged = Path(folder) / "staged.tmp"
                staged.write_bytes(content)
                self.staged(staged, content, target)
        except OSError as why:
            reason = shown(why.strerror or str(why)).lower()
            name = f"{shown(str(target))}, in a temporary file (TMPDIR says where)"
            raise OutputError(f"cannot check what to write to {name}: {reason}") from why


def _identity(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another in its place, a link to it included."""
    there = path.lstat()
    return there.st_dev, there.st_ino, there.st_mode, there.st_uid, there.st_gid


class OnChange:
    """The command that runs after each change."""

    def __init__(
        self,
        command: Command,
        path: Path | None,
        ended: Callable[[object | None], None],
        stopping: Stopping = never,
    ) -> None:
        """Take the command, the file if any, what hears how it ended, and what tells of a stop.

        It hears of a failure as the :class:`HookError`, of none as ``None``.
        """
        self._command = command
        self._path = path
        self._ended = ended
        self._stopping = stopping

    def __call__(self) -> None:
        """Run it; whatever becomes of it, nothing else changes."""
        try:
            run_hook(self._command, self._path, stopping=self._stopping)
        except HookError as why:
            if not self._stopping():
                self._ended(why)
        else:
            self._ended(None)
