"""``ctsdns-traefik validate`` on a terminal: a tree by entrypoint, carets under problems."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest
from support.commands import COMMAND, UNCHECKED
from support.processes import start

HOSTS = {
    "_web_http_3000._tcp.app.example.com": "fd7a:115c:a1e0::1",
    "_tcp_ssh_22._tcp.nas.example.com": "fd7a:115c:a1e0::2",
    "_web_http_80._tcp.*.example.com": "100.64.0.1",
}

TREE = """\
routes by entrypoint
├── tcp
│   └── HostSNI(`nas.example.com`) -> [fd7a:115c:a1e0::2]:22 (TLS ends at Traefik)
└── web
    ├── Host(`app.example.com`) -> http://[fd7a:115c:a1e0::1]:3000
    └── Host(`*.example.com`) -> http://100.64.0.1:80
"""

REFUSED = {
    "_web_http_99999._tcp.a.example.com": "100.64.0.1",
    "_\u65e5\u672c_http_80._tcp.[red]a[/red]": "100.64.0.1",
}

PROBLEMS = """
{path}:6:3
"_web_http_99999._tcp.a.example.com": "100.64.0.1",
           ^^^^^
error bad-port: "99999" is not a port
hint: write a number from 1 to 65535 in plain digits

{path}:7:3
"_\u65e5\u672c_http_80._tcp.[red]a[/red]": "100.64.0.1"
  ^^^^
error bad-entrypoint: "\u65e5\u672c" is not an entrypoint name
hint: write one of Traefik's: letters, digits, - and _, a letter or digit first

{path}:7:3
"_\u65e5\u672c_http_80._tcp.[red]a[/red]": "100.64.0.1"
                    ^^^^^^^^^^^^
error bad-domain: "[red]a[/red]" is not a label of a domain
hint: use only letters, digits and hyphens between the dots
"""


def on_terminal(
    folder: Path, hosts: dict[str, str], columns: int, **environment: str
) -> tuple[int, str]:
    """Run validate on a terminal of some columns; return its exit status and what it shows."""
    source = folder / "policy.json"
    source.write_text(json.dumps({"hosts": hosts}, ensure_ascii=False, indent=1))
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {"TERM": "xterm-256color", **environment}
    process = start(
        [*COMMAND, "validate", str(source)],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        environment={**os.environ, **settings},
    )
    os.close(inner)
    shown = b"".join(iter(lambda: read(terminal), b""))
    os.close(terminal)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def read(terminal: int) -> bytes:
    """Read what a terminal shows next; nothing once its program has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO where others say end of file
        return b""


def plain(text: str) -> str:
    """Take the colours out of a text."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_routes_are_a_tree_by_entrypoint(tmp_path: Path) -> None:
    """Each entrypoint is a branch with its routes, IPv6 addresses in their brackets."""
    code, shown = on_terminal(tmp_path, HOSTS, columns=120)
    assert (code, plain(shown)) == (0, f"{TREE}\n3 routes, 0 errors, 0 warnings{UNCHECKED}\n")


def test_problems_have_carets(tmp_path: Path) -> None:
    """Each problem is shown under the tree with its line and carets, markup as text."""
    code, shown = on_terminal(tmp_path, HOSTS | REFUSED, columns=120)
    problems = PROBLEMS.format(path=tmp_path / "policy.json")
    printed = f"{TREE}{problems}\n3 routes, 3 errors, 0 warnings{UNCHECKED}\n"
    assert (code, plain(shown)) == (1, printed)


@pytest.mark.parametrize("columns", [80, 40])
def test_narrow_terminal_hides_nothing(tmp_path: Path, columns: int) -> None:
    """However narrow the terminal, every word of every route and problem is there."""
    hosts = HOSTS | REFUSED | {f"_web_http_80._tcp.{'long-name.' * 12}com": "fd7a:115c:a1e0::3"}
    _, wide = on_terminal(tmp_path, hosts, columns=300)
    assert f"Host(`{'long-name.' * 12}com`) -> http://[fd7a:115c:a1e0::3]:80\n" in wide
    _, narrow = on_terminal(tmp_path, hosts, columns=columns)
    assert words(narrow) == words(wide)
    carets = PROBLEMS.format(path=tmp_path / "policy.json").splitlines()[2:4]
    assert "\n".join(carets) in plain(narrow)


def words(shown: str) -> str:
    """Return what a terminal shows without its line breaks, spaces, colours and branches."""
    return re.sub(r"[\s│├└─]", "", plain(shown))


def test_dumb_terminal_gets_no_escapes(tmp_path: Path) -> None:
    """A terminal that knows no escapes, TERM=dumb, gets the same words without any."""
    code, shown = on_terminal(tmp_path, HOSTS, columns=120, TERM="dumb")
    assert (code, words(shown)) == (0, words(f"{TREE}3 routes, 0 errors, 0 warnings{UNCHECKED}"))
    assert "\x1b" not in shown
