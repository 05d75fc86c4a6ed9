"""One entry as people write it: each form is read as the entry it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import run

from ctsdns_traefik.core.entries.notation import WrittenEntry, read_arguments, read_notation

NAME = "_websecure_http_3000._tcp.app.example.com"
ADDRESS = "100.64.0.1"
IPV6 = "fd7a:115c:a1e0::1"
ENTRY = WrittenEntry(NAME, ADDRESS)

SAME = (
    pytest.param(f"{NAME}={ADDRESS}", id="equals-sign"),
    pytest.param(f"{NAME} = {ADDRESS}", id="equals-sign-and-blanks"),
    pytest.param(f"{NAME}={ADDRESS},", id="equals-sign-and-comma"),
    pytest.param(f"{NAME} {ADDRESS}", id="blank"),
    pytest.param(f"  {NAME} \t {ADDRESS} ", id="white-space"),
    pytest.param(f'"{NAME}": "{ADDRESS}",', id="as-in-a-policy"),
    pytest.param(f'\t\t"{NAME}":"{ADDRESS}"', id="without-blank-and-comma"),
    pytest.param(f'"{NAME}" : "{ADDRESS}" , // home: "x", y', id="with-a-comment"),
    pytest.param(f'"{NAME}": "{ADDRESS}",// home', id="with-a-comment-close-by"),
    pytest.param(f'"{NAME}": "{ADDRESS}", /* home */', id="with-a-block-comment"),
    pytest.param(f"'{NAME}': '{ADDRESS}',", id="single-quotes"),
    pytest.param(f"{NAME}: {ADDRESS}", id="as-in-yaml"),
    pytest.param(f'{NAME}: "{ADDRESS}"', id="as-in-yaml-with-quotes"),
    pytest.param(f"{NAME}:{ADDRESS}", id="colon-alone"),
    pytest.param(f'"{NAME}" "{ADDRESS}"', id="quotes-alone"),
    pytest.param(f'"{NAME}"={ADDRESS}', id="quoted-name"),
    pytest.param(f"{NAME} {ADDRESS} // home", id="blank-and-comment"),
    pytest.param(json.dumps(NAME).replace("app", "\\u0061pp") + f': "{ADDRESS}"', id="escape"),
)


@pytest.mark.parametrize("text", SAME)
def test_every_form_is_the_same_entry(text: str) -> None:
    """Quotes, colon, comma, comment and white space around an entry change nothing."""
    assert read_notation(text) == ENTRY


OTHERS = (
    pytest.param(NAME, NAME, None, id="name"),
    pytest.param(f'"{NAME}"', NAME, None, id="quoted-name"),
    pytest.param(f"{NAME}:", NAME, None, id="name-and-colon"),
    pytest.param(f"{NAME},", NAME, None, id="name-and-comma"),
    pytest.param(f"{NAME} // home", NAME, None, id="name-and-comment"),
    pytest.param(f"{NAME}=", NAME, "", id="no-address"),
    pytest.param(f'"{NAME}": "",', NAME, "", id="empty-address"),
    pytest.param(f"{NAME} {IPV6}", NAME, IPV6, id="ipv6"),
    pytest.param(f"{NAME}:{IPV6}", NAME, IPV6, id="ipv6-after-a-colon-alone"),
    pytest.param(f"{NAME}={ADDRESS}:80", NAME, f"{ADDRESS}:80", id="port"),
    pytest.param(f"{NAME}=http://nas/x", NAME, "http://nas/x", id="url-is-no-comment"),
    pytest.param(f"{NAME} http://nas//x", NAME, "http://nas//x", id="url-after-a-blank"),
    pytest.param(f"{NAME} nas", NAME, "nas", id="machine-after-a-blank"),
    pytest.param(f'"{NAME}": null,', NAME, "null", id="null"),
    pytest.param(f"laptop {ADDRESS}", "laptop", ADDRESS, id="alias-and-address"),
    pytest.param("laptop nas", "laptop nas", None, id="two-words"),
    pytest.param("_web_ht\ttp_80._tcp.a", "_web_ht\ttp_80._tcp.a", None, id="tab-in-a-name"),
    pytest.param("_web_http_80._tcp.a:80", "_web_http_80._tcp.a:80", None, id="port-on-a-name"),
    pytest.param(f"{NAME} {ADDRESS} x", f"{NAME} {ADDRESS} x", None, id="three-words"),
    pytest.param(f'"{NAME}: {ADDRESS}', f'"{NAME}: {ADDRESS}', None, id="open-quote"),
    pytest.param(f"{NAME}=a=b", NAME, "a=b", id="second-equals-sign"),
    pytest.param("=", "", "", id="equals-sign-alone"),
    pytest.param("", "", None, id="nothing"),
    pytest.param('"\\x": "1"', "\\x", "1", id="escape-that-is-none"),
)


@pytest.mark.parametrize(("text", "name", "address"), OTHERS)
def test_other_texts(text: str, name: str, address: str | None) -> None:
    """What is in no form is a name or NAME=ADDRESS as it stands, for the grammar to judge."""
    assert read_notation(text) == WrittenEntry(name, address)


@given(st.text("_.\"':=,/ \ta1\\\n"))
def test_any_text_is_read(text: str) -> None:
    """No text crashes, and the parts of an entry are parts of the text or of its escapes."""
    name, address = read_notation(text)
    assert all(part in text or "\\" in text for part in (name, address or ""))


LONG = (
    pytest.param("a" + " " * 20_000 + '"', id="white-space"),
    pytest.param('"' + "\\" * 20_000, id="escapes"),
    pytest.param("a:" * 20_000, id="colons"),
    pytest.param("1." * 20_000 + "!", id="labels"),
    pytest.param(":1" * 20_000 + "x", id="ports"),
)


@pytest.mark.parametrize("text", LONG)
def test_long_text_is_left_as_it_stands(text: str) -> None:
    """A long text in no form is a name as it stands, and reading it comes to an end."""
    assert read_notation(text) == WrittenEntry(text)


ARGUMENTS = (
    pytest.param([NAME, ADDRESS], [ENTRY], id="name-and-address"),
    pytest.param([NAME, f"{ADDRESS},"], [ENTRY], id="with-a-comma"),
    pytest.param([f"{NAME}:", f"{ADDRESS},"], [ENTRY], id="policy-without-its-quotes"),
    pytest.param([f"{NAME}:", "nas,", "//", "my", "nas"], [(NAME, "nas")], id="then-a-comment"),
    pytest.param([NAME, "nas"], [(NAME, None), ("nas", None)], id="name-and-alias"),
    pytest.param([NAME, NAME], [(NAME, None)] * 2, id="two-names"),
    pytest.param([NAME, IPV6, NAME, ADDRESS], [(NAME, IPV6), ENTRY], id="two-entries"),
    pytest.param([NAME, "10.0.0.0/8"], [(NAME, "10.0.0.0/8")], id="network"),
    pytest.param([NAME, "[::1]:80"], [(NAME, "[::1]:80")], id="address-with-a-port"),
    pytest.param([NAME, "http://nas"], [(NAME, "http://nas")], id="url"),
    pytest.param([f"{NAME}={ADDRESS}", IPV6], [ENTRY, (IPV6, None)], id="address-too-many"),
    pytest.param([NAME, f"x={ADDRESS}"], [(NAME, None), ("x", ADDRESS)], id="entry-with-address"),
    pytest.param([NAME, "x=http://nas"], [(NAME, None), ("x", "http://nas")], id="entry-with-url"),
    pytest.param([ADDRESS], [(ADDRESS, None)], id="address-alone"),
    pytest.param([f'"{NAME}": "{ADDRESS}",', "x"], [ENTRY, ("x", None)], id="quoted"),
    pytest.param([], [], id="none"),
)


@pytest.mark.parametrize(("arguments", "written"), ARGUMENTS)
def test_arguments(arguments: list[str], written: list[tuple[str, str | None]]) -> None:
    """An address alone belongs to the name before it; all else is an entry of its own."""
    assert list(read_arguments(arguments)) == written


def backends(*arguments: str, stdin: str = "") -> list[str]:
    """Return the backend of each entry that parse-host explains, all of them routes."""
    done = run("parse-host", "--format=json", *arguments, stdin=stdin.encode())
    assert (done.returncode, done.stderr) == (0, "")
    return [one["backend"] for one in json.loads(done.stdout)]


BACKEND = f"http://{ADDRESS}:3000"


@pytest.mark.parametrize("text", SAME)
def test_command_reads_every_form(text: str) -> None:
    """parse-host reads each form as an argument, and as a line of standard input."""
    lines = f"// web\n{text}\n\n{text}\r\n"
    assert backends(text, "-", stdin=lines) == [BACKEND] * 3


def test_command_joins_no_argument_with_a_line() -> None:
    """An address that follows standard input is an argument alone."""
    done = run("parse-host", "--format=json", "-", ADDRESS, NAME, ADDRESS, stdin=NAME.encode())
    found = [(one["kind"], one["entry"], one.get("address")) for one in json.loads(done.stdout)]
    assert found == [("route", NAME, None), ("alias", ADDRESS, None), ("route", NAME, ADDRESS)]
