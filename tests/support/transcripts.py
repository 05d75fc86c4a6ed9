"""Tables of commands and what they print, as text that can be read aloud."""

from __future__ import annotations

import codecs
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from support import processes
from support.paths import TESTS

PROGRAMS = {
    "ctsdns-traefik": "ctsdns_traefik",
    "ctsdns-traefik-access": "ctsdns_traefik.access_service",
}

Files = dict[str, bytes]


class Printed(NamedTuple):
    """What a command prints, and its exit code."""

    code: int
    output: str
    errors: str


class Row(NamedTuple):
    """A command, and what it is to print; ``...`` stands for what differs."""

    line: int
    command: str
    files: Files
    expected: Printed

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def program(self) -> str:
        return next(word for word in self.words if word in PROGRAMS)


TABLE = TESTS / "cli" / "messages.txt"


def read_table() -> list[Row]:
    """Read the rows of the table of messages, whose form tests/cli/test_messages.py explains."""
    everywhere: Files = {}
    rows: list[Row] = []
    number = 1
    for block in TABLE.read_text(encoding="utf-8").split("\n\n"):
        lines = block.split("\n")
        files = dict(_files_in(lines))
        at = next((at for at, line in enumerate(lines) if line.startswith("$ ")), None)
        if at is None:
            everywhere |= files
        else:
            rows.append(_row(number + at, lines[at][2:], everywhere | files, lines[at + 1 :]))
        number += len(lines) + 1
    return rows


def _files_in(lines: list[str]) -> list[tuple[str, bytes]]:
    found = [re.fullmatch(r"\[(\S+)\] ?(.*)", line) for line in lines]
    return [(file[1], _unescaped(file[2])) for file in found if file]


def _unescaped(text: str) -> bytes:
    """Return text with the escapes of Python's strings as bytes."""
    return codecs.escape_decode(text.encode())[0]


def _row(number: int, command: str, files: Files, lines: list[str]) -> Row:
    row = Row(number, command, files, Printed(0, "", ""))
    code, output, errors = 0, "", ""
    for line in lines:
        if ended := re.fullmatch(r"([0-9]+)(: (.*))?", line):
            code = int(ended[1])
            errors += f"{row.program}: error: {ended[3]}\n" if ended[2] else ""
        elif line.startswith(">"):
            output += f"{line[2:]}\n"
        elif line.startswith("!"):
            errors += f"{line[2:]}\n"
        else:
            assert not line, f"line {number} and after: {line!r} is not understood"
    return row._replace(expected=Printed(code, output, errors))


def run_row(row: Row, folder: Path, names: Mapping[str, str]) -> Printed:
    """Run a row's command in a folder, with its files; ``names`` stand for addresses of servers."""
    make_files(row.files, folder)
    command = row.words
    for name, value in names.items():
        command = [word.replace(name, value) for word in command]
    at = command.index(row.program)
    settings = dict(_unescaped(word).decode().split("=", 1) for word in command[:at])
    arguments, stdin = command[at + 1 :], b""
    if arguments[-2:-1] == ["<<<"]:
        *arguments, _, text = arguments
        stdin = _unescaped(text)
    done = processes.run(
        [sys.executable, "-m", PROGRAMS[row.program], *arguments],
        environment={**_environment(), **settings},
        stdin=stdin,
        cwd=folder,
        timeout=60,
    )
    texts = [each.decode("utf-8", "backslashreplace") for each in (done.stdout, done.stderr)]
    for name, value in names.items():
        texts = [text.replace(value, name) for text in texts]
    return Printed(done.returncode, *(text.replace(str(folder), "/here") for text in texts))


def _environment() -> dict[str, str]:
    """Return the environment without what would make another command of it."""
    away = re.compile("(?i)(.*_proxy|.*_ca_bundle|ssl_cert_file)")
    return {name: value for name, value in os.environ.items() if not away.fullmatch(name)}


def make_files(files: Files, folder: Path) -> None:
    """Make files below a folder; a name that ends in a slash is that of a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(content)


def agrees(expected: Printed, found: Printed) -> bool:
    """Return whether a command printed what was expected."""
    return expected.code == found.code and all(
        re.fullmatch(".+?".join(map(re.escape, one.split("..."))), other)
        for one, other in ((expected.output, found.output), (expected.errors, found.errors))
    )
