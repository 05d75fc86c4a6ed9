"""``ctsdns-traefik parse-host`` puts its carets exactly under the part that is wrong."""

from __future__ import annotations

import pytest
from support.commands import run

MALFORMED = (
    pytest.param("_x", "^^", "bad-name", id="no-transport"),
    pytest.param("_web_http._tcp.a.b", "^^^^^^^^^", "bad-name", id="no-port"),
    pytest.param("__http_80._tcp.a.b", " ^", "bad-entrypoint", id="no-entrypoint"),
    pytest.param("_-w_http_80._tcp.a.b", " ^^", "bad-entrypoint", id="entrypoint"),
    pytest.param("_web__80._tcp.a.b", "     ^", "bad-scheme", id="no-scheme"),
    pytest.param("_web_h!_80._tcp.a.b", "     ^^", "bad-scheme", id="scheme"),
    pytest.param("_web_http_._tcp.a.b", "          ^", "bad-port", id="empty-port"),
    pytest.param("_web_http_99999._tcp.a.b", "          ^^^^^", "bad-port", id="port"),
    pytest.param("_web_http_8o._tcp.a.b=1.2.3.4", "          ^^", "bad-port", id="port-of-two"),
    pytest.param("_web_http_80._tcp.*", "                  ^", "bad-domain", id="http-for-all"),
    pytest.param("_web_http_80._sctp.a.b", "             ^^^^^", "bad-transport", id="transport"),
    pytest.param("_web_http_80._tcp.", "                  ^", "bad-domain", id="no-domain"),
    pytest.param("_web_http_80._tcp.a..b", "                    ^", "bad-domain", id="label"),
    pytest.param("_web_http_80._tcp.a.`b`.c", "                    ^^^", "bad-domain", id="quote"),
    pytest.param("_web_http_80._tcp.a.*.c", "                    ^", "bad-domain", id="wildcard"),
    pytest.param("_web_http_80._tcp.a=", "                    ^", "bad-address", id="no-address"),
    pytest.param(
        "_web_http_80._tcp.a.b=10.0.0.0/8",
        "                      ^^^^^^^^^^",
        "bad-address",
        id="network",
    ),
    pytest.param(
        "_web_http_80._tcp.a.b=c=d",
        "                      ^^^",
        "bad-address",
        id="equals-sign",
    ),
    pytest.param(
        "_\u65e5\u672c_http_80._tcp.a.b", " ^^^^", "bad-entrypoint", id="under-wide-characters"
    ),
    pytest.param(
        "_web_http_80._tcp.\u65e5\u672c.`",
        "                       ^",
        "bad-domain",
        id="wide",
    ),
    pytest.param(
        "_e\u0301e_http_80._tcp.a.b", " ^^", "bad-entrypoint", id="under-a-combining-mark"
    ),
    pytest.param(
        "_web_http_80._tcp.a.b=\u65e5\u672c\u8a9e",
        "                      ^^^^^^",
        "bad-address",
        id="wide-address",
    ),
)


@pytest.mark.parametrize(("entry", "carets", "code"), MALFORMED)
def test_carets_stand_under_what_is_wrong(entry: str, carets: str, code: str) -> None:
    """The entry, carets under the part, its code and message, a hint; and exit code 1."""
    done = run("parse-host", entry)
    shown, marks, message, hint = done.stdout.splitlines()
    assert (done.returncode, shown, marks, done.stderr) == (1, entry, carets, "")
    assert message.startswith(f"error {code}: ")
    assert hint.startswith("hint: ")


ESCAPED = (
    pytest.param(
        "_web_ht\ttp_80._tcp.a", "_web_ht\\ttp_80._tcp.a", "     ^^^^^^", id="under-a-tab"
    ),
    pytest.param(
        "_w\x1b[31m_http_80._tcp.a",
        "_w\\x1b[31m_http_80._tcp.a",
        " ^^^^^^^^^",
        id="escape",
    ),
    pytest.param(
        "_web_http_80._tcp.a\nb.c", "_web_http_80._tcp.a\\nb.c", " " * 18 + "^^^^", id="line-end"
    ),
    pytest.param(
        "_web_http_80._tcp.\u202eb.c",
        "_web_http_80._tcp.\\u202eb.c",
        " " * 18 + "^" * 7,
        id="under-a-mark-that-turns-the-direction",
    ),
    pytest.param(
        "_web_http_80._tcp.a=\r\n1",
        "_web_http_80._tcp.a=\\r\\n1",
        " " * 20 + "^" * 5,
        id="address-with-a-line-end",
    ),
    pytest.param(
        "_web_http_80._tcp.\udcff.a",
        "_web_http_80._tcp.\\udcff.a",
        " " * 18 + "^" * 6,
        id="byte-that-is-no-text",
    ),
)


@pytest.mark.parametrize(("entry", "shown", "carets"), ESCAPED)
def test_carets_stand_under_escapes(entry: str, shown: str, carets: str) -> None:
    """What cannot be seen is shown escaped, and the carets are as long as the escapes."""
    done = run("parse-host", entry)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [shown, carets]
    assert len(done.stdout.splitlines()) == 4


LONG = "x" * 10_000

LONG_ENTRIES = (
    pytest.param(
        f"_web_http_80._tcp.{LONG}.com",
        f"_web_http_80._tcp.{'x' * 800}...",
        " " * 18 + "^" * 400,
        id="long-domain",
    ),
    pytest.param(
        f"_{'x' * 200}_http_0._tcp.a.b",
        f"_{'x' * 200}_http_0._tcp.a.b",
        " " * 207 + "^",
        id="short-part-after-a-long-one",
    ),
    pytest.param(
        f"_web_http_0._tcp.{LONG}",
        f"_web_http_0._tcp.{'x' * 394}...",
        " " * 10 + "^",
        id="short-part-before-a-long-one",
    ),
    pytest.param(
        f"_web_http_80._tcp.a={LONG}",
        f"_web_http_80._tcp.a={'x' * 800}...",
        " " * 20 + "^" * 400,
        id="long-address",
    ),
)


@pytest.mark.parametrize(("entry", "shown", "carets"), LONG_ENTRIES)
def test_long_entry_is_shown_around_what_is_wrong(entry: str, shown: str, carets: str) -> None:
    """Ten thousand characters become an excerpt with the carets in their place."""
    done = run("parse-host", entry)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [shown, carets]
    assert max(map(len, done.stdout.splitlines())) < 900
