"""What keeps the all-in-one image's entry script from starting, and what it says then."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.containers import ENTRYPOINT, PROGRAM, Container

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

NOBODY = "http://127.0.0.1:9/api/config"
"""An endpoint that is down."""


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"TRAEFIK_CONFIG_API_ENDPOINT": ""}, "TRAEFIK_CONFIG_API_ENDPOINT is not set; set it to"),
        ({"HTTP_PORT": "abc"}, "HTTP_PORT=abc is no port; it must be a number from 1 to 65535"),
        ({"HTTPS_PORT": "0"}, "HTTPS_PORT=0 is no port"),
        ({"TCP_PORT": "65536"}, "TCP_PORT=65536 is no port"),
        ({"HTTP_PORT": "8443", "TCP_PORT": "8443"}, "HTTP_PORT and TCP_PORT both use port 8443"),
        ({"TCP_PORT": "8080", "DASHBOARD_ADDRESS": ""}, "TCP_PORT and DASHBOARD_ADDRESS both use"),
        ({"DASHBOARD_ADDRESS": "8080"}, "DASHBOARD_ADDRESS=8080 is no address such as :8080 or"),
        ({"DASHBOARD_ADDRESS": "localhost"}, "DASHBOARD_ADDRESS=localhost is no address"),
        ({"DASHBOARD_ADDRESS": "[::1]:99999"}, "DASHBOARD_ADDRESS=99999 is no port"),
        ({"TRAEFIK_DYNAMIC_CONFIG_FILE": "/etc/routes.json"}, "reads no file that does not end in"),
        ({"TRAEFIK_STATIC_CONFIG_TEMPLATE": "/nowhere"}, "=/nowhere cannot be read: "),
    ],
)
def test_setting_in_error(tmp_path: Path, variables: dict[str, str], complaint: str) -> None:
    """A setting that cannot be used is one clear line and status 2, before anything starts."""
    container = Container(tmp_path, NOBODY, variables)
    done = subprocess.run(
        PROGRAM, env=container.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert " ERROR entrypoint: " in line
    assert complaint in line
    assert not container.dynamic.exists()
    assert not (tmp_path / "run").exists()


def test_watch_refuses_its_settings(tmp_path: Path) -> None:
    """What watch refuses ends the container with 2, without Traefik having started."""
    wrong = {"TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "soon"}
    with Container(tmp_path, NOBODY, wrong) as container:
        assert container.process.wait(timeout=60) == 2
    assert "invalid value for TRAEFIK_CONFIG_RETRY_DELAY_SECONDS" in container.log
    assert "Traefik version" not in container.log


def test_access_file_that_is_missing(tmp_path: Path) -> None:
    """A folder without the access file ends the container with 2, and nothing is served."""
    missing = {"TRAEFIK_ACCESS_FILE": str(tmp_path / "nowhere" / "access.yml")}
    with Container(tmp_path, NOBODY, missing) as container:
        assert container.process.wait(timeout=60) == 2
    assert "nowhere/access.yml: no such file or directory" in container.log
    assert "Traefik version" not in container.log


def test_traefik_that_cannot_start(tmp_path: Path) -> None:
    """Where Traefik cannot start, its port taken for one, the container ends with 1 as it does."""
    container = Container(tmp_path, NOBODY)
    with socket.create_server(("127.0.0.1", container.ports["web"])), container:
        assert container.process.wait(timeout=60) == 1
    assert "address already in use" in container.log
    assert "entrypoint: traefik ended with 1; so does the container" in container.log


def test_arguments_are_another_command(tmp_path: Path) -> None:
    """With arguments it runs the command of that name, needs no settings, and starts nothing."""
    container = Container(tmp_path, "")
    command = [*PROGRAM, "parse-host", "_web_http_0._tcp.app.example.com"]
    done = subprocess.run(
        command, env=container.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "bad-port" in done.stdout + done.stderr
    assert not container.dynamic.exists()


def test_static_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Without a place for the static file it ends with 4 and says what is missing."""
    wrong = {"TRAEFIK_STATIC_CONFIG_FILE": str(tmp_path)}
    with Container(tmp_path, NOBODY, wrong) as container:
        assert container.process.wait(timeout=60) == 4
    assert ": Is a directory; it may need a tmpfs there" in container.log


def test_program_that_is_missing(tmp_path: Path) -> None:
    """Without Traefik the container ends with 127, and watch is stopped."""
    container = Container(tmp_path, NOBODY)
    (tmp_path / "bin" / "traefik").unlink()
    container.environment["PATH"] = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    with container:
        assert container.process.wait(timeout=60) == 127
    assert "cannot start traefik: No such file or directory" in container.log


TOLD = f"""
import sys
sys.path.insert(0, {str(ENTRYPOINT.parent)!r})
sys.dont_write_bytecode = True
import entrypoint
entrypoint.run = lambda settings, environment: print(environment[entrypoint.DYNAMIC_FILE]) or 0
sys.exit(entrypoint.main())
"""


def test_variable_that_is_set_but_empty(tmp_path: Path) -> None:
    """An empty variable is as good as none: watch is reported of the file that Traefik reads."""
    container = Container(tmp_path, NOBODY, {"TRAEFIK_DYNAMIC_CONFIG_FILE": ""})
    done = subprocess.run(
        [sys.executable, "-c", TOLD],
        env=container.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "/etc/traefik/dynamic.yml\n")
    assert '"/etc/traefik/dynamic.yml"' in (tmp_path / "run" / "traefik.yml").read_text()
