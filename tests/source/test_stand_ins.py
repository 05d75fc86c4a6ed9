"""The stand-ins for Tailscale and Headscale answer as the real ones are documented to."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import stand_in_tailscale
from local import running, until
from stand_in_tailscale import (
    API_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    IDENTITY_ID,
    IDENTITY_TOKEN,
    MACHINE_SCOPES,
    POLICY_SCOPES,
    ApiServer,
    StandInTailscale,
    device,
    error,
)
from support.commands import run
from support.headscale import HEADSCALE_KEY, StandInHeadscale

POLICY = '{\n\t// a comment\n\t"hosts": {"nas": "100.64.0.1",},\n}\n'
ACL = "/api/v2/tailnet/-/acl"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    server: ApiServer,
    path: str = ACL,
    token: str = API_KEY,
    form: Mapping[str, str] | None = None,
    **headers: str,
) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST" if form else "GET", path, urlencode(form or {}), sent)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def token_of(server: ApiServer, scope: str = "") -> str:
    form = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "scope": scope}
    return str(ask(server, "/api/v2/oauth/token", form=form).json()["access_token"])


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    with StandInTailscale(POLICY) as server:
        yield server


def test_tailscale_gives_the_saved_text(tailscale: StandInTailscale, tmp_path: Path) -> None:
    """Any Accept but JSON's gets the text as it was saved, from a variable or a file."""
    reply = ask(tailscale, Accept="application/hujson")
    assert (reply.status, reply.body.decode()) == (200, POLICY)
    assert reply.headers["Content-Type"] == "application/hujson"
    assert reply.headers["ETag"] == f'"{hashlib.sha256(POLICY.encode()).hexdigest()}"'
    assert re.fullmatch(r"REQ-\d+", reply.headers["x-tailscale-request-id"])
    tailscale.policy = tmp_path / "policy.hujson"
    tailscale.policy.write_text("{}")
    assert ask(tailscale, ACL.replace("-", "example.com")).body == b"{}"


def test_tailscale_gives_json_and_details(tailscale: StandInTailscale) -> None:
    """JSON if that is asked for; with ``details`` the text in an object."""
    reply = ask(tailscale, Accept="application/json")
    assert reply.json() == {"hosts": {"nas": "100.64.0.1"}}
    details = ask(tailscale, f"{ACL}?details=1").json()
    assert base64.b64decode(details.pop("acl")).decode() == POLICY
    assert details == {"warnings": None, "errors": None}


def test_tailscale_may_answer_not_modified(tailscale: StandInTailscale) -> None:
    """It takes no notice of If-None-Match unless a test has it do so."""
    etag = ask(tailscale).headers["ETag"]
    assert ask(tailscale, If_None_Match=etag).status == 200
    tailscale.not_modified = True
    assert ask(tailscale, If_None_Match=etag)[::2] == (304, b"")
    assert ask(tailscale, If_None_Match='"other"').status == 200


def test_tailscale_takes_all_credentials(tailscale: StandInTailscale) -> None:
    """An API key, also by Basic; a client's token; a workload identity's."""
    basic = base64.b64encode(f"{API_KEY}:".encode()).decode()
    assert ask(tailscale, token="", Authorization=f"Basic {basic}").status == 200
    assert ask(tailscale, token=token_of(tailscale)).status == 200
    form = {"client_id": IDENTITY_ID, "jwt": IDENTITY_TOKEN}
    granted = ask(tailscale, "/api/v2/oauth/token-exchange", form=form).json()
    assert granted["token_type"] == "Bearer"
    assert granted["expires_in"] == 3600
    assert set(granted["scope"].split()) == POLICY_SCOPES
    assert ask(tailscale, token=granted["access_token"]).status == 200
    assert [request.form for request in tailscale.requests_for("token-exchange")] == [form]


def test_tailscale_refuses_credentials(tailscale: StandInTailscale) -> None:
    """None, a wrong one, a revoked one, one at its end, and a client that it does not know: 401."""
    token = token_of(tailscale)
    tailscale.revoke_tokens()
    tailscale.token_seconds = 0
    for bad in ("", "tskey-api-wrong", token, token_of(tailscale)):
        reply = ask(tailscale, token=bad)
        assert (reply.status, reply.json()) == (401, {"message": "API token invalid"})
    form = {"client_id": CLIENT_ID, "client_secret": "wrong"}
    reply = ask(tailscale, "/api/v2/oauth/token", form=form)
    assert (reply.status, reply.json()["error"]) == (401, "invalid_client")


def test_tailscale_asks_for_scopes(tailscale: StandInTailscale) -> None:
    """The policy needs three scopes, machines one; a scope that is unknown narrows nothing."""
    assert ask(tailscale, token=token_of(tailscale, "policy_file:read")).status == 403
    assert ask(tailscale, token=token_of(tailscale, "nonsense")).status == 200
    machines = token_of(tailscale, " ".join(MACHINE_SCOPES))
    assert ask(tailscale, "/api/v2/tailnet/-/devices", token=machines).status == 200
    assert ask(tailscale, "/api/v2/tailnet/other.example.com/acl").status == 404


def test_tailscale_lists_machines(tailscale: StandInTailscale) -> None:
    """Routes are there only with ``fields=all``."""
    tailscale.devices = [device("nas", "100.64.0.1", enabledRoutes=["10.0.0.0/8"])]
    (nas,) = ask(tailscale, "/api/v2/tailnet/-/devices?fields=all").json()["devices"]
    assert (nas["addresses"], nas["enabledRoutes"]) == (["100.64.0.1"], ["10.0.0.0/8"])
    (nas,) = ask(tailscale, "/api/v2/tailnet/-/devices").json()["devices"]
    assert "enabledRoutes" not in nas


def test_answers_can_be_planned(tailscale: StandInTailscale) -> None:
    """A planned answer comes as often as planned, for the paths that it is planned for."""
    tailscale.answer_next(error(429, "slow down", Retry_After="7"), 2, "/acl")
    token_of(tailscale)
    replies = [ask(tailscale) for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 429, 200]
    assert replies[0].json() == {"message": "slow down"}
    assert replies[0].headers["Retry-After"] == "7"
    assert replies[0].headers["x-tailscale-request-id"]
    assert len(tailscale.requests_for("/acl")) == 3


def test_headscale_answers_by_v1() -> None:
    """The text in an object, plain text for a wrong key, and errors in the gateway's form."""
    with StandInHeadscale(POLICY) as headscale:
        path = "/api/v1/policy"
        assert ask(headscale, path, HEADSCALE_KEY).json() == {
            "policy": POLICY,
            "updatedAt": headscale.updated_at,
        }
        assert ask(headscale, path, "wrong")[::2] == (401, b"Unauthorized")
        assert ask(headscale, ACL, HEADSCALE_KEY).json()["code"] == 5
        headscale.policy = None
        reply = ask(headscale, path, HEADSCALE_KEY)
        assert (reply.status, set(reply.json())) == (500, {"code", "message", "details"})


def test_headscale_answers_by_v2() -> None:
    """HuJSON labelled JSON unless it is asked for, and problem+json for errors."""
    with StandInHeadscale(POLICY, v2=True) as headscale:
        reply = ask(headscale, ACL, HEADSCALE_KEY, Accept="*/*")
        assert (reply.body.decode(), reply.headers["Content-Type"]) == (POLICY, "application/json")
        assert reply.headers["ETag"] == f'"{hashlib.sha256(POLICY.encode()).hexdigest()}"'
        reply = ask(headscale, ACL, HEADSCALE_KEY, Accept="application/hujson")
        assert reply.headers["Content-Type"] == "application/hujson"
        reply = ask(headscale, "/api/v2/tailnet/other/acl", HEADSCALE_KEY)
        assert reply.headers["Content-Type"] == "application/problem+json"
        headscale.policy = None
        assert "hosts" not in ask(headscale, ACL, HEADSCALE_KEY).json()


def test_tailscale_as_a_program(tmp_path: Path) -> None:
    """The variables that it prints make ``tailscale:`` read the file that it serves."""
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {"_web_http_3000._tcp.app.example.com": "100.64.0.1",}}')
    program = [sys.executable, stand_in_tailscale.__file__, str(policy)]
    log = tmp_path / "printed"
    with running(program, log):
        until(lambda: log.read_text().count("\n") == 3, "it prints no variables")
        environment = dict(re.findall(r"^export (\w+)=(.+)$", log.read_text(), re.MULTILINE))
        done = run("render-once", "tailscale:", environment=environment)
    assert "Host(`app.example.com`)" in done.stdout
