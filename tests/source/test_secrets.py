"""Secrets that a server repeats: no message of a source holds one."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_tailscale import (
    API_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    IDENTITY_ID,
    IDENTITY_TOKEN,
    Answer,
    StandInTailscale,
    error,
    json_answer,
)
from support.endpoints import STREAM, ScriptedEndpoint, answering, saying_nothing, sending
from support.headscale import HEADSCALE_KEY, StandInHeadscale
from support.polls import POLICY, failure_of, first_of, headscale_at, source_at

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SnapshotError, SourceText
from ctsdns_traefik.source.base import OtherEvent, Source, Untrusted, WorkerError
from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.once import list_machines
from ctsdns_traefik.source.secrets import SentSecrets
from ctsdns_traefik.source.url import UrlSource


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in for Tailscale's API."""
    with StandInTailscale(POLICY) as server:
        yield server


def source(tailscale: StandInTailscale, **variables: str) -> Source:
    """Build a source from variables of TAILSCALE."""
    environment = {f"TAILSCALE_{name}": value for name, value in variables.items()}
    return source_at("tailscale:", {**environment, "TAILSCALE_BASE_URL": tailscale.url})


@pytest.mark.parametrize("before", ["the key ", "x" * 280])
def test_tailscale(tailscale: StandInTailscale, before: str) -> None:
    """A key is blanked in a message, the start of it where the message is cut, and in a list's."""
    tailscale.answer_next(error(401, f"{before}{API_KEY} is no good"), 2)
    built = source(tailscale, API_KEY=API_KEY)
    for message in (str(failure_of(built)), list_machines(built, 10).error):
        assert f"{before}***" in message
        assert API_KEY[:8] not in message


@pytest.mark.parametrize(
    ("variables", "secret"),
    [
        ({"OAUTH_CLIENT_ID": CLIENT_ID, "OAUTH_CLIENT_SECRET": CLIENT_SECRET}, CLIENT_SECRET),
        ({"OAUTH_CLIENT_ID": IDENTITY_ID, "IDENTITY_TOKEN": IDENTITY_TOKEN}, IDENTITY_TOKEN),
    ],
)
def test_token_endpoint(
    tailscale: StandInTailscale, variables: dict[str, str], secret: str
) -> None:
    """So are a client's secret, an identity's token, and the access token that they got."""
    fault = {"error": "invalid", "error_description": f"{secret}?"}
    tailscale.answer_next(json_answer(fault, 400))
    built = source(tailscale, **variables)
    assert "(invalid: ***?)" in str(failure_of(built))
    first_of(built)
    access = tailscale.requests[-1].headers["Authorization"].removeprefix("Bearer ")
    tailscale.answer_next(error(403, f"not for {access}"))
    assert "(not for ***)" in str(failure_of(built))


@pytest.mark.parametrize("form", ["text", "json"])
def test_headscale(tmp_path: Path, form: str) -> None:
    """So is the key in plain text, also where that is cut, and in JSON."""
    with StandInHeadscale(POLICY) as headscale:
        answers = {
            "text": Answer(401, f"{'x' * 70} {HEADSCALE_KEY}".encode()),
            "json": headscale.error(401, 16, f"bad {HEADSCALE_KEY}"),
        }
        headscale.answer_next(answers[form])
        message = str(failure_of(headscale_at(headscale.url, HEADSCALE_KEY, tmp_path)))
    assert "***" in message
    assert HEADSCALE_KEY[:5] not in message


def test_url(tmp_path: Path) -> None:
    """So are a token, headers, and a URL's password and query, in an answer and in a stream."""
    secrets = ["tok3n-tok3n", "he4der", "p4ss word", "qu3ry/value"]
    (tmp_path / "token").write_text(secrets[0])
    basic = b64encode(b"me:p4ss word").decode()
    repeated = " ".join([*secrets, basic, "p4ss%20word", "qu3ry%2Fvalue", "HE4DER"])
    events = [
        b"event: error\ndata: " + json.dumps({"error": repeated}).encode() + b"\n\n",
        b"event: x " + repeated.encode() + b"\ndata: 1\n\n",
    ]
    refusal = answering(
        "401 No", json.dumps({"error": repeated}).encode(), Content_Type="application/json"
    )
    stream = sending(STREAM, *events, then=saying_nothing)
    with ScriptedEndpoint(refusal, refusal, stream) as server:
        url = server.url.replace("//", "//me:p4ss%20word@") + "?k=qu3ry%2Fvalue"
        headers = (("X-Key", "he4der"), ("Accept", "text/plain"))
        with_token = source_at(url, token_file=tmp_path / "token", headers=headers)
        shown = [str(failure_of(with_token))]
        built = source_at(url, headers=(*headers, ("X-Token", secrets[0])))
        shown.append(str(failure_of(built)))
        with built.follow(Cancellation(), lambda _: None) as run:
            reported, other = next(run), next(run)
    assert isinstance(reported, WorkerError)
    assert isinstance(other, OtherEvent)
    blanked = [*shown[1:], reported.error, other.name]
    assert [text for text in blanked if "*** *** *** *** *** *** *** ***" not in text] == []
    assert [secret for secret in secrets if secret in shown[0]] == []


class Quoting(UrlSource):
    """A source that quotes what it cannot read."""

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Take only an empty object for a policy."""
        if body == b"{}":
            return {}, SourceText("", body)
        raise SnapshotError(f"no policy: {body.decode()}")


def test_policy_that_cannot_be_trusted() -> None:
    """So is what an error quotes of a policy."""
    with ScriptedEndpoint(answering("200 OK", b"{}"), answering("200 OK", b"tok3n")) as server:
        built = Quoting(endpoint_from(server.url, token="tok3n"), 30)
        first_of(built)
        assert first_of(built) == Untrusted("no policy: ***")


@pytest.mark.parametrize("text", [r"a\/\"b\"", '"a/\\"b\\""', "a%2F%22b%22", 'A/"B"'])
def test_escaped(text: str) -> None:
    """A secret is found as JSON and URLs escape it, too."""
    sent = SentSecrets()
    sent.add_form([("jwt", 'a/"b"')])
    assert "b" not in sent.blank(text).lower()


def test_rest_of_a_message_stays() -> None:
    """Only whole occurrences of a short secret are blanked, nothing of harmless headers."""
    sent = SentSecrets()
    sent.add_header("Accept", "text/plain")
    sent.add_header("X-Key", "main")
    sent.add_query("a=1&b=")
    text = "it answers with text/plain, the main thing remaining: a 1..."
    assert sent.blank(text) == text.replace(" main ", " *** ")


def test_verdict_that_was_tried_as_a_secret_stays() -> None:
    """One who tries the secret "wrong" reads that it is wrong."""
    sent = SentSecrets()
    sent.add_header("Authorization", "Bearer wrong")
    sent.add_form([("client_secret", "expired")])
    text = "the key is wrong or expired; it answers 401 (Bearer wrong)"
    assert sent.blank(text) == "the key is wrong or expired; it answers 401 (***)"
