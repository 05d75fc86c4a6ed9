"""The log: one line a message, nothing but the message, and only what was asked for."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from ctsdns_traefik import logs

log = logging.getLogger("ctsdns_traefik.tested")

LOOKS_LIKE_MARKUP = [
    "[bold]text[/bold]",
    "closing [/red] alone",
    "http://[fd7a:115c:a1e0::1]:8080",
    "a [link=https://example.com]link[/link]",
    ":warning: 100% {braces} \\[escaped]",
]
EVERY_LEVEL = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _former_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put everything back that setting up changes."""
    package = logging.getLogger(logs.PACKAGE)
    former = package.handlers, package.level, package.propagate
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setenv("TERM", "xterm")
    yield
    package.handlers, level, package.propagate = former
    package.setLevel(level)


@pytest.mark.parametrize(
    ("verbosity", "logged"),
    [
        pytest.param(2, EVERY_LEVEL, id="-vv"),
        pytest.param(1, EVERY_LEVEL, id="-v"),
        pytest.param(0, EVERY_LEVEL[1:], id="neither"),
        pytest.param(-1, EVERY_LEVEL[2:], id="-q"),
        pytest.param(-2, EVERY_LEVEL[3:], id="-qq"),
        pytest.param(-9, EVERY_LEVEL[4:], id="-q-nine-times"),
    ],
)
def test_verbosity_chooses_the_levels(verbosity: int, logged: list[int]) -> None:
    """Each -v says one level more, each -q one less, to errors alone and no further."""
    stream = io.StringIO()
    logs.set_up(stream, verbosity)
    for level in EVERY_LEVEL:
        log.log(level, "%d", level)
    assert stream.getvalue().splitlines() == [f"{logging.getLevelName(n)}: {n}" for n in logged]


def test_line_of_a_daemon_is_dated() -> None:
    """A dated line starts with the time, to the second and with its zone, and the level."""
    stream = io.StringIO()
    logs.set_up(stream, dated=True)
    log.info("connected to %s", "somewhere")
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO connected to somewhere\n"
    assert re.fullmatch(pattern, stream.getvalue())


@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
@pytest.mark.parametrize(
    ("message", "line"),
    [
        pytest.param("one\ntwo\r\nthree", r"one\ntwo\r\nthree", id="line-ends"),
        pytest.param("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", id="terminal-escapes"),
        pytest.param("a\u2028b\u202ec\x85", r"a\u2028b\u202ec\x85", id="invisible"),
        pytest.param("a\udcffb", r"a\udcffb", id="surrogate"),
        pytest.param("grün 100% ok", "grün 100% ok", id="printable"),
    ],
)
def test_message_stays_on_its_line(message: str, line: str, *, dated: bool) -> None:
    """Whatever a message quotes off a terminal, it is one line without control characters."""
    stream = io.StringIO()
    logs.set_up(stream, dated=dated)
    log.warning("%s", message)
    assert stream.getvalue().endswith(f"{line}\n")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().removesuffix("\n").isprintable()


def test_traceback_stays_on_the_line_too() -> None:
    """Even a traceback, should there be one, is part of its message's line."""
    stream = io.StringIO()
    logs.set_up(stream)
    try:
        int("first\nsecond")
    except ValueError:
        log.exception("failed")
    assert stream.getvalue().startswith("ERROR: failed")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("message", LOOKS_LIKE_MARKUP)
@pytest.mark.parametrize("make", [io.StringIO, Terminal], ids=["off-a-terminal", "terminal"])
@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_text_that_looks_like_markup_survives(
    make: Callable[[], io.StringIO], message: str, *, dated: bool
) -> None:
    """Brackets in data, as in IPv6 addresses, are shown as they are, on a terminal too."""
    stream = make()
    logs.set_up(stream, dated=dated)
    log.warning("%s", message)
    log.warning(message)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert shown.count(message) == 2


@pytest.mark.parametrize("message", ["one\ntwo", "\x1b]0;title\x07"])
def test_control_characters_do_not_reach_a_terminal(message: str) -> None:
    """On a terminal, too, what a message quotes cannot steer it."""
    stream = Terminal()
    logs.set_up(stream, dated=True)
    log.warning("%s", message)
    assert repr(message).strip("'") in stream.getvalue()
    assert message not in stream.getvalue()


@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_level_alone_is_coloured(*, dated: bool) -> None:
    """On a terminal the level has a colour; a message that repeats it has none."""
    stream = Terminal()
    logs.set_up(stream, dated=dated)
    log.error("an ERROR")
    log.warning("a WARNING")
    log.info("an INFO")
    shown = stream.getvalue()
    assert re.findall(r"\x1b\[\d+m(.*?)\x1b\[0m", shown) == ["ERROR", "WARNING"]
    assert shown.count("\x1b") == 4


def test_other_libraries_stay_silent() -> None:
    """Messages of other loggers, which would show whole URLs, do not come through."""
    stream = io.StringIO()
    logs.set_up(stream, verbosity=9)
    logging.getLogger("urllib3.connectionpool").debug("GET /?key=s3cret")
    assert logging.getLogger("urllib3").isEnabledFor(logging.DEBUG) is False
    assert stream.getvalue() == ""


def test_setting_up_again_replaces_the_former() -> None:
    """After a second setting up each message is logged once, on the new stream."""
    first, second = io.StringIO(), io.StringIO()
    logs.set_up(first)
    logs.set_up(second)
    log.info("once")
    assert (first.getvalue(), second.getvalue()) == ("", "INFO: once\n")


def test_messages_go_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    """The root logger, which others may have set up, gets nothing."""
    logs.set_up(io.StringIO())
    log.error("here alone")
    assert caplog.records == []


def test_closed_stream_disturbs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With standard error closed a message is lost, and nothing else happens."""
    stream = io.StringIO()
    logs.set_up(stream)
    stream.close()
    log.error("lost")
    assert capsys.readouterr().err == ""
