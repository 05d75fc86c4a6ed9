"""Run a command with the system calls and the address families of a unit, and no others.

    python confined.py CALLS.json COMMAND...

The file holds ``{"calls": [...], "families": [...]}``. Another call fails with EPERM, a socket of
another family with EAFNOSUPPORT, as under systemd's SystemCallFilter= and
RestrictAddressFamilies=; memory cannot be both written and run (MemoryDenyWriteExecute=), where
the kernel knows how.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pyseccomp

_PR_SET_MDWE = 65
"""prctl(2); since Linux 6.3."""


def main() -> None:
    """Confine this process, then become the command."""
    rules = json.loads(Path(sys.argv[1]).read_text())
    ctypes.CDLL(None).prctl(_PR_SET_MDWE, 1, 0, 0, 0)
    confine(rules["calls"], [getattr(socket, family) for family in rules["families"]])
    os.execv(sys.argv[2], sys.argv[2:])


def confine(calls: list[str], families: list[int]) -> None:
    """Load the filter; calls that this architecture does not have are passed over."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for call in calls:
        if call != "socket":
            with suppress(OSError, RuntimeError, ValueError):
                rules.add_rule(pyseccomp.ALLOW, call)
    for family in range(socket.AF_UNSPEC, 64):
        known = pyseccomp.ALLOW if family in families else pyseccomp.ERRNO(errno.EAFNOSUPPORT)
        rules.add_rule(known, "socket", pyseccomp.Arg(0, pyseccomp.EQ, int(family)))
    rules.load()


if __name__ == "__main__":
    main()
