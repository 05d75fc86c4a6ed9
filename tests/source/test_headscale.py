"""Headscale's API as a source: answers, errors in both forms, and usage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_tailscale import Answer, json_answer
from support.headscale import HEADSCALE_KEY, StandInHeadscale
from support.polls import HOSTS, POLICY, failure_of, first_of, headscale_at, source_at

from ctsdns_traefik.errors import Reason, SettingsError
from ctsdns_traefik.source.base import Policy, Untrusted


@pytest.fixture
def headscale() -> Iterator[StandInHeadscale]:
    """Run a stand-in for Headscale."""
    with StandInHeadscale(POLICY) as server:
        yield server


@pytest.mark.parametrize("updated_at", ["2026-11-29T10:00:00Z", None], ids=["database", "file"])
def test_policy_is_read(
    headscale: StandInHeadscale, tmp_path: Path, updated_at: str | None
) -> None:
    """The key is sent, and the hosts are read out of the text in the answer."""
    headscale.updated_at = updated_at
    source = headscale_at(headscale.url, HEADSCALE_KEY, tmp_path)
    received = first_of(source)
    assert str(source) == f"headscale+{headscale.url}"
    assert isinstance(received, Policy)
    assert (received.hosts, received.text) == (HOSTS, (str(source), POLICY.encode(), 0, None))
    (request,) = headscale.requests
    assert (request.method, request.path) == ("GET", "/api/v1/policy")
    assert request.headers["Authorization"] == f"Bearer {HEADSCALE_KEY}"


def test_key_is_read_anew(headscale: StandInHeadscale, tmp_path: Path) -> None:
    """A key that is replaced in its file works with the next poll."""
    source = headscale_at(headscale.url, "old", tmp_path)
    failure = failure_of(source)
    assert (str(failure), failure.reason) == (
        (
            "Headscale answers 401 (Unauthorized): the key is wrong or expired;"
            " 'headscale apikeys create' makes one"
        ),
        Reason.UNAUTHORIZED,
    )
    (tmp_path / "key").write_text(HEADSCALE_KEY)
    assert isinstance(first_of(source), Policy)
    (tmp_path / "key").unlink()
    assert failure_of(source).reason == Reason.BAD_CREDENTIALS


@pytest.mark.parametrize("v2", [False, True], ids=["gateway", "problem"])
def test_errors_in_both_forms(tmp_path: Path, v2: bool) -> None:
    """The message is found in the errors of releases up to 0.29 and from 0.30 on."""
    with StandInHeadscale(None, v2=v2) as headscale:
        failure = failure_of(headscale_at(headscale.url, HEADSCALE_KEY, tmp_path))
    assert (str(failure), failure.reason) == (
        (
            "Headscale answers 500 (loading ACL from database: acl policy not found):"
            " if it has no policy yet, set one"
        ),
        Reason.SERVER_ERROR,
    )


def test_release_without_the_path(headscale: StandInHeadscale, tmp_path: Path) -> None:
    """A page of another program is not repeated; the release that is needed is named."""
    headscale.answer_next(Answer(404, b"<html>no</html>"))
    failure = failure_of(headscale_at(headscale.url, HEADSCALE_KEY, tmp_path))
    assert str(failure) == (
        "Headscale answers 404: it has no /api/v1/policy, which releases before 0.23 lack, or the"
        " URL is wrong"
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(Answer(200, b"<html>"), "this is not Headscale's API", id="page"),
        pytest.param(json_answer({}), "its policy is missing", id="no-policy"),
        pytest.param(json_answer([]), "its policy is missing", id="list"),
        pytest.param(json_answer({"policy": 1}), "its policy is a number", id="no-text"),
        pytest.param(json_answer({"policy": ""}), "it is empty", id="empty"),
        pytest.param(json_answer({"policy": "{\n]"}), "line 2, column 1", id="bad-text"),
    ],
)
def test_answer_that_cannot_be_trusted(
    headscale: StandInHeadscale, tmp_path: Path, answer: Answer, message: str
) -> None:
    """What is no policy is not used; the position counts in the policy's text."""
    headscale.answer_next(answer)
    received = first_of(headscale_at(headscale.url, HEADSCALE_KEY, tmp_path))
    assert isinstance(received, Untrusted)
    assert message in received.error


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("headscale:", "names no server", id="no-server"),
        pytest.param("headscale://h", "names no server", id="no-transport"),
        pytest.param("headscale+https:", "not a URL like", id="no-host"),
        pytest.param("headscale+http://h.example.com", "unencrypted", id="in-the-clear"),
        pytest.param("headscale+https://me:s3cret@h", "has a user, password", id="password"),
        pytest.param("headscale+https://h", "asks for an API key", id="no-key"),
    ],
)
def test_bad_usage(address: str, message: str) -> None:
    """What is missing or would leak is refused before anything is sent."""
    with pytest.raises(SettingsError, match=message) as caught:
        source_at(address)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("headscale+https://h.example.com:8443/base/", "HEADSCALE+HTTP://100.64.0.9:8080"),
        *("headscale+http://h.tail1234.ts.net", "headscale+http://[::1]:8080"),
    ],
)
def test_usable_addresses(address: str) -> None:
    """Any host by TLS; without, this machine and those of a tailnet."""
    assert str(source_at(address, token="k")) == address.lower().rstrip("/")
