"""``POST /webhook``: Tailscale's signed notice that a policy was saved."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from select import select
from tempfile import NamedTemporaryFile

import pytest
from local import until
from stand_in_tailscale import StandInTailscale, error
from support.entries import hosts
from support.http_traefik import HttpTraefik
from support.hubs import Hub, Reply

from ctsdns_traefik.server.application import Application, Request, Settings
from ctsdns_traefik.server.guard import SecretFile
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.server import MOST_BODIES
from ctsdns_traefik.server.webhook import SIGNATURE, WebhookError, verify

SECRET = "tskey-webhook-abc"


def saved(number: int, kind: str = "policyUpdate") -> bytes:
    """Return the body of a webhook, each number with another one."""
    event = {
        "timestamp": f"2026-11-29T10:00:{number:02}Z",
        "version": 1,
        "type": kind,
        "tailnet": "example.com",
        "message": "Tailnet policy file updated",
        "data": {"newPolicy": '{"hosts": {}}'},
    }
    return json.dumps([event]).encode()


def signature(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """Sign a body as Tailscale does."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"t={stamp},v1={digest.hexdigest()}"


class Stage:
    """A hub that polls every hour, with a token and the secrets of webhooks."""

    def __init__(self, hub: Hub, api: StandInTailscale) -> None:
        self.hub, self.api = hub, api

    def save(self, names: str) -> None:
        """Save a policy."""
        self.api.policy = json.dumps({"hosts": hosts(names)})

    def post(self, body: bytes, header: str | None) -> Reply:
        """Send a webhook."""
        headers = {} if header is None else {SIGNATURE: header}
        return self.hub.get("/webhook", headers, method="POST", body=body)

    def seconds_to_live(self, name: str, traefik: HttpTraefik) -> float:
        """Save a policy with one more entry, send its webhook, and wait for the route."""
        self.save(f"a{name}")
        body = saved(10 + ord(name) % 10)
        began = time.monotonic()
        assert self.post(body, signature(body)).status == 204
        until(lambda: f"router-{name}-example-com" in traefik.names(), "not live")
        return time.monotonic() - began

    def polls(self) -> int:
        """Return how often the policy was asked for."""
        return len(self.api.requests_for("/acl"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run a hub for all tests here."""
    folder = tmp_path_factory.mktemp("webhook")
    (folder / "secret").write_text(f"tskey-webhook-old\n{SECRET}\n")
    arguments = ["--webhook-secret-file", str(folder / "secret"), "--poll-interval", "3600"]
    with (
        StandInTailscale(json.dumps({"hosts": hosts("a")})) as api,
        Hub("tailscale:", folder / "dynamic.yml", *arguments, environment=api.environment) as hub,
    ):
        hub.until_served("router-a-example-com")
        yield Stage(hub, api)


def test_saved_policy_is_a_live_route_within_two_seconds(stage: Stage, tmp_path: Path) -> None:
    """From the webhook to the route in a Traefik that polls each second, whatever the interval."""
    with HttpTraefik(tmp_path, stage.hub.url("/traefik.json"), interval="1s") as traefik:
        until(lambda: "router-a-example-com" in traefik.names(), "not live")
        taken = [9.0]
        while min(taken) >= 2 and len(taken) < 5:  # a busy machine needs more than one try
            taken.append(stage.seconds_to_live("bcdef"[len(taken) - 1], traefik))
        assert min(taken) < 2
    stage.hub.until_logged("INFO Tailscale reports a saved policy: reading it at once")


def test_only_signed_webhooks_cause_a_poll(stage: Stage) -> None:
    """Unsigned, wrongly signed, stale and changed ones are 401 and cost nothing."""
    before, now = stage.polls(), time.time()
    body = saved(2)
    good = signature(body)
    for header, sent in (
        (None, body),
        ("", body),
        ("v1=abc", body),
        (good.replace("v1=", "v2="), body),
        (signature(body, "another"), body),
        (signature(body, at=now - 400), body),
        (signature(body, at=now + 400), body),
        (good, saved(3)),
        (f"t=1,{good}", body),
        (good.replace("t=", "t=0x"), body),
    ):
        reply = stage.post(sent, header)
        assert (reply.status, reply.text[:9]) == (401, "refused: ")
    assert stage.post(b"{}", signature(b"{}")).status == 400
    assert stage.post(b"[" * 100_000, signature(b"[" * 100_000)).status == 400
    assert stage.post(saved(4, "nodeCreated"), signature(saved(4, "nodeCreated"))).status == 204
    assert stage.hub.get("/webhook").status == 405
    assert stage.polls() == before
    stage.hub.until_logged("WARNING a webhook was refused: it is not signed")


def test_one_webhook_is_one_poll(stage: Stage) -> None:
    """A recorded webhook that is sent again causes no poll; the body's policy changes nothing."""
    before, body = stage.polls(), saved(5)
    header = signature(body)
    for _ in range(3):
        assert stage.post(body, header).status == 204
    until(lambda: stage.polls() > before, "no poll")
    other = saved(6)
    assert stage.post(other, signature(other, "tskey-webhook-old")).status == 204
    until(
        lambda: stage.polls() > before + 1, "no poll for a second webhook, signed by the old secret"
    )
    assert stage.polls() == before + 2
    assert "router-a-example-com" in stage.hub.get("/traefik.json").text


def test_changed_header_is_the_same_webhook(stage: Stage) -> None:
    """Parts that nobody signed, their order, and one signature of two make it no other one."""
    before, body = stage.polls(), saved(7)
    stamp, _, digest = signature(body).partition(",")
    old = signature(body, "tskey-webhook-old").partition(",")[2]
    changed = (f"{stamp},{digest},x={number}" for number in range(10))
    for header in (
        f"{stamp},{digest},{old}",
        *changed,
        f"{digest} , {stamp}",
        f"{stamp},v1=0,{digest}",
        f"{stamp},{old}",
    ):
        assert stage.post(body, header).status == 204
    until(lambda: stage.polls() > before, "no poll")
    other = saved(8)
    assert stage.post(other, signature(other)).status == 204
    until(lambda: stage.polls() > before + 1, "no poll for another webhook")
    assert stage.polls() == before + 2


@pytest.mark.parametrize(
    ("status", "log"),
    [
        pytest.param(403, "INFO .*saved policy: reading it at once", id="refused"),
        pytest.param(429, "INFO .*saved policy: the source is read after the pause", id="held"),
    ],
)
def test_webhook_in_a_pause_after_a_failure(tmp_path: Path, status: int, log: str) -> None:
    """It ends a pause of minutes, unless that is for the source; then the log has it once."""
    (tmp_path / "secret").write_text(SECRET)
    arguments = ["--webhook-secret-file", str(tmp_path / "secret"), "--poll-interval", "3600"]
    with StandInTailscale(json.dumps({"hosts": hosts("a")})) as api:
        api.answer_next(error(status, "not now"))
        path = tmp_path / "dynamic.yml"
        with Hub("tailscale:", path, *arguments, environment=api.environment) as hub:
            stage = Stage(hub, api)
            hub.until_logged("retrying in")
            for number in range(3):
                body = saved(number)
                assert stage.post(body, signature(body)).status == 204
            hub.until_logged(log)
            if status == 403:
                hub.until_served("router-a-example-com")
            else:
                assert hub.log.count("saved policy") == 1
                assert (len(api.requests), hub.get("/traefik.json").status) == (1, 503)


def test_refusals_do_not_flood_the_log() -> None:
    """Each reason is reported once an hour, and again once a webhook has come that is signed."""
    now, refused = 1_000_000.0, list[str]()
    with NamedTemporaryFile("w") as file:
        file.write(SECRET)
        file.flush()
        settings = Settings(webhook=SecretFile(Path(file.name), "webhook secret"))
    application = Application(Handover(), settings, refuse=refused.append, clock=lambda: now)

    def post(header: str, body: bytes = b"[]") -> int:
        headers = {"Host": "localhost", SIGNATURE: header}
        request = Request("POST", "/webhook", headers, body)
        return (application.check(request) or application.answer(request)).status

    def flood() -> None:
        for _ in range(10):
            for header in ("", "x", f"t={now:.0f},v1=0", signature(b"[]", at=now - 400)):
                assert post(header) == 401

    flood()
    assert len(refused) == len(set(refused)) == 4
    now += 3601
    flood()
    assert len(refused) == 8
    good = signature(saved(1), at=now)
    for _ in range(3):  # one that is recorded and sent again is no sign that all is well
        assert post(good, saved(1)) == 204
        flood()
    assert len(refused) == 12


def test_oversized_body_is_refused(stage: Stage) -> None:
    """More than Tailscale would send is not read."""
    body = b"x" * (2 * 1024 * 1024 + 1)
    with suppress(ConnectionError):  # it may be closed while this one still sends
        assert stage.post(body, signature(body)).status == 413
    assert stage.hub.get("/healthz").status == 200


def test_slow_bodies_give_way(stage: Stage) -> None:
    """However many bodies trickle in, a webhook is taken at once."""
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: localhost\r\n{SIGNATURE}: t=1,v1=0\r\n"
        "Content-Length: 1000\r\n\r\n"
    )
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", stage.hub.port)))
            for _ in range(2 * MOST_BODIES)
        ]
        for each in slow:
            each.sendall(head.encode())
        until(lambda: len(select(slow, [], [], 0)[0]) == MOST_BODIES, "none has given way")
        body = saved(9, "nodeCreated")
        assert stage.post(body, signature(body)).status == 204


def test_any_of_several_signatures_counts() -> None:
    """While a secret is replaced there are several; parts of unknown kinds are ignored."""
    good = signature(b"x", at=1000).replace("t=1000,", "")
    verify(f"t=1000, v1=00ff,{good},v9=abc", b"x", ["other", SECRET], 1299)
    with pytest.raises(WebhookError, match="more than five minutes"):
        verify(f"t=1000,{good}", b"x", [SECRET], 1301)
