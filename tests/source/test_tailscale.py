"""Tailscale's API as a source: credentials, tokens, answers and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in_tailscale import (
    API_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    IDENTITY_ID,
    IDENTITY_TOKEN,
    POLICY_SCOPES,
    Answer,
    StandInTailscale,
    error,
    json_answer,
)
from support.endpoints import ScriptedEndpoint, answering
from support.polls import HOSTS, POLICY, failure_of, first_of, source_at

from ctsdns_traefik.errors import Reason, SettingsError
from ctsdns_traefik.source.base import Policy, Source, Untrusted
from ctsdns_traefik.source.http_client import Response
from ctsdns_traefik.source.tailscale import OAuthClient, Secret

SCOPE = (
    "the credential needs the scopes policy_file:read, devices:core:read and"
    " devices:posture_attributes:read"
)


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in for Tailscale's API."""
    with StandInTailscale(POLICY) as server:
        yield server


def source(tailscale: StandInTailscale, address: str = "tailscale:", **variables: str) -> Source:
    """Build a source from variables of TAILSCALE; an OAuth client's unless others are given."""
    environment = {f"TAILSCALE_{name}": value for name, value in variables.items()}
    environment = environment or tailscale.environment
    return source_at(address, {**environment, "TAILSCALE_BASE_URL": tailscale.url})


def test_policy_is_read(tailscale: StandInTailscale) -> None:
    """The saved text is asked for with the client's token, and the hosts are read."""
    received = first_of(source(tailscale))
    assert isinstance(received, Policy)
    assert (received.hosts, received.text) == (HOSTS, ("tailscale://-", POLICY.encode(), 0, None))
    token, policy = tailscale.requests
    assert (token.method, token.path) == ("POST", "/api/v2/oauth/token")
    assert token.form == {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert "Authorization" not in token.headers
    assert (policy.method, policy.path, policy.query) == ("GET", "/api/v2/tailnet/-/acl", {})
    assert policy.headers["Accept"] == "application/hujson"
    assert policy.headers["Authorization"].startswith("Bearer tskey-access-")


CREDENTIALS = (
    pytest.param({"API_KEY": API_KEY}, id="api-key"),
    pytest.param({"API_KEY_FILE": API_KEY}, id="api-key-in-a-file"),
    pytest.param(
        {"OAUTH_CLIENT_ID": CLIENT_ID, "OAUTH_CLIENT_SECRET_FILE": CLIENT_SECRET},
        id="secret-in-a-file",
    ),
    pytest.param(
        {"OAUTH_CLIENT_ID_FILE": CLIENT_ID, "OAUTH_CLIENT_SECRET": CLIENT_SECRET},
        id="client-in-a-file",
    ),
    pytest.param({"OAUTH_CLIENT_ID": IDENTITY_ID, "IDENTITY_TOKEN": IDENTITY_TOKEN}, id="identity"),
    pytest.param(
        {"OAUTH_CLIENT_ID": IDENTITY_ID, "IDENTITY_TOKEN_FILE": IDENTITY_TOKEN},
        id="identity-in-a-file",
    ),
)


@pytest.mark.parametrize("variables", CREDENTIALS)
def test_every_credential(
    tailscale: StandInTailscale, tmp_path: Path, variables: dict[str, str]
) -> None:
    """Each kind, from a variable and from a file, which is read anew each time."""
    given, files = dict(variables), []
    for name, value in variables.items():
        if name.endswith("_FILE"):
            files.append((tmp_path / name, value))
            (tmp_path / name).write_text("not-yet\n")
            given[name] = str(tmp_path / name)
    built = source(tailscale, **given)
    if files:
        assert failure_of(built).reason == Reason.UNAUTHORIZED
    for path, value in files:
        path.write_text(f"{value}\n")
    assert isinstance(first_of(built), Policy)


def test_file_that_cannot_be_read(tailscale: StandInTailscale, tmp_path: Path) -> None:
    """The variable and the path are named, and nothing of the content."""
    file = tmp_path / "secret"
    built = source(tailscale, OAUTH_CLIENT_ID="id", OAUTH_CLIENT_SECRET_FILE=str(file))
    variable, name = "TAILSCALE_OAUTH_CLIENT_SECRET_FILE", f"the token file {file}"
    failure = failure_of(built)
    assert str(failure) == f"{variable}: cannot read {name}: no such file or directory"
    assert failure.reason == Reason.BAD_CREDENTIALS
    file.write_text("s3cret word")
    assert str(failure_of(built)).startswith(f"{variable}: cannot use {name}: ")
    assert "s3cret" not in str(failure_of(built))


@pytest.mark.parametrize(
    ("address", "variables", "path"),
    [
        pytest.param("tailscale:", {}, "-", id="own"),
        pytest.param("tailscale://example.com", {}, "example.com", id="named"),
        pytest.param("TAILSCALE:", {"TAILNET": "example.com"}, "example.com", id="variable"),
        pytest.param("tailscale://-/", {"TAILNET": "other.com"}, "-", id="address-first"),
        pytest.param("tailscale://me@gmail.com", {}, "me%40gmail.com", id="mail-address"),
    ],
)
def test_tailnet(
    tailscale: StandInTailscale, address: str, variables: dict[str, str], path: str
) -> None:
    """The address names the tailnet, else the variable, else it is the credential's own."""
    tailscale.answer_next(Answer(200, b"{}"))
    first_of(source(tailscale, address, API_KEY=API_KEY, **variables))
    assert tailscale.requests[0].path == f"/api/v2/tailnet/{path}/acl"


@pytest.mark.parametrize(
    "given",
    [{"token": "s3cret"}, {"token_file": Path("f")}, {"headers": [("X", "s3cret")]}],
    ids=["token", "token-file", "headers"],
)
def test_what_is_set_for_another_endpoint_is_not_sent(given: dict[str, Any]) -> None:
    """A token or headers of a worker would go to Tailscale: refused."""
    with pytest.raises(SettingsError, match="would go to Tailscale") as caught:
        source_at("tailscale:", {"TAILSCALE_API_KEY": API_KEY}, **given)
    assert "s3cret" not in str(caught.value)


REFUSALS = (
    pytest.param(
        401, Reason.UNAUTHORIZED, f": the credential is wrong, expired or revoked; {SCOPE}", 30
    ),
    pytest.param(403, Reason.FORBIDDEN, f": {SCOPE}", 30),
    pytest.param(
        404,
        Reason.NOT_FOUND,
        ": there is no such tailnet for this credential, or it was made just now, which may be"
        f" answered so for a while; {SCOPE}",
        30,
    ),
    pytest.param(429, Reason.RATE_LIMITED, ": it is asked too often", 30),
    pytest.param(504, Reason.SERVER_ERROR, "", 30),
    pytest.param(
        302, Reason.UNEXPECTED_ANSWER, ", a redirect, which is not followed: name the final URL", 0
    ),
)


@pytest.mark.parametrize(("status", "reason", "cause", "delay"), REFUSALS)
def test_refusal(
    tailscale: StandInTailscale, status: int, reason: Reason, cause: str, delay: float
) -> None:
    """One line has the status, Tailscale's message, what to do, and the id of the request."""
    tailscale.answer_next(error(status, "its\nwords"))
    failure = failure_of(source(tailscale, API_KEY=API_KEY))
    words = "" if status == 302 else " (its\\nwords)"
    assert str(failure) == f"Tailscale answers {status}{words}{cause} [REQ-00000001]"
    assert (failure.reason, failure.retry_after) == (reason, delay)


def test_scope_that_is_missing(tailscale: StandInTailscale) -> None:
    """policy_file:read alone is not enough; a new token has what the client got since."""
    tailscale.clients[CLIENT_ID] = CLIENT_SECRET, frozenset({"policy_file:read"})
    built = source(tailscale)
    assert (failure_of(built).reason, SCOPE in str(failure_of(built))) == (Reason.FORBIDDEN, True)
    tailscale.clients[CLIENT_ID] = CLIENT_SECRET, POLICY_SCOPES
    assert isinstance(first_of(built), Policy)


@pytest.mark.parametrize(
    ("answer", "message", "reason"),
    [
        pytest.param(
            json_answer({"error": "invalid_client", "error_description": "unknown"}, 400),
            "no token: Tailscale answers 400 (invalid_client: unknown): the credential is wrong",
            Reason.UNAUTHORIZED,
            id="client",
        ),
        pytest.param(
            error(404, "not found"),
            "no token: Tailscale answers 404 (not found): there is no such tailnet",
            Reason.NOT_FOUND,
            id="made-just-now",
        ),
        pytest.param(
            error(500, "oh"), "no token: Tailscale answers 500 (oh)", Reason.SERVER_ERROR, id="500"
        ),
        pytest.param(
            json_answer({"token_type": "Bearer"}),
            "Tailscale's answer to the request for a token has none",
            Reason.UNEXPECTED_ANSWER,
            id="none",
        ),
        pytest.param(
            json_answer({"access_token": "a\r\nX: y"}),
            "Tailscale's answer to the request for a token has none",
            Reason.UNEXPECTED_ANSWER,
            id="no-token",
        ),
        *(
            pytest.param(
                json_answer({"access_token": token}),
                "Tailscale's answer to the request for a token has none",
                Reason.UNEXPECTED_ANSWER,
                id=f"token-{token}",
            )
            for token in (None, 123, ["x"])
        ),
    ],
)
def test_token_that_is_not_given(
    tailscale: StandInTailscale, answer: Answer, message: str, reason: Reason
) -> None:
    """A refused client is named as such; the policy is not asked for."""
    tailscale.answer_next(answer)
    failure = failure_of(source(tailscale))
    assert str(failure).startswith(message)
    assert (failure.reason, tailscale.requests_for("/acl")) == (reason, [])


def test_token_is_kept_and_made_anew_once_after_a_401(tailscale: StandInTailscale) -> None:
    """Polls share a token; one that is refused is replaced in the same poll, but only once."""
    built = source(tailscale)
    first_of(built)
    first_of(built)
    assert len(tailscale.requests_for("/oauth/token")) == 1
    tailscale.revoke_tokens()
    assert isinstance(first_of(built), Policy)
    assert len(tailscale.requests_for("/oauth/token")) == 2
    tailscale.answer_next(error(401, "API token invalid"), 2, "/acl")
    assert failure_of(built).reason == Reason.UNAUTHORIZED
    assert len(tailscale.requests_for("/oauth/token")) == 3


def test_new_token_that_is_refused_is_not_replaced_at_once(tailscale: StandInTailscale) -> None:
    """A poll makes one token at most, and the next poll another."""
    tailscale.answer_next(error(401, "API token invalid"), float("inf"), "/acl")
    built = source(tailscale)
    for polls in (1, 2):
        assert failure_of(built).reason == Reason.UNAUTHORIZED
        assert len(tailscale.requests_for("/oauth/token")) == polls


def test_token_is_renewed_a_minute_before_its_end() -> None:
    """Its last minute is not used; an answer without a life means an hour."""
    times = [1000.0, 1539.9, 1540.0, 5079.9, 5080.0]
    client = OAuthClient(Secret("id"), Secret("secret"), clock=lambda: times[len(tokens)])
    made: list[str] = []
    tokens: list[str] = []

    def post(path: str, _form: object) -> Any:
        made.append(path)
        life = {"expires_in": 600} if len(made) == 1 else {}
        return Response(200, {}, json_answer({"access_token": f"t{len(made)}", **life}).body)

    while len(tokens) < len(times):
        tokens.append(client.token(post))
    assert tokens == ["t1", "t1", "t2", "t2", "t3"]


@pytest.mark.parametrize("life", ["9" * 400, "1e999", "NaN", "-5", "-Infinity", "true"])
def test_life_that_makes_no_sense(life: str) -> None:
    """The token is used for the usual hour."""
    times = [1000.0, 4539.0, 4540.0]
    client = OAuthClient(Secret("id"), Secret("secret"), clock=lambda: times[len(tokens)])
    tokens: list[str] = []

    def post(_path: str, _form: object) -> Response:
        body = f'{{"access_token": "t{len(tokens)}", "expires_in": {life}}}'
        return Response(200, {}, body.encode())

    while len(tokens) < len(times):
        tokens.append(client.token(post))
    assert tokens == ["t0", "t0", "t2"]


def test_nothing_is_sent_to_another_host(tailscale: StandInTailscale) -> None:
    """A redirect is not followed, by the policy's request or by the token's."""
    with ScriptedEndpoint(answering("200 OK", b"{}")) as other:
        elsewhere = Answer(307, b"", {"Location": other.url})
        for part in ("/acl", "/oauth/token"):
            tailscale.answer_next(elsewhere, part=part)
            failure = failure_of(source(tailscale))
            assert "answers 307, a redirect to 127.0.0.1, which is not followed" in str(failure)
            tailscale.answer_as_usual()
        assert other.requests == []


@pytest.mark.parametrize(
    ("body", "hosts"),
    [
        pytest.param(b"{}", {}, id="no-members"),
        pytest.param(b'{"acls": []}', {}, id="no-hosts"),
        pytest.param(b'{"Hosts": {"a": "::1"}}', {"a": "::1"}, id="as-Tailscale-reads-it"),
    ],
)
def test_policy_of_any_form(tailscale: StandInTailscale, body: bytes, hosts: object) -> None:
    """A policy without hosts has no routes; the label of the answer plays no part."""
    tailscale.answer_next(Answer(200, body, {"Content-Type": "application/json; charset=latin-1"}))
    received = first_of(source(tailscale, API_KEY=API_KEY))
    assert isinstance(received, Policy)
    assert received.hosts == hosts


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"", "line 1, column 1: it is empty", id="empty"),
        pytest.param(b'{"hosts": {\n}', "line 2, column 2", id="cut-off"),
        pytest.param(b'{"message": "ok"}', "none of a policy's sections", id="another-object"),
        pytest.param(b"[]", "not an object", id="list"),
    ],
)
def test_policy_that_cannot_be_trusted(
    tailscale: StandInTailscale, body: bytes, error: str
) -> None:
    """What Tailscale would not have saved is not used, and the position is named."""
    tailscale.answer_next(Answer(200, body))
    received = first_of(source(tailscale, API_KEY=API_KEY))
    assert isinstance(received, Untrusted)
    assert error in received.error


def test_web_page_is_no_policy(tailscale: StandInTailscale) -> None:
    """A captive portal's page with status 200 is named as what it is."""
    tailscale.answer_next(Answer(200, b"\n<html>log in</html>"))
    assert "a web page" in str(failure_of(source(tailscale, API_KEY=API_KEY)))
