"""A real OpenSSH server for the user who runs the tests, and its client."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from local import free_ports, running, until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""The folder without which Debian's sshd does not start as root."""

needs_ssh = pytest.mark.skipif(
    not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")),
    reason="there is no OpenSSH server or client on this machine",
)

CONFIGURATION = """\
ListenAddress 127.0.0.1:{port}
HostKey {host_key}
AuthorizedKeysFile {user_key}.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
"""


class SshServer:
    """OpenSSH's server on a port of 127.0.0.1, with keys of its own; a context manager to end it.

    It lets in the user who runs the tests, by one key.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host_key, self._user_key = folder / "host_key", folder / "user_key"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        assert SSHD
        for key in (self._host_key, self._user_key):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
            subprocess.run(make, check=True, timeout=60)
        (self.port,) = free_ports(1)
        path = self._folder / "sshd_config"
        keys = {"host_key": self._host_key, "user_key": self._user_key}
        text = CONFIGURATION.format(port=self.port, **keys)
        if _version() >= (9, 8):  # it turns away addresses from which connections come to nothing
            text += "PerSourcePenalties no\n"
        path.write_text(text)
        command = [*_launcher(), SSHD, "-D", "-e", "-f", str(path)]
        self._stack.enter_context(running(command, self._folder / "sshd.log"))
        until(lambda: listens(self.port), "sshd does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def logins(self) -> int:
        """How many have logged in so far."""
        return (self._folder / "sshd.log").read_text().count("Accepted publickey ")

    def options(self, known_as: str) -> list[str]:
        """Return the client's options: who comes, with which key; and whom alone it knows.

        The server's key is known under one name, and any other key is refused.
        """
        known = self._folder / f"known_hosts.{known_as}"
        key = self._host_key.with_suffix(".pub").read_text()
        known.write_text(f"{known_as} {key}")
        options = {
            "User": pwd.getpwuid(os.geteuid()).pw_name,
            "IdentityFile": self._user_key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": "/dev/null",
            "ConnectTimeout": "15",
            "LogLevel": "ERROR",
        }
        return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def _version() -> tuple[int, int]:
    logged = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True, timeout=60)
    version = re.search(r"OpenSSH_(\d+)\.(\d+)", logged.stderr)
    assert version, logged.stderr
    return int(version[1]), int(version[2])


def _launcher() -> list[str]:
    """Return what starts sshd where its folder is missing: with a /run of its own.

    Only root's sshd needs the folder. Skip the test where the machine allows no mount.
    """
    if os.geteuid() or PRIVILEGE_SEPARATION.is_dir():
        return []
    script = f'mount -t tmpfs tmpfs /run && mkdir -m 755 {PRIVILEGE_SEPARATION} && exec "$@"'
    launcher = ["unshare", "-m", "sh", "-c", script, "sh"]
    try:
        tried = subprocess.run([*launcher, "true"], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare on this machine")
    if tried.returncode:
        pytest.skip(f"this machine allows no mount: {tried.stderr.decode().strip()}")
    return launcher


def listens(port: int) -> bool:
    """Return whether something listens on a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
