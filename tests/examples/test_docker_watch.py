"""The entry script of the image that has watch alone, run as it stands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support.commands import Watch
from support.containers import EXAMPLE

SCRIPT = ["sh", str(EXAMPLE / "watch.sh")]

NOBODY = "http://127.0.0.1:1/"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables of a container, and a PATH on which the program is found."""
    return {
        **os.environ,
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "TRAEFIK_CONFIG_API_ENDPOINT": NOBODY,
        "TRAEFIK_DYNAMIC_CONFIG_FILE": str(folder / "dynamic.yml"),
        **more,
    }


class Contained(Watch):
    """The image's first process, with its default arguments."""

    def __init__(self, folder: Path, **more: str) -> None:
        super().__init__("", folder / "dynamic.yml", environment=environment(folder, **more))
        self._command = [*SCRIPT, "watch"]


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_check_comes_before_watch(tmp_path: Path, signum: int, status: int) -> None:
    """The log begins with the check; then the process is watch itself, and obeys signals."""
    with Contained(tmp_path) as watch:
        watch.until_logged("retrying in")
        assert watch.log.splitlines()[:2] == [
            f"ok source: {NOBODY} was not asked (--offline)",
            f"ok output: {watch.output} does not exist yet, and can be created",
        ]
        assert watch.content == "{}\n"
        assert watch.stop(signum) == status


def test_failed_check_keeps_nothing_from_starting(tmp_path: Path) -> None:
    """What would not keep watch from starting is in the log, and watch starts."""
    static = tmp_path / "traefik.yml"
    static.write_text("providers: {file: {filename: /elsewhere.yml}}\n")
    with Contained(tmp_path, TRAEFIK_STATIC_CONFIG_FILE=str(static)) as watch:
        watch.until_logged("retrying in")
        assert "failed static configuration: " in watch.log


def test_log_in_json_is_all_json(tmp_path: Path) -> None:
    """With a log in JSON the results of the check are objects in it, and no other lines."""
    with Contained(tmp_path, TRAEFIK_CONFIG_LOG_FORMAT="json") as watch:
        watch.until_logged('"unreachable"')
        assert watch.stop() == 0
    events = [json.loads(line)["event"] for line in watch.log.splitlines()]
    assert events[:2] == ["check", "check"]


def test_settings_in_error_end_it(tmp_path: Path) -> None:
    """What watch cannot start with ends the container with watch's own status and line."""
    missing = str(tmp_path / "none.yml")
    with Contained(tmp_path, TRAEFIK_ACCESS_FILE=missing) as watch:
        assert watch.process.wait(timeout=60) == 2
    assert watch.log.startswith("failed access file: ")
    assert f"ctsdns-traefik: error: cannot read {missing}" in watch.log


def test_other_commands_are_not_checked(tmp_path: Path) -> None:
    """Other arguments are those of the program, whose output and status stand alone."""
    for arguments, status in ((["parse-host", "_web_http_80._tcp.a"], 0), (["watch", "--bad"], 2)):
        done = subprocess.run(
            [*SCRIPT, *arguments],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status
        assert "source" not in done.stdout + done.stderr
