"""The team's keys: read, kept, fetched anew in time and not too often; and what may go wrong."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from local import free_ports, until
from support.access import KeyServer, jwk, key_set, rsa_key
from support.certificates import Authority

from ctsdns_traefik.access_service.fetch import LARGEST_ANSWER, fetch_keys
from ctsdns_traefik.access_service.jwks import Keys, KeysUnavailable, read_keys
from ctsdns_traefik.access_service.keys import FRESH, LONGEST_USE, MOST_WAITING, KeyCache
from ctsdns_traefik.access_service.parameters import keys_endpoint
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.source.endpoint import endpoint_from

PAUSE = 10.0
TOO_SLOW = r"^it does not answer within 0\.3 s$"


def ec_jwk() -> dict[str, Any]:
    """Return a key of another kind."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {"kid": "ec", "use": "sig", **ECAlgorithm.to_jwk(public, as_dict=True)}


def listed(*keys: Any) -> bytes:
    """Return a key set of some keys."""
    return json.dumps({"keys": keys}).encode()


def test_keys_are_read() -> None:
    """The keys are those under "keys", by their identifiers."""
    keys = read_keys(key_set("one", "two"))
    numbers = {name: key.public_numbers() for name, key in keys.items()}
    assert numbers == {name: rsa_key(name).public_key().public_numbers() for name in ("one", "two")}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ec_jwk(), id="elliptic"),
        pytest.param({"kty": "oct", "kid": "x", "k": "AAAA"}, id="secret"),
        pytest.param(jwk("two", use="enc"), id="for-encryption"),
        pytest.param(jwk("two", alg="RS512"), id="for-another-algorithm"),
        pytest.param(jwk("two", key_ops=["sign"]), id="for-signing"),
        pytest.param(jwk("two", key_ops="verify"), id="operations-as-text"),
        pytest.param(jwk("two", kid=""), id="no-identifier"),
        pytest.param(jwk("two", kid=5), id="identifier-as-number"),
        pytest.param(jwk("two", n=5), id="modulus-as-number"),
        pytest.param(jwk("two", n="!"), id="modulus-not-base64"),
        pytest.param(jwk("two", e=""), id="no-exponent"),
        pytest.param(jwk("two", e="AA"), id="exponent-zero"),
        pytest.param(jwk("two", n="AQAB"), id="tiny"),
        pytest.param({**jwk("small"), "n": "8" * 170}, id="of-1020-bits"),
        pytest.param("key", id="text"),
        pytest.param(None, id="null"),
    ],
)
def test_other_keys_are_passed_over(other: object) -> None:
    """A key that cannot verify RS256, or is too small, costs the others nothing."""
    assert list(read_keys(listed(other, jwk("one")))) == ["one"]
    with pytest.raises(KeysUnavailable, match="no RSA key"):
        read_keys(listed(other))


def test_first_of_the_same_identifier_counts() -> None:
    """A later key does not replace an earlier one."""
    keys = read_keys(listed(jwk("one"), jwk("two", kid="one")))
    assert keys["one"].public_numbers() == rsa_key("one").public_key().public_numbers()


def test_private_numbers_are_ignored() -> None:
    """A key that is listed with private numbers is used as a public one."""
    assert list(read_keys(listed(jwk("one", d="AQAB", p="AQAB")))) == ["one"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="page"),
        pytest.param(b"\xff\xfe", id="no-text"),
        pytest.param(b"[" * 200_000, id="deep"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="no-keys"),
        pytest.param(b'{"keys": {}}', id="keys-as-map"),
        pytest.param(b'{"keys": []}', id="empty"),
    ],
)
def test_bad_key_sets(text: bytes) -> None:
    """What is no key set, or has no usable key, counts as no answer."""
    with pytest.raises(KeysUnavailable):
        read_keys(text)


class Source:
    """Where a cache has its keys from, and the time; both as a test wants them."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.names = names
        self.fetches = 0
        self.failure: str | None = None
        self.cache = KeyCache(self.fetch, lambda: self.now, pause=PAUSE)

    def fetch(self) -> Keys:
        """Return the keys, or fail."""
        self.fetches += 1
        if self.failure:
            raise KeysUnavailable(self.failure)
        return read_keys(key_set(*self.names))

    def has(self, name: str) -> bool:
        """Return whether the cache finds a key; that it cannot tell is an error."""
        return self.cache.find(name) is not None

    def cannot_tell(self, name: str) -> bool:
        """Return whether the cache cannot return whether there is a key."""
        with suppress(KeysUnavailable):
            self.cache.find(name)
            return False
        return True


def test_keys_are_kept() -> None:
    """While they are fresh, keys are fetched once."""
    source = Source("one", "two")
    assert [source.has("one"), source.has("two"), source.fetches] == [True, True, 1]
    source.now += FRESH - 1
    assert [source.has("one"), source.fetches] == [True, 1]


def test_old_keys_are_fetched_anew() -> None:
    """Keys that are no longer fresh are fetched, and those that are gone are not believed."""
    source = Source("one", "two")
    assert source.has("one")
    source.names = ("two", "three")
    source.now += FRESH
    assert [source.has("one"), source.has("three"), source.fetches] == [False, True, 2]


def test_unknown_key_causes_a_fetch() -> None:
    """A key that the team has since is found at once; the old one stays while it is listed."""
    source = Source("one")
    assert source.has("one")
    source.names = ("one", "two")
    source.now += PAUSE
    assert [source.has("two"), source.has("one"), source.fetches] == [True, True, 2]


def test_unknown_keys_cause_few_fetches() -> None:
    """A thousand forged identifiers cause one fetch in each pause, and are refused."""
    source = Source("one")
    assert source.has("one")
    assert [source.has(f"forged-{number}") for number in range(1000)] == [False] * 1000
    assert source.fetches == 1
    source.now += PAUSE
    assert [source.has(f"forged-{number}") for number in range(1000)] == [False] * 1000
    assert [source.has("one"), source.fetches] == [True, 2]


def test_without_keys_there_is_no_verdict() -> None:
    """Keys that never came are an error, and asked for again after a pause, not before."""
    source = Source("one")
    source.failure = "no route"
    with pytest.raises(KeysUnavailable, match="no route"):
        source.cache.find("one")
    assert [source.cache.are_usable(), source.fetches] == [False, 1]
    source.failure = None
    assert source.cannot_tell("one")
    source.now += PAUSE
    assert [source.has("one"), source.cache.are_usable(), source.fetches] == [True, True, 2]


def test_old_keys_stay_while_they_are_valid() -> None:
    """If fetching fails, known keys are valid for a day; for unknown ones there is no verdict."""
    source = Source("one")
    assert source.has("one")
    source.failure = "no route"
    source.now += FRESH
    assert [source.has("one"), source.cannot_tell("two"), source.fetches] == [True, True, 2]
    source.now += PAUSE
    assert [source.has("one"), source.cache.are_usable(), source.fetches] == [True, True, 3]
    source.now = 1000 + LONGEST_USE - 0.1
    assert source.has("one")
    source.now = 1000 + LONGEST_USE
    assert [source.cannot_tell("one"), source.cache.are_usable()] == [True, False]
    source.failure = None
    source.now += PAUSE
    assert [source.has("one"), source.cache.are_usable()] == [True, True]


def test_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log says that keys cannot be fetched, why, and whether there are others."""
    caplog.set_level(logging.INFO, "ctsdns_traefik")
    source = Source("one")
    for failure, later in (("no route", 0.0), (None, PAUSE), ("no name", FRESH), (None, PAUSE)):
        source.failure = failure
        source.now += later
        source.cache.are_usable()
    assert caplog.messages == [
        "the keys cannot be fetched: no route",
        "fetched the team's keys: 1",
        "the keys cannot be fetched: no name; those from before stay in use",
        "fetched the team's keys: 1",
    ]


@contextmanager
def slow_cache(*, fails: bool = False) -> Iterator[tuple[KeyCache, Source, threading.Event]]:
    """Give a cache whose next fetches wait for an event."""
    source, released = Source("one"), threading.Event()

    def fetch() -> Keys:
        answer = None if fails else read_keys(key_set(*source.names))
        source.fetches += 1
        assert released.wait(60)
        if answer is None:
            raise KeysUnavailable("no route")
        return answer

    try:
        yield KeyCache(fetch, lambda: source.now, pause=PAUSE), source, released
    finally:
        released.set()


def outcome_of(cache: KeyCache, name: str) -> str:
    """Find a key, and say what came of it."""
    try:
        return "found" if cache.find(name) else "unknown"
    except KeysUnavailable as why:
        return str(why)


@pytest.mark.parametrize(("fails", "outcome"), [(False, "found"), (True, "no route")])
def test_many_threads_one_fetch(fails: bool, outcome: str) -> None:
    """Threads that need the same answer wait for one fetch, also for one that fails."""
    with slow_cache(fails=fails) as (cache, source, released), ThreadPoolExecutor(32) as pool:
        found = [pool.submit(outcome_of, cache, "one") for _ in range(MOST_WAITING)]
        until(lambda: source.fetches, "no fetch")
        assert not any(each.done() for each in found)
        released.set()
        outcomes = {each.result(60) for each in found}
    assert (outcomes, source.fetches) == ({outcome}, 1)


def test_few_threads_wait() -> None:
    """While a fetch hangs, forged tokens cannot take every thread: most are refused at once."""
    with slow_cache() as (cache, source, released), ThreadPoolExecutor(32) as pool:
        released.set()
        assert cache.find("one") is not None
        released.clear()
        source.now += PAUSE
        found = [pool.submit(outcome_of, cache, "forged") for _ in range(32)]
        until(lambda: sum(each.done() for each in found) == 32 - MOST_WAITING, "all wait")
        assert pool.submit(outcome_of, cache, "one").result(60) == "found"
        released.set()
        outcomes = Counter(each.result(60) for each in found)
    too_many = "they are being fetched, and too many requests wait"
    assert outcomes == {"unknown": MOST_WAITING, too_many: 32 - MOST_WAITING}
    assert source.fetches == 2


def test_known_keys_do_not_wait() -> None:
    """While one thread fetches anew, the others go on with the keys that they have."""
    with slow_cache() as (cache, source, released), ThreadPoolExecutor(1) as pool:
        released.set()
        assert cache.find("one") is not None
        released.clear()
        source.now += FRESH
        first = pool.submit(cache.find, "one")
        until(lambda: source.fetches == 2, "no second fetch")
        assert all(cache.find("one") is not None for _ in range(100))
        assert not first.done()
        released.set()
        assert first.result(60) is not None
    assert source.fetches == 2


def fetched(url: str, seconds: float = 60.0) -> bytes:
    """Fetch from a URL."""
    return fetch_keys(endpoint_from(url), seconds)


def test_fetch() -> None:
    """One request brings what the server answers."""
    with KeyServer(key_set("one")) as server:
        assert fetched(server.url) == server.body
        assert server.requests == ["/cdn-cgi/access/certs"]


def test_largest_answer() -> None:
    """An answer may have so many bytes, and no more."""
    with KeyServer(b"x" * LARGEST_ANSWER) as server:
        assert len(fetched(server.url)) == LARGEST_ANSWER
        server.body += b"x"
        with pytest.raises(KeysUnavailable, match=r"^its answer is larger than 256 KiB$"):
            fetched(server.url)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """The keys are not looked for elsewhere, and what a redirect brings along is not read."""
    with KeyServer(key_set("one")) as other, KeyServer(b"x" * LARGEST_ANSWER * 4) as server:
        server.status, server.headers = status, {"Location": other.url}
        with pytest.raises(KeysUnavailable, match=rf"^it answers {status}, a redirect"):
            fetched(server.url)
        assert other.requests == []


@pytest.mark.parametrize("status", [204, 206, 404, 500, 503])
def test_other_statuses(status: int) -> None:
    """Keys that come with any status but 200 do not count."""
    with KeyServer(key_set("one")) as server:
        server.status = status
        with pytest.raises(KeysUnavailable, match=rf"^it answers {status}$"):
            fetched(server.url)


def test_certificates_are_checked(authority: Authority) -> None:
    """Over https the server has to prove who it is, to the usual authorities or to those named."""
    with KeyServer(key_set("one"), authority.server_context("127.0.0.1")) as server:
        trusting = keys_endpoint(server.url, "myteam.cloudflareaccess.com", authority.ca_file)
        assert fetch_keys(trusting) == server.body
        with pytest.raises(KeysUnavailable, match=r"^its certificate cannot be trusted"):
            fetched(server.url)
    with KeyServer(key_set("one"), authority.server_context("localhost")) as server:
        trusting = keys_endpoint(server.url, "myteam.cloudflareaccess.com", authority.ca_file)
        with pytest.raises(KeysUnavailable, match=r"^its certificate cannot be trusted"):
            fetch_keys(trusting)


def test_nothing_listens() -> None:
    """A refused connection is a reason."""
    (port,) = free_ports(1)
    with pytest.raises(KeysUnavailable, match=r"^connection refused$"):
        fetched(f"http://127.0.0.1:{port}/")


def test_silence_has_an_end() -> None:
    """A server that does not answer is waited for only so long."""
    with KeyServer() as server:
        server.released.clear()
        with pytest.raises(KeysUnavailable, match=TOO_SLOW):
            fetched(server.url, 0.3)


@contextmanager
def trickle(head: bytes) -> Iterator[str]:
    """Send a head, and then a byte now and then, for ever; give the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(head)
            while not ended.wait(0.05):
                connection.sendall(b"x")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_trickling_head_has_an_end() -> None:
    """A server that sends its head a byte now and then is waited for only so long."""
    head = b"HTTP/1.1 200 OK\r\nX-Long: "
    with trickle(head) as url, pytest.raises(KeysUnavailable, match=TOO_SLOW):
        fetched(url, 0.3)


def test_trickling_body_has_an_end() -> None:
    """A server that sends its body a byte now and then is waited for, and listened to, so long."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with trickle(head) as url, pytest.raises(KeysUnavailable, match=TOO_SLOW):
        fetched(url, 0.3)


def test_body_of_a_redirect_is_not_read() -> None:
    """A redirect whose body never ends is refused at once."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /keys\r\n\r\n"
    with trickle(head) as url, pytest.raises(KeysUnavailable, match=r"^it answers 302, a redirect"):
        fetched(url)


def test_password_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ~/.netrc holds for the server is not sent to it."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nkeys")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert fetched(f"http://127.0.0.1:{listener.getsockname()[1]}/") == b"keys"
        thread.join(60)
    assert b"authorization" not in heads[0].lower()


def refuse(call: Callable[[], object]) -> str:
    """Return why settings cannot be used."""
    with pytest.raises(SettingsError) as caught:
        call()
    return str(caught.value)


def test_keys_endpoint(tmp_path: Path, authority: Authority) -> None:
    """The keys are at the team's domain, or at another https URL, or on this machine."""
    team = "myteam.cloudflareaccess.com"
    there = keys_endpoint(None, team, authority.ca_file)
    assert there.url == "https://myteam.cloudflareaccess.com/cdn-cgi/access/certs"
    assert keys_endpoint("http://127.0.0.1:8/k", team, None).url == "http://127.0.0.1:8/k"
    assert keys_endpoint("http://[::1]:8/k", team, None).url == "http://[::1]:8/k"
    assert keys_endpoint("http://localhost/k", team, None).url == "http://localhost/k"
    for url in ("http://example.com/certs", "http://127.0.0.1.example.com/", "http://10.0.0.1/"):
        reason = refuse(lambda url=url: keys_endpoint(url, team, None))  # type: ignore[misc]
        assert reason == "keys without TLS could be forged: use https for the key server"
    assert "not a URL" in refuse(lambda: keys_endpoint("nonsense", team, None))
    assert "password" in refuse(lambda: keys_endpoint("https://a:b@example.com/", team, None))
    (tmp_path / "empty.pem").write_text("")
    assert "it has none in PEM" in refuse(lambda: keys_endpoint(None, team, tmp_path / "empty.pem"))
    assert "cannot read the certificates" in refuse(
        lambda: keys_endpoint(None, team, tmp_path / "none.pem")
    )
