"""What only a command run in this process can show, since no input brings it about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctsdns_traefik.cli import main
from ctsdns_traefik.core.dynamic import rendering as render
from ctsdns_traefik.errors import ExitCode

ENTRY = "_web_http_80._tcp.a.example.com"


@pytest.fixture(autouse=True)
def _logging_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the package's logging back as it was before the command ran."""
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    package = logging.getLogger("ctsdns_traefik")
    kept = package.handlers, package.level, package.propagate
    yield
    package.handlers, package.level, package.propagate = kept


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Return a policy's file."""
    path = tmp_path / "policy.json"
    path.write_text(f'{{"hosts": {{"{ENTRY}": "100.64.0.1"}}}}')
    return str(path)


@pytest.mark.parametrize("command", ["render-once", "validate"])
def test_defect_is_one_line(
    command: str,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error that was not foreseen ends with 70 and one line that asks to report it."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("one\ntwo")

    monkeypatch.setattr(render, "render", broken)
    assert main([command, policy]) == ExitCode.INTERNAL
    printed = "internal error, please report it: RuntimeError('one\\ntwo')"
    assert capsys.readouterr() == ("", f"ctsdns-traefik: error: {printed}\n")


@pytest.mark.parametrize(
    "unforeseen", [OSError(24, "no luck"), BrokenPipeError(32, "no luck")], ids=repr
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_os_error_without_explanation_is_not_one_of_standard_output(
    unforeseen: OSError,
    form: str,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An OSError that was not foreseen is a defect like others: 70, and its own words."""

    def broken(*_: object, **__: object) -> None:
        raise unforeseen

    monkeypatch.setattr(render, "render", broken)
    assert main(["render-once", policy, "--log-format", form]) == ExitCode.INTERNAL
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"internal error, please report it: {unforeseen!r}" in err


def test_interrupt_from_the_terminal_is_no_defect(
    policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C at any moment ends with 130 and says nothing."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "render", interrupted)
    assert main(["render-once", policy]) == ExitCode.INTERRUPTED
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", "")
