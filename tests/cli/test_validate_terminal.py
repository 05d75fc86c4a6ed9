"""``ctsdns-traefik validate`` on a terminal: a tree by entrypoint, carets under problems."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support.commands import LINELESS, UNCHECKED
from support.terminals import on_terminal, plain

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

NEEDS = "; needs Traefik 3.7.0 or newer"

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


def validate(
    folder: Path, hosts: dict[str, str], columns: int, **environment: str
) -> tuple[int, str]:
    """Run validate on a terminal of some columns; return its exit status and what it shows."""
    source = folder / "policy.json"
    source.write_text(json.dumps({"hosts": hosts}, ensure_ascii=False, indent=1))
    return on_terminal(
        [sys.executable, "-c", LINELESS, "validate", str(source)], columns, **environment
    )


def test_routes_are_a_tree_by_entrypoint(tmp_path: Path) -> None:
    """Each entrypoint is a branch with its routes, IPv6 addresses in their brackets."""
    code, shown = validate(tmp_path, HOSTS, columns=120)
    assert (code, plain(shown)) == (
        0,
        f"{TREE}\n3 routes, 0 errors, 0 warnings{NEEDS}{UNCHECKED}\n",
    )


def test_problems_have_carets(tmp_path: Path) -> None:
    """Each problem is shown under the tree with its line and carets, markup as text."""
    code, shown = validate(tmp_path, HOSTS | REFUSED, columns=120)
    problems = PROBLEMS.format(path=tmp_path / "policy.json")
    printed = f"{TREE}{problems}\n3 routes, 3 errors, 0 warnings{NEEDS}{UNCHECKED}\n"
    assert (code, plain(shown)) == (1, printed)


def test_terminal_without_utf8_gets_ascii(tmp_path: Path) -> None:
    """The guides of the tree are characters that the terminal's encoding has."""
    code, shown = validate(tmp_path, HOSTS, columns=120, PYTHONIOENCODING="ascii")
    assert code == 0
    assert shown.splitlines()[1:5] == [
        "|-- tcp",
        "|   `-- HostSNI(`nas.example.com`) -> [fd7a:115c:a1e0::2]:22 (TLS ends at Traefik)",
        "`-- web",
        "    |-- Host(`app.example.com`) -> http://[fd7a:115c:a1e0::1]:3000",
    ]
