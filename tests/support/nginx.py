"""A real nginx."""

from __future__ import annotations

import os
import shutil
import subprocess
from getpass import getuser
from pathlib import Path
from typing import Self

import pytest
from local import free_ports, until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine")

_CONFIGURATION = """
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    log_format status '$status $sent_http_content_encoding';
    client_body_temp_path {folder}/t1;
    proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4;
    scgi_temp_path {folder}/t5;
    gzip on;
    gzip_types *;
    server {{
        listen 127.0.0.1:{port}{listen};
        access_log {folder}/access.log status;
        {server}
    }}
}}
"""


class Nginx:
    """nginx with compression, as a context manager that ends it.

    It serves the files of a folder, or as a server with other directives does.
    """

    def __init__(self, root: Path, server: str = "", *, listen: str = "") -> None:
        self._folder = root / "nginx"
        self._root = root
        self._server, self._listen = server or f"root {root};", listen
        (self._port,) = free_ports(1)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http{'s' if self._listen else ''}://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        assert NGINX
        self._folder.mkdir()
        self._root.chmod(0o755)
        configuration = self._folder / "nginx.conf"
        text = _CONFIGURATION.format(
            user=getuser(),
            folder=self._folder,
            port=self._port,
            listen=self._listen,
            server=self._server,
        )
        configuration.write_text(text)
        command = [NGINX, "-e", str(self._folder / "error.log"), "-c", str(configuration)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until((self._folder / "nginx.pid").exists, "nginx does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def statuses(self, count: int) -> list[str]:
        """Return the status of each answer, with its encoding if it has one.

        Wait for so many first: nginx logs an answer after the client has it.
        """
        log = self._folder / "access.log"
        until(lambda: len(log.read_text().splitlines()) >= count, "nginx logs no more answers")
        return [line.removesuffix(" -") for line in log.read_text().splitlines()]
