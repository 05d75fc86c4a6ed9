"""On a terminal a campaign shows the test that runs, and how far it is, in place of dots."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.progress import LINE

_shown = False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Show it if pytest reports to a terminal, in few words."""
    global _shown  # noqa: PLW0603  (pytest gives its hooks nothing to keep it in)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    alone = not session.config.getoption("numprocesses", 0)
    if reporter and alone and session.config.option.verbose < 1:
        file = reporter._tw._file
        if file.isatty():  # a copy, since pytest captures the descriptor itself during a test
            _shown = LINE.show_on(os.fdopen(os.dup(file.fileno()), "w"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Show the test, and erase the line after it, however it ends."""
    number, tests = item.session.items.index(item) + 1, len(item.session.items)
    LINE.begin(f"test {number} of {tests}, {item.name}")
    try:
        return (yield)
    finally:
        LINE.clear()


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no dots into the line; what fails is in the summary."""
    if not _shown:
        return None
    LINE.clear()
    outcome = report.outcome if report.when == "call" or not report.passed else ""
    return outcome, "", ""
