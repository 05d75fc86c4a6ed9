"""Tokens of Cloudflare Access: who is believed, and why everybody else is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.access import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    SUBJECT,
    USER,
    jwk,
    key_set,
    public_pem,
    rsa_key,
    service_claims,
    sign,
    user_claims,
)

from ctsdns_traefik.access_service.jwks import KeysUnavailable, read_keys
from ctsdns_traefik.access_service.tokens import (
    LONGEST_TOKEN,
    Expectations,
    Identity,
    Refused,
    verify,
)

NOW = 1_800_000_000.0
EXPECTED = Expectations(ISSUER, frozenset({AUDIENCE, "other-aud"}))


def judge(
    token: str, expected: Expectations = EXPECTED, keys: tuple[str, ...] = ("one", "two")
) -> Identity | Refused:
    """Verify a token at the time of these tests with some keys of the team."""
    return verify(token, read_keys(key_set(*keys)).get, expected, NOW)


def user(**changes: Any) -> str:
    """Return a token of a user, its claims changed."""
    return sign(user_claims(NOW, **changes))


def service(**changes: Any) -> str:
    """Return a token of a service, its claims changed."""
    return sign(service_claims(NOW, **changes))


def encode(content: bytes) -> str:
    """Encode a part of a token."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def compact(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x") -> str:
    """Put a token together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(map(encode, parts))


@pytest.mark.parametrize(
    ("token", "identity"),
    [
        pytest.param(user(), Identity(USER, SUBJECT), id="user"),
        pytest.param(service(), Identity(CLIENT, CLIENT), id="service-token"),
        pytest.param(service(sub=None), Identity(CLIENT, CLIENT), id="service-without-subject"),
        pytest.param(service(sub="id"), Identity(CLIENT, "id"), id="service-with-subject"),
        pytest.param(user(common_name=CLIENT), Identity(USER, SUBJECT), id="user-with-common-name"),
        pytest.param(user(aud=AUDIENCE), Identity(USER, SUBJECT), id="audience-as-text"),
        pytest.param(user(aud=["x", AUDIENCE]), Identity(USER, SUBJECT), id="one-of-audiences"),
        pytest.param(user(nbf=None), Identity(USER, SUBJECT), id="no-not-before"),
        pytest.param(user(exp=NOW + 0.5), Identity(USER, SUBJECT), id="about-to-expire"),
        pytest.param(
            sign(user_claims(NOW), "two"), Identity(USER, SUBJECT), id="the-other-key-of-two"
        ),
        pytest.param(
            sign(user_claims(NOW), typ="JWT", cty="x"), Identity(USER, SUBJECT), id="more-headers"
        ),
        pytest.param(user(email="o'neil+a@b.c"), Identity("o'neil+a@b.c", SUBJECT), id="plus"),
    ],
)
def test_believed(token: str, identity: Identity) -> None:
    """A token of the team for the application, now, says who sent it."""
    assert judge(token) == identity


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(user(exp=NOW), "it has expired", id="expires-now"),
        pytest.param(user(exp=NOW - 3600), "it has expired", id="expired"),
        pytest.param(user(nbf=NOW + 1), "it is not valid yet (nbf)", id="not-valid-yet"),
        pytest.param(user(iat=NOW + 1), "it was issued in the future (iat)", id="future"),
        pytest.param(user(exp=None), "it has no time exp", id="no-expiry"),
        pytest.param(user(iat="now"), "it has no time iat", id="issuance-as-text"),
        pytest.param(user(exp=str(NOW + 60)), "it has no time exp", id="expiry-as-text"),
        pytest.param(user(exp=True), "it has no time exp", id="expiry-as-truth"),
        pytest.param(user(exp=float("inf")), "it has no time exp", id="expiry-infinite"),
        pytest.param(user(exp=float("nan")), "it has no time exp", id="expiry-not-a-number"),
        pytest.param(user(nbf="soon"), "it has no time nbf", id="not-before-as-text"),
        pytest.param(user(aud="else"), "it is for another application (aud)", id="audience"),
        pytest.param(user(aud=["else"]), "it is for another application (aud)", id="audiences"),
        pytest.param(user(aud=[]), "it is for another application (aud)", id="no-audiences"),
        pytest.param(user(aud=None), "it is for another application (aud)", id="no-audience"),
        pytest.param(user(aud=[[AUDIENCE]]), "it is for another application (aud)", id="nested"),
        pytest.param(
            user(aud={AUDIENCE: 1}), "it is for another application (aud)", id="audience-map"
        ),
        pytest.param(
            user(aud=AUDIENCE[:-1]), "it is for another application (aud)", id="audience-prefix"
        ),
        pytest.param(
            user(iss="https://evil.cloudflareaccess.com"), "its issuer is another", id="issuer"
        ),
        pytest.param(user(iss=f"{ISSUER}/"), "its issuer is another", id="issuer-with-slash"),
        pytest.param(user(iss=None), "its issuer is another", id="no-issuer"),
        pytest.param(user(type="org"), "it is not an application token (type)", id="session-token"),
        pytest.param(
            user(email=None),
            "it names neither a user (email) nor a service (common_name)",
            id="nobody",
        ),
        pytest.param(
            user(email=""),
            "it names neither a user (email) nor a service (common_name)",
            id="empty",
        ),
        pytest.param(
            user(sub=None),
            "its sub is missing, or cannot be the value of a header",
            id="no-subject",
        ),
        pytest.param(
            user(sub=""), "its sub is missing, or cannot be the value of a header", id="subject"
        ),
        pytest.param(
            service(common_name=""),
            "its common_name is missing, or cannot be the value of a header",
            id="no-common-name",
        ),
        pytest.param(
            service(sub=["x"]),
            "its sub is missing, or cannot be the value of a header",
            id="service-with-list",
        ),
        *(
            pytest.param(
                user(email=email),
                "its email is missing, or cannot be the value of a header",
                id=f"email-{name}",
            )
            for name, email in {
                "with-line-end": "a@b.c\r\nX-Admin: 1",
                "with-trailing-line-end": "a@b.c\n",
                "with-space": "a b@c.d",
                "beyond-ascii": "jörg@example.com",
                "with-nul": "a\0@b.c",
                "too-long": "a" * 513,
                "as-list": ["a@b.c"],
                "as-number": 5,
            }.items()
        ),
    ],
)
def test_claims_refused(token: str, reason: str) -> None:
    """A token that is rightly signed is refused for what it says."""
    assert judge(token) == Refused(reason)


@pytest.mark.parametrize("name", ["iss", "aud", "exp"])
@pytest.mark.parametrize("claims", [user_claims, service_claims])
def test_required_claims(claims: Callable[..., dict[str, Any]], name: str) -> None:
    """None of the claims that every token has may be missing, for a user or a service."""
    assert isinstance(judge(sign(claims(NOW))), Identity)
    assert isinstance(judge(sign(claims(NOW, **{name: None}))), Refused)


@pytest.mark.parametrize("name", ["iat", "nbf", "type"])
@pytest.mark.parametrize("claims", [user_claims, service_claims])
def test_other_claims_need_not_be_there(claims: Callable[..., dict[str, Any]], name: str) -> None:
    """Claims that only narrow down when and what a token is for may be missing."""
    assert isinstance(judge(sign(claims(NOW, **{name: None}))), Identity)


def forged_signature() -> str:
    """Change the claims of a good token, and keep its signature."""
    header, _, signature = user().split(".")
    claims = encode(json.dumps(user_claims(NOW, email="admin@example.com")).encode())
    return f"{header}.{claims}.{signature}"


def hs256(secret: bytes) -> str:
    """Sign with a secret that everybody knows: PyJWT itself would not, so it is done by hand."""
    unsigned = compact({"alg": "HS256", "kid": "one"}, user_claims(NOW)).rpartition(".")[0]
    return f"{unsigned}.{encode(hmac.digest(secret, unsigned.encode(), hashlib.sha256))}"


def es256() -> str:
    """Sign with a key of another kind that claims to be the team's."""
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(user_claims(NOW), key, "ES256", headers={"kid": "one"})


def relabelled(algorithm: str) -> str:
    """Sign with one algorithm and name another."""
    unsigned = compact({"alg": "RS256", "kid": "one"}, user_claims(NOW)).rpartition(".")[0]
    signed = jwt.get_algorithm_by_name(algorithm).sign(unsigned.encode(), rsa_key("one"))
    return f"{unsigned}.{encode(signed)}"


def own_key(**header: Any) -> str:
    """Sign with a key that the token brings itself, under the identifier of the team's."""
    return jwt.encode(
        user_claims(NOW), rsa_key("forger"), "RS256", headers={"kid": "one", **header}
    )


NONE = {"alg": "none", "kid": "one"}
WRONG = "its signature is wrong"
OTHER_ALGORITHM = "it is not signed with RS256"
NO_TOKEN = "it is not a signed token"
STRANGE_KEY = "it is signed with a key that the team does not have"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(forged_signature(), WRONG, id="claims-changed"),
        pytest.param(own_key(), WRONG, id="other-key-same-identifier"),
        pytest.param(own_key(jwk=jwk("forger")), WRONG, id="brings-its-key"),
        pytest.param(own_key(jku="http://127.0.0.1:1/keys"), WRONG, id="says-where-keys-are"),
        pytest.param(own_key(x5u="http://127.0.0.1:1/cert"), WRONG, id="says-where-certificates"),
        pytest.param(own_key(x5c=["MIIB"]), WRONG, id="brings-its-certificate"),
        pytest.param(relabelled("RS512"), WRONG, id="rs512-called-rs256"),
        pytest.param(relabelled("PS256"), WRONG, id="ps256-called-rs256"),
        pytest.param(
            compact({"alg": "RS256", "kid": "one"}, user_claims(NOW)), WRONG, id="no-real-signature"
        ),
        pytest.param(compact(NONE, user_claims(NOW)), OTHER_ALGORITHM, id="none"),
        pytest.param(
            compact({**NONE, "alg": "nOnE"}, user_claims(NOW)),
            OTHER_ALGORITHM,
            id="none-in-disguise",
        ),
        pytest.param(
            compact({**NONE, "alg": ["RS256"]}, user_claims(NOW)), OTHER_ALGORITHM, id="list"
        ),
        pytest.param(compact({"kid": "one"}, user_claims(NOW)), OTHER_ALGORITHM, id="no-algorithm"),
        pytest.param(compact(NONE, user_claims(NOW), b""), NO_TOKEN, id="none-without-signature"),
        pytest.param(hs256(public_pem("one")), OTHER_ALGORITHM, id="hs256-with-public-key"),
        pytest.param(
            hs256(json.dumps(jwk("one")).encode()), OTHER_ALGORITHM, id="hs256-with-public-jwk"
        ),
        pytest.param(hs256(b""), OTHER_ALGORITHM, id="hs256-with-nothing"),
        pytest.param(es256(), OTHER_ALGORITHM, id="es256"),
        pytest.param(
            jwt.encode(user_claims(NOW), rsa_key("one"), "RS512", headers={"kid": "one"}),
            OTHER_ALGORITHM,
            id="rs512",
        ),
        pytest.param(sign(user_claims(NOW), "forger"), STRANGE_KEY, id="unknown-key"),
        pytest.param(sign(user_claims(NOW), kid="../one"), STRANGE_KEY, id="identifier-as-path"),
        pytest.param(sign(user_claims(NOW), kid="ONE"), STRANGE_KEY, id="identifier-in-capitals"),
        pytest.param(sign(user_claims(NOW), kid=""), "it does not name its key", id="empty"),
        pytest.param(
            jwt.encode(user_claims(NOW), rsa_key("one"), "RS256"),
            "it does not name its key",
            id="no-key-identifier",
        ),
        pytest.param(
            compact({"alg": "RS256", "kid": 1}, user_claims(NOW)),
            "its header is malformed",
            id="key-identifier-as-number",
        ),
    ],
)
def test_signatures_refused(token: str, reason: str) -> None:
    """A token that the team has not signed by RS256 is refused, whatever it says of itself."""
    assert judge(token) == Refused(reason)


@pytest.mark.parametrize("critical", [["exp"], ["b64"], [], "exp", None])
def test_critical_headers_refused(critical: object) -> None:
    """A token that demands extensions is refused; a newer PyJWT does so by itself."""
    verdict = judge(sign(user_claims(NOW), crit=critical, exp=1))
    assert verdict in (Refused("its header demands extensions"), Refused("its header is malformed"))


def signed(payload: bytes) -> str:
    """Sign something that is no claims."""
    return jwt.PyJWS().encode(payload, rsa_key("one"), "RS256", {"kid": "one"})


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param("", NO_TOKEN, id="nothing"),
        pytest.param("garbage", NO_TOKEN, id="garbage"),
        pytest.param("a.b", NO_TOKEN, id="two-parts"),
        pytest.param("a.b.c.d", NO_TOKEN, id="four-parts"),
        pytest.param("a.b.c.d.e", NO_TOKEN, id="encrypted"),
        pytest.param(f"{user()}\n", NO_TOKEN, id="line-end"),
        pytest.param(f"{user()}=", NO_TOKEN, id="padding"),
        pytest.param(f"Bearer {user()}", NO_TOKEN, id="bearer"),
        pytest.param('{"payload": "x"}', NO_TOKEN, id="json-form"),
        pytest.param("é.b.c", NO_TOKEN, id="beyond-ascii"),
        pytest.param("aaaaa.bb.cc", "its header is malformed", id="bad-base64"),
        pytest.param(f"{encode(b'nonsense')}.bb.cc", "its header is malformed", id="no-json"),
        pytest.param(f"{encode(b'[]')}.bb.cc", "its header is malformed", id="header-as-list"),
        pytest.param(
            f"{encode(b'[' * 12_000)}.bb.cc"[:LONGEST_TOKEN], "its header is malformed", id="deep"
        ),
        pytest.param(
            "a" * LONGEST_TOKEN + ".b.c", "it is longer than 16384 characters", id="oversized"
        ),
        pytest.param(
            user(pad="x" * LONGEST_TOKEN), "it is longer than 16384 characters", id="long"
        ),
        pytest.param(signed(b"nonsense"), "it is malformed", id="claims-no-json"),
        pytest.param(signed(b"\xff"), "it is malformed", id="claims-no-text"),
        pytest.param(signed(b"[1]"), "it holds no claims", id="claims-as-list"),
    ],
)
def test_garbage_refused(token: str, reason: str) -> None:
    """What is no token is refused without an error."""
    assert judge(token) == Refused(reason)


def test_every_character_counts() -> None:
    """A good token with any one character changed is refused.

    Of the last one a few bits say nothing; an older PyJWT lets them be.
    """
    token = user()
    for at in range(0, len(token) - 1, 7):
        other = "A" if token[at] != "A" else "B"
        assert isinstance(judge(token[:at] + other + token[at + 1 :]), Refused), at


@pytest.mark.parametrize(
    ("changes", "believed"),
    [
        pytest.param({"exp": NOW - 9}, True, id="just-expired"),
        pytest.param({"exp": NOW - 10}, False, id="expired"),
        pytest.param({"nbf": NOW + 10}, True, id="almost-valid"),
        pytest.param({"nbf": NOW + 11}, False, id="not-valid-yet"),
        pytest.param({"iat": NOW + 10}, True, id="issued-just-now"),
        pytest.param({"iat": NOW + 11}, False, id="issued-in-the-future"),
    ],
)
def test_leeway(changes: dict[str, float], believed: bool) -> None:
    """The issuer's clock may differ by the leeway, and no more."""
    expected = Expectations(ISSUER, frozenset({AUDIENCE}), leeway=10)
    assert isinstance(judge(user(**changes), expected), Identity) is believed


def test_no_audience_believes_nothing() -> None:
    """Without an audience to check there is no token to believe."""
    assert isinstance(judge(user(), Expectations(ISSUER, frozenset())), Refused)


def test_key_is_not_asked_for_before_it_must_be() -> None:
    """What cannot be the team's token causes no look for a key, and so no fetch."""

    def find(_: str) -> None:
        raise AssertionError

    for token in ("garbage", es256(), hs256(b"x"), own_key(crit=["x"])):
        assert isinstance(verify(token, find, EXPECTED, NOW), Refused)


@pytest.mark.parametrize("error", [KeysUnavailable("gone")])
def test_errors_of_keys_pass_through(error: Exception) -> None:
    """That keys cannot be had is no verdict on the token."""

    def find(_: str) -> None:
        raise error

    with pytest.raises(KeysUnavailable, match="gone"):
        verify(user(), find, EXPECTED, NOW)


def test_no_reason_repeats_the_token() -> None:
    """A reason holds nothing of the token, such as an address, or what a forger wrote."""
    token = user(email="secret@example.com", aud="secret-aud", iss="secret-iss")
    verdict = judge(token)
    assert isinstance(verdict, Refused)
    assert "secret" not in verdict.reason
