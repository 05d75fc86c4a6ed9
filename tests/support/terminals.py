"""A program on a real terminal of some width, and all that it shows there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Mapping, Sequence

from support.processes import Process, start


class Terminal:
    """A pseudo-terminal that a program runs on."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int,
        environment: Mapping[str, str] | None = None,
        *,
        stdout: int | None = None,
    ) -> None:
        """Start a program; its standard output is the terminal unless it is another descriptor."""
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._read_so_far = b""
        self.process: Process = start(
            command,
            stdin=inner,
            stdout=inner if stdout is None else stdout,
            stderr=inner,
            environment={**os.environ, "TERM": "xterm-256color", **(environment or {})},
        )
        os.close(inner)

    @property
    def shown(self) -> str:
        """What it has printed so far, with plain line ends."""
        return self._read_so_far.decode(errors="replace").replace("\r\n", "\n")

    def until(self, text: str) -> None:
        """Read on until a text is shown; fail at the end."""
        while text not in self.shown:
            assert self._read(), f"no {text!r} in {self.shown!r}"

    def until_end(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        os.close(self._terminal)
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        try:
            more = os.read(self._terminal, 65536)
        except OSError:  # Linux says EIO where others say end of file
            more = b""
        self._read_so_far += more
        return bool(more)


def on_terminal(command: Sequence[str], columns: int, **environment: str) -> tuple[int, str]:
    """Run a program on a terminal of some columns; return its exit status and what it shows."""
    terminal = Terminal(command, columns, environment)
    return terminal.until_end(), terminal.shown


def plain(text: str) -> str:
    """Take the colours out of a text."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


_STEP = re.compile(r"\x1b\[(?P<number>\d*)(?P<act>[AKm])|\x1b\[\?25[hl]|(?P<char>.)", re.DOTALL)


def screen(shown: str) -> list[str]:
    """Return the lines that a wide terminal has in the end, colours and empty last ones aside.

    It knows the few controls that a line needs that is drawn again.
    """
    lines, row, column = [""], 0, 0
    for step in _STEP.finditer(shown.replace("\r\r\n", "\n")):
        char = step["char"]
        if step["act"] == "A":
            row -= int(step["number"] or 1)
        elif step["act"] == "K":
            lines[row] = "" if step["number"] == "2" else lines[row][:column]
        elif char == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif char == "\r":
            column = 0
        elif char:
            lines[row] = f"{lines[row].ljust(column)[:column]}{char}{lines[row][column + 1 :]}"
            column += 1
    return "\n".join(lines).rstrip("\n").split("\n")
