"""The domain of an entry: what is read, what is refused, and at which label."""

from __future__ import annotations

import idna
import pytest

from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host
from ctsdns_traefik.core.problems import Diagnostic, Severity

LABEL_63 = "a" * 63
DOMAIN_253 = f"{LABEL_63}.{LABEL_63}.{LABEL_63}.{'b' * 61}"
LABEL_OF_45 = "\u00fc" * 45


def refused(marked: str, message: str, hint: str) -> Diagnostic:
    """Make the problem of an entry whose domain's wrong part stands in ``<>``."""
    entry = f"_web_http_80._tcp{marked}"
    span = entry.index("<"), entry.index(">") - 1
    name = entry.replace("<", "").replace(">", "")
    return Diagnostic("bad-domain", name, message, hint, span, None, Severity.ERROR)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("app.example.com", "app.example.com", id="plain"),
        pytest.param("localhost", "localhost", id="one-label"),
        pytest.param("App.EXAMPLE.com", "app.example.com", id="lower-cased"),
        pytest.param("app.example.com.", "app.example.com", id="trailing-dot-dropped"),
        pytest.param("1.2-3.-4-.com", "1.2-3.-4-.com", id="digits-and-hyphens-anywhere"),
        pytest.param("*.example.com", "*.example.com", id="wildcard"),
        pytest.param("*.com", "*.com", id="wildcard-above-one-label"),
        pytest.param("tcp.example.com", "tcp.example.com", id="label-called-tcp"),
        pytest.param(f"{LABEL_63}.com", f"{LABEL_63}.com", id="label-of-63"),
        pytest.param(DOMAIN_253, DOMAIN_253, id="domain-of-253"),
        pytest.param(f"{DOMAIN_253}.", DOMAIN_253, id="domain-of-253-and-a-trailing-dot"),
        pytest.param("b\u00fccher.example", "xn--bcher-kva.example", id="other-script"),
        pytest.param("B\u00dcCHER.Example", "xn--bcher-kva.example", id="other-script-upper-case"),
        pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="a-label"),
        pytest.param("*.b\u00fccher.de.", "*.xn--bcher-kva.de", id="wildcard-above-other-script"),
    ],
)
def test_domain_is_read(written: str, read: str) -> None:
    """A domain comes out in lower case, as A-labels and without its trailing dot."""
    name = f"_web_http_80._tcp.{written}"
    expected = HostEntry(name, "web", "http", 80, read, "100.64.0.1")
    assert parse_host(name, "100.64.0.1") == expected


@pytest.mark.parametrize(
    ("marked", "message", "hint"),
    [
        *(
            pytest.param(marked, "the domain is missing", "write it after the transport", id=case)
            for marked, case in [("<>", "no-domain"), (".<>", "only-a-dot"), (".<>.", "two-dots")]
        ),
        *(
            pytest.param(
                marked,
                "the domain has an empty label",
                "write exactly one dot between labels, and none before the first",
                id=case,
            )
            for marked, case in [
                (".a.<>.b", "empty-label"),
                (".<>.a.b", "empty-first-label"),
                (".a.b.<>.", "empty-last-label"),
            ]
        ),
        *(
            pytest.param(
                marked,
                "a wildcard must be the whole first label, followed by a domain",
                "write it like *.example.com",
                id=case,
            )
            for marked, case in [
                (".a.<*>.b", "wildcard-in-the-middle"),
                (".*.<*>.b", "two-wildcards"),
                (".<a*>.b", "wildcard-in-a-label"),
                (".<**>.b", "double-wildcard"),
            ]
        ),
        pytest.param(
            f".a.<{LABEL_63}b>.de",
            "a label of the domain is longer than 63 characters",
            "shorten it",
            id="label-of-64",
        ),
        pytest.param(
            f".<{DOMAIN_253}b>",
            "the domain is longer than 253 characters",
            "shorten it",
            id="domain-of-254",
        ),
        pytest.param(
            f".<{'.'.join([LABEL_OF_45] * 5)}>.",
            "the domain is longer than 253 characters as A-labels",
            "shorten it",
            id="domain-of-229-that-grows",
        ),
    ],
)
def test_shape_of_the_domain_is_refused(marked: str, message: str, hint: str) -> None:
    """A domain that is missing, too long, or has a label missing, too long or wild is refused."""
    problem = refused(marked, message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "shown"),
    [
        pytest.param("a.<b_c>.de", "b_c", id="underscore"),
        pytest.param("a.<b c>.de", "b c", id="space"),
        pytest.param("a.<de\n>", "de\\n", id="line-end"),
        pytest.param("<a`) || Host(`b>.de", "a`) || Host(`b", id="backticks"),
        pytest.param('<{{env "HOME"}}>.de', '{{env "HOME"}}', id="template"),
        pytest.param("<a'>.de", "a'", id="quote"),
        pytest.param("a.<de/x>", "de/x", id="slash"),
        pytest.param("a.<de:80>", "de:80", id="colon"),
        pytest.param("<a\x00>.de", "a\\x00", id="nul"),
    ],
)
def test_character_in_the_domain_is_refused(marked: str, shown: str) -> None:
    """Any other ASCII character in a domain is refused, at its label."""
    message, hint = (
        f'"{shown}" is not a label of a domain',
        "use only letters, digits and hyphens between the dots",
    )
    problem = refused(f".{marked}", message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        pytest.param("bu\u0308cher", "bu\u0308cher", id="decomposed"),
        pytest.param("a\u3002de", "a\u3002de", id="ideographic-full-stop"),
        pytest.param("\u202ea", "\\u202ea", id="right-to-left-override"),
        pytest.param("a\u200bb", "a\\u200bb", id="zero-width-space"),
        pytest.param("\U0001f600", "\U0001f600", id="emoji"),
        pytest.param("\uff41", "\uff41", id="full-width-letter"),
        pytest.param("\ud800", "\\ud800", id="lone-surrogate"),
        pytest.param("xn--b\u00fccher", "xn--b\u00fccher", id="a-label-with-an-umlaut"),
        pytest.param("\u00fc" * 60, "\u00fc" * 60, id="longer-than-63-as-a-label"),
    ],
)
def test_label_that_idna_does_not_know_is_refused(label: str, shown: str) -> None:
    """A label that is none in IDNA 2008 is refused, with the reason in that package's words."""
    with pytest.raises(idna.IDNAError) as why:
        idna.alabel(label)
    message = f'"{shown}" is not an internationalised label: {why.value}'
    hint = "write the name as it is registered, or its xn-- form"
    problem = refused(f".app.<{label}>.de", message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize("label", ["\u212a", "a\u212a", "\u212a\u00fchl"])
def test_label_that_only_looks_like_ascii_is_refused(label: str) -> None:
    """The Kelvin sign, a K in lower case, is a letter of no label."""
    message = f'"{label}" is not an internationalised label: it only looks like ASCII'
    hint = "write the name as it is registered, or its xn-- form"
    problem = refused(f".<{label}>.de", message, hint)
    assert parse_host(problem.entry) == (problem,)
