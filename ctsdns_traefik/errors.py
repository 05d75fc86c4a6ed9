"""Errors outside the core, and the exit code of each kind."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import ClassVar

from ctsdns_traefik.core.text import shown


class ExitCode(IntEnum):
    """Every exit code of the command; ``--help`` and docs/cli.md list them."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    SOURCE = 3
    OUTPUT = 4
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "fine",
    ExitCode.FINDINGS: "findings: something is in error, or would change",
    ExitCode.USAGE: "bad usage or settings",
    ExitCode.SOURCE: "the source could not be read",
    ExitCode.OUTPUT: "the output could not be written",
    ExitCode.INTERNAL: "a defect of this program",
    ExitCode.INTERRUPTED: "interrupted (SIGINT)",
}


class CtsdnsError(Exception):
    """The root of all expected errors, each of which is reported in one line.

    It ends a command; a running ``watch`` logs it and continues.
    """

    exit_code = ExitCode.INTERNAL
    faults: tuple[str, ...] = ()
    """What is reported in a line each, if the error has several parts."""


class SettingsError(CtsdnsError):
    """A setting cannot be used; a file of settings may have several faults."""

    exit_code = ExitCode.USAGE

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Reason(StrEnum):
    """Why no policy came from a source, for programs; docs/status.md explains each."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    RATE_LIMITED = "rate-limited"
    SERVER_ERROR = "server-error"
    UNEXPECTED_ANSWER = "unexpected-answer"
    TOO_LARGE = "too-large"
    UNREACHABLE = "unreachable"
    TLS_FAILED = "tls-failed"
    TIMEOUT = "timeout"
    BROKEN_OFF = "broken-off"
    UNTRUSTED_POLICY = "untrusted-policy"
    WORKER_ERROR = "worker-error"
    UNREADABLE = "unreadable"
    BAD_CREDENTIALS = "bad-credentials"
    INTERNAL = "internal"


class SourceError(CtsdnsError):
    """No policy can be read from the source; it may ask to be left alone for some seconds."""

    exit_code = ExitCode.SOURCE

    def __init__(
        self, message: str, retry_after: float = 0.0, reason: Reason = Reason.UNEXPECTED_ANSWER
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason


class OutputError(CtsdnsError):
    """The output cannot be written."""

    exit_code = ExitCode.OUTPUT


class ReaderGone(OutputError):
    """The reader of standard output has closed it, as ``| head`` does; nothing is reported."""


class CheckRefused(OutputError):
    """The user's check command rejects the new content; the old content stays."""


class Standby(OutputError):
    """Another process writes to a shared output, or has just done so; nothing was written."""

    def __init__(self, reason: str, holder: str = "another watch", *, agrees: bool = False) -> None:
        super().__init__(reason)
        self.holder = holder
        self.agrees = agrees
        """Whether the output holds what was to be written."""


def os_reason(why: OSError | ValueError) -> str:
    """Return why a call to the system failed; a ``ValueError`` is of its path or its text."""
    if isinstance(why, UnicodeError):
        return "it is not text"
    reason = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
    return shown(reason).lower()


def listen_fault(address: str, port: int, why: OSError) -> str:
    """Return why nothing can listen on an address, and what helps; port 0 is that of no network."""
    reason = os_reason(why).partition(" (")[0]  # Python repeats the address there
    fixes = {
        errno.EADDRINUSE: f"find the process that has it (ss -ltnp 'sport = :{port}'), or choose"
        " another port",
        errno.EADDRNOTAVAIL: "choose an address of this machine",
        errno.EACCES: "choose a port above 1023, or permit others (CAP_NET_BIND_SERVICE)",
    }
    fix = fixes.get(why.errno or 0, "") if port else "choose a free path in a folder of this user"
    return f"cannot listen on {address}: {reason}{f'; {fix}' if fix else ''}"


@contextmanager
def map_os_errors(what: str, error: Callable[[str], Exception]) -> Iterator[None]:
    """Raise an error that says what could not be done, and the system's reason."""
    try:
        yield
    except (OSError, ValueError) as why:
        raise error(f"{what}: {os_reason(why)}") from why


def internal_error(defect: BaseException) -> str:
    """Return the message for an unexpected error."""
    return f"internal error, please report it: {defect!r}"


class Stop(BaseException):
    """SIGTERM or SIGINT has come; no ``except Exception`` on the way may swallow it."""

    EXIT_CODES: ClassVar = {signal.SIGTERM: ExitCode.OK, signal.SIGINT: ExitCode.INTERRUPTED}

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signal = signal.Signals(signum)
        self.exit_code = self.EXIT_CODES[self.signal]
