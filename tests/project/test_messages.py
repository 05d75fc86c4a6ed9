"""The table of messages, tests/cli/messages.txt, has every error that the package makes.

For a new one add a row without the lines that follow the command, run it, and write what it prints.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from support.paths import ROOT, TESTS
from support.transcripts import read_table

from ctsdns_traefik.errors import ExitCode

ROWS = read_table()
PRINTED = "".join(text for row in ROWS for text in row.expected[1:])

ELSEWHERE = {
    "access_service/test_service.py": (
        "its query is malformed",
        "its query holds something other than aud=AUD",
        "its query has an audience that --audience does not allow",
        "it names no audience to check tokens for; write /verify?aud=AUD",
    ),
    "cli/test_program_ends.py": (
        "cannot write standard output",
        "cannot write standard output: it is closed",
        "cannot read standard input: it is closed",
    ),
    "cli/test_watch_check.py": (
        "routers that the output has, without",
        "provider read this output; --static-config checks that",
        "correct the entry",
    ),
    "daemon/test_access_in_force.py": ("changes all the time: replace it by renaming",),
    "daemon/test_check_machines.py": ("no list came within",),
    "output/test_foreign_files.py": ("cannot keep a copy of", "are there, remove some"),
    "output/test_lock.py": ("a watch keeps it", "stop that one, or name another --output"),
    "output/redis/test_redis_commands.py": ("a store as output needs redis-py",),
    "output/redis/test_redis_output.py": (
        "it took longer than",
        "other processes write all the time",
    ),
    "server/test_closed.py": ("--listen needs tornado",),
    "source/test_client_certificate.py": (
        "it is encrypted; store it without a password",
        "does not fit",
        "and its key",
    ),
    "source/test_http_client.py": (
        "it does not answer within",
        "its answer is larger than",
        "it does not answer in time: its answer only trickles in",
    ),
    "source/test_stream_failures.py": ("no whole line came within the read timeout of",),
    "source/test_url.py": ("its answer is not whole within", "it now answers with an event stream"),
    "traefik/test_proof.py": (
        "no Traefik found: put it on the PATH, or install ctsdns-traefik with its extra 'traefik",
        "is Traefik",
        "or newer is needed",
        "Traefik's API gives no answer about",
        "healthcheck does not end",
    ),
    "project/test_house.py": ("the urllib3 installed here is too old: upgrade it to 2.2 or newer",),
}
"""Errors that need more than a command, and where that is: a second process, time, another user,
a package that is missing or old, a Traefik that fails."""


def test_table_has_every_diagnostic() -> None:
    """Each code of docs/problems.md is brought about."""
    codes = re.findall(r"^## (.+)$", (ROOT / "docs/problems.md").read_text(), re.MULTILINE)
    assert [code for code in codes if f" {code}: " not in PRINTED] == []


def test_table_has_every_exit_code() -> None:
    """Each code of docs/cli.md is there, but those of a defect and of a signal."""
    found = {row.expected.code for row in ROWS}
    assert found == {*ExitCode} - {ExitCode.INTERNAL, ExitCode.INTERRUPTED}


ERRORS = (
    *("SettingsError", "SourceError", "OutputError", "UsageError", "CheckRefused", "_Failed"),
    *("SnapshotError", "LocatedError", "DiagnosticError", "HttpError", "StreamError", "ApiError"),
    *("fail", "not_applicable", "_reject", "_error"),
)
"""What makes an error of a text that a user reads."""


def texts_of_errors() -> Iterator[tuple[str, str]]:
    """Yield where the package makes an error, and each constant part of its text."""
    for path in sorted((ROOT / "ctsdns_traefik").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and name_of(node.func) in ERRORS:
                for text in parts_of(node):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def name_of(function: ast.expr) -> str:
    """Return the last part of a function's name."""
    return getattr(function, "attr", getattr(function, "id", ""))


def parts_of(call: ast.Call) -> Iterator[str]:
    """Yield the constant parts of a call's texts that are words of a sentence."""
    for node in (each for argument in call.args for each in ast.walk(argument)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value.strip(" :;,\"'()")


def test_table_has_every_error() -> None:
    """Whatever error the package makes is in the table, or in the list of those that cannot be."""
    elsewhere = {text for texts in ELSEWHERE.values() for text in texts}
    missing = {
        (where, text)
        for where, text in texts_of_errors()
        if len(text) >= 8 and text not in PRINTED and text not in elsewhere
    }
    assert sorted(missing) == []
    assert [text for text in elsewhere if text in PRINTED] == []
    assert [path for path in ELSEWHERE if not (TESTS / path).exists()] == []
