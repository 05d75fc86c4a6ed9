"""The service as a process, asked directly and through a real Traefik."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from local import free_ports, until
from support.access import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    SUBJECT,
    TEAM,
    USER,
    KeyServer,
    Reply,
    Service,
    ask,
    key_set,
    public_pem,
    recording_backend,
    run,
    service_claims,
    sign,
    user_claims,
)
from support.paths import ROOT
from support.traefik import Traefik

from ctsdns_traefik.access_service import defaults as settings
from ctsdns_traefik.access_service.keys import KeyCache
from ctsdns_traefik.access_service.main import MEANINGS, access
from ctsdns_traefik.access_service.request import token_of
from ctsdns_traefik.access_service.tokens import Expectations, Refused
from ctsdns_traefik.access_service.wsgi import Application
from ctsdns_traefik.settings import Setting

ASSERTION = "Cf-Access-Jwt-Assertion"
VERIFY = f"/verify?aud={AUDIENCE}"
DOCUMENT = ROOT / "docs" / "access-service.md"


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    """Serve the team's keys."""
    with KeyServer(key_set("one", "two")) as server:
        yield server


@pytest.fixture(scope="module")
def service(keys: KeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run the service, everything in its log."""
    log = tmp_path_factory.mktemp("access") / "log"
    with Service(keys.url, log, "-v") as running:
        yield running


def identity(reply: Reply) -> tuple[int, str | None, str | None]:
    """Return an answer's status, user and subject."""
    return reply.status, reply.headers["X-Auth-User"], reply.headers["X-Auth-Subject"]


REFUSED = (401, None, None)


def test_good_tokens(service: Service) -> None:
    """Users and services get 200 and their names, from the header or the cookie."""
    user, client = (USER, SUBJECT), (CLIENT, CLIENT)
    for claims, name in ((user_claims(), user), (service_claims(), client)):
        token = sign(claims)
        assert identity(service.ask(VERIFY, (ASSERTION, token))) == (200, *name)
        cookie = ("Cookie", f"a=b; CF_Authorization={token}; c=d")
        assert identity(service.ask(VERIFY, cookie)) == (200, *name)
        assert identity(service.ask(VERIFY, (ASSERTION, token), method="POST")) == (200, *name)


def test_answers_reveal_nothing(service: Service) -> None:
    """A refusal has no reason in it, and no answer may be kept by a cache."""
    bad = service.ask(VERIFY, (ASSERTION, sign(user_claims(exp=1))))
    assert (bad.body, bad.headers["WWW-Authenticate"]) == (b"Unauthorized\n", "Bearer")
    good = service.ask(VERIFY, (ASSERTION, sign(user_claims())))
    assert {bad.headers["Cache-Control"], good.headers["Cache-Control"]} == {"no-store"}
    assert (bad.headers["Server"], good.headers["Server"]) == (None, None)


def test_which_token_counts(service: Service) -> None:
    """The header counts before the cookie, for better or worse; several tokens are refused."""
    good, other = sign(user_claims()), sign(user_claims(email="b@example.com"))
    bad = sign(user_claims(exp=1))
    cookie = ("Cookie", f"CF_Authorization={good}")
    assert service.ask(VERIFY, cookie).status == 200
    for header in (bad, "", "garbage", f"{good}x", f"Bearer {good}"):
        assert service.ask(VERIFY, (ASSERTION, header), cookie).status == 401
    bad_cookie = ("Cookie", f"CF_Authorization={bad}")
    assert service.ask(VERIFY, (ASSERTION, good), bad_cookie).status == 200
    for headers in (
        ((ASSERTION, good), (ASSERTION, bad)),
        ((ASSERTION, bad), (ASSERTION, good)),
        ((ASSERTION, good), (ASSERTION.upper(), good)),
        (("Cookie", f"CF_Authorization={good}; CF_Authorization={other}"),),
        (("Cookie", f"CF_Authorization={good}"), ("Cookie", f"CF_Authorization={other}")),
        (("Cookie", f"cf_authorization={good}"),),
        (("Cookie", f"XCF_Authorization={good}"),),
        (("Authorization", f"Bearer {good}"),),
        (("Cf_Access_Jwt_Assertion", good),),
        ((f"X-{ASSERTION}", good),),
        (),
    ):
        assert identity(service.ask(VERIFY, *headers)) == REFUSED


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        pytest.param({"HTTP_COOKIE": "CF_Authorization=a"}, "a", id="cookie"),
        pytest.param({"HTTP_COOKIE": "x=1;CF_Authorization=a ; y"}, "a", id="among-others"),
        pytest.param(
            {"HTTP_COOKIE": "CF_Authorization=a; CF_Authorization=a"}, "a", id="the-same-twice"
        ),
        pytest.param(
            {"HTTP_COOKIE": "CF_Authorization=a; CF_Authorization="},
            Refused("there are several tokens in cookies"),
            id="one-of-them-empty",
        ),
        pytest.param({"HTTP_COOKIE": "CF_Authorization"}, "", id="no-value"),
        pytest.param({}, Refused("there is no token"), id="nothing"),
    ],
)
def test_token_of(environ: dict[str, str], token: str | Refused) -> None:
    """The one token of a request is found, or there is a reason why not."""
    assert token_of(environ) == token


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="nothing"),
        pytest.param("?", id="empty"),
        pytest.param("?aud", id="no-value"),
        pytest.param("?aud=", id="empty-value"),
        pytest.param(f"?aud={AUDIENCE}&aud=", id="one-empty"),
        pytest.param(f"?audience={AUDIENCE}", id="misspelt"),
        pytest.param(f"?aud={AUDIENCE}&x=y", id="more"),
        pytest.param(f"?aud={AUDIENCE}&" + "&".join(["aud=x"] * 200), id="very-many"),
    ],
)
def test_no_audience_is_a_fault(service: Service, query: str) -> None:
    """A forwardAuth address that says not for which application admits no request."""
    reply = service.ask(f"/verify{query}", (ASSERTION, sign(user_claims())))
    assert identity(reply) == (500, None, None)
    service.until_logged("ERROR refused -: the forwardAuth address is wrong: ")


def test_audiences_of_the_address(service: Service) -> None:
    """The token has to be for one of the audiences that the address names."""
    token = (ASSERTION, sign(user_claims(aud=["a", "b"])))
    found = {
        query: service.ask(f"/verify?{query}", token).status
        for query in ("aud=a", "aud=b", "aud=x&aud=b", "aud=x", "aud=A", "aud=x&aud=y", "aud=a%20b")
    }
    assert [query for query, status in found.items() if status == 200] == [
        "aud=a",
        "aud=b",
        "aud=x&aud=b",
    ]
    assert set(found.values()) == {200, 401}


def test_other_paths(service: Service) -> None:
    """Nothing else is served, and a wrong path in the address admits no request."""
    token = (ASSERTION, sign(user_claims()))
    for path in ("/", "/verify/", f"/Verify?aud={AUDIENCE}", "/healthz/"):
        assert service.ask(path, token).status == 404
    assert service.ask("/healthz", method="POST").status == 405
    head = service.ask("/healthz", method="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_log_has_reasons_and_no_secrets(service: Service) -> None:
    """The log says what was refused and why, without tokens, cookies and queries."""
    bad, good = sign(user_claims(email="log@example.com", exp=1)), sign(user_claims())
    where = (("X-Forwarded-Host", "app.example.com"), ("X-Forwarded-Uri", "/a/b?key=hidden"))
    cookie = ("Cookie", f"session=hidden; CF_Authorization={bad}")
    assert service.ask(VERIFY, *where, cookie).status == 401
    service.until_logged("INFO refused app.example.com/a/b: it has expired\n")
    assert service.ask(VERIFY, *where, (ASSERTION, good)).status == 200
    service.until_logged(f"DEBUG passed app.example.com/a/b for {USER}\n")
    odd = (("X-Forwarded-Host", "a\tb\xa0c"), ("X-Forwarded-Uri", "/" + "x" * 1000))
    assert service.ask(VERIFY, *odd).status == 401
    service.until_logged("INFO refused a\\tb\\xa0c/xxx")
    assert "hidden" not in service.log
    assert "log@example.com" not in service.log
    for token in (bad, good):
        assert not any(part in service.log for part in token.split("."))
    assert max(map(len, service.log.splitlines())) < 500


def test_health_and_keys(tmp_path: Path) -> None:
    """Without keys it answers 503 and never 200; with them it does, and keeps them when they go."""
    token = (ASSERTION, sign(user_claims()))
    with KeyServer() as server:
        server.status = 500
        with Service(server.url, tmp_path / "log", "--refresh-pause", "0.2") as service:
            service.until_logged("WARNING the keys cannot be fetched: it answers 500\n")
            assert service.ask("/healthz").status == 503
            assert identity(service.ask(VERIFY, token)) == (503, None, None)
            service.until_logged("WARNING refused -: the team's keys are not available: ")
            server.status = 200
            for server.body in (b"", b"<html>", b'{"keys": []}', b"x" * 300_000):
                enough = len(server.requests) + 2  # one of them may have begun before
                while len(server.requests) < enough:
                    assert service.ask(VERIFY, token).status == 503
            assert service.ask(VERIFY, (ASSERTION, "garbage")).status == 401
            server.body = key_set("one")
            until(lambda: service.ask("/healthz").status == 200, "not healthy")
            assert identity(service.ask(VERIFY, token)) == (200, USER, SUBJECT)
            server.body = key_set("two")
            new = (ASSERTION, sign(user_claims(), "two"))
            until(lambda: service.ask(VERIFY, new).status == 200, "the new key is not found")
            assert service.ask(VERIFY, token).status == 401
            server.status = 500
            forged = (ASSERTION, sign(user_claims(), "forger"))
            until(lambda: service.ask(VERIFY, forged).status == 503, "no failure")
            assert [service.ask(path, new).status for path in (VERIFY, "/healthz")] == [200, 200]


def test_slow_keys_delay_no_other_request(tmp_path: Path) -> None:
    """While one request waits for keys, others are answered, and so is a signal."""
    ended = threading.Event()
    with (
        KeyServer(key_set("one")) as server,
        Service(server.url, tmp_path / "log", "--refresh-pause", "0.05") as service,
    ):
        service.until_logged("fetched the team's keys: 1")
        before = len(server.requests)
        server.released.clear()

        def ask_for_unknown_keys() -> None:
            with contextlib.suppress(OSError):  # the service ends before it answers
                while not ended.is_set():
                    service.ask(VERIFY, (ASSERTION, sign(user_claims(), "forger")))

        asking = threading.Thread(target=ask_for_unknown_keys)
        asking.start()
        until(lambda: len(server.requests) > before, "the keys are not fetched again")
        good = (ASSERTION, sign(user_claims()))
        assert [service.ask(VERIFY, good).status for _ in range(20)] == [200] * 20
        assert service.stop() == 0
        assert "cannot be fetched" not in service.log  # as it would be after some seconds
        ended.set()
        asking.join(60)
    assert not asking.is_alive()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it(keys: KeyServer, tmp_path: Path, signum: signal.Signals, code: int) -> None:
    """SIGTERM and SIGINT end it with their exit codes and a line in the log; Traefik's do not."""
    with Service(keys.url, tmp_path / "log") as service:
        for ignored in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            service.process.send_signal(ignored)
        assert service.ask("/healthz").status == 200
        assert service.stop(signum) == code
        assert service.log.endswith(f" INFO {signum.name}: stopped\n")
    with pytest.raises(OSError, match="refused"):
        ask(service.port, "/healthz")


TEAM_OPTION = ("--team-domain", TEAM)


def test_port_in_use() -> None:
    """An address that another program has ends it with 2 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(*TEAM_OPTION, "--listen", where)
    complaint = f"cannot listen on {where}: address already in use; find the process that has it"
    assert done.returncode == 2
    assert done.stderr.startswith(f"ctsdns-traefik-access: error: {complaint}")


@pytest.mark.parametrize("missing", ["cryptography", "jwt", "waitress"])
def test_without_the_extra(missing: str) -> None:
    """Without the extra's packages one line says what to install; the help needs none of them."""
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from ctsdns_traefik.access_service.main import main; sys.exit(main())"
    )
    program = (sys.executable, "-c", script)
    done = run(*TEAM_OPTION, program=program)
    assert (done.returncode, done.stdout) == (2, "")
    advice = "install ctsdns-traefik with its extra 'access'"
    logged = rf"ctsdns-traefik-access: error: [\w.]+ is missing: {advice}"
    assert re.fullmatch(f"{logged}\n", done.stderr)
    assert run("--help", program=program).returncode == 0


def test_main_command_loads_none_of_it() -> None:
    """The main command and its modules do without the extra's packages."""
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('jwt', 'cryptography', 'waitress')))\n"
        "from ctsdns_traefik.cli import main; sys.exit(main(['parse-host', sys.argv[1]]))"
    )
    entry = "_web_http_80._tcp.a.example.com"
    done = subprocess.run([sys.executable, "-c", script, entry], capture_output=True, check=False)
    assert done.returncode == 0


def test_variables(keys: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowed audiences come from the variable too, and an address may name no others."""
    monkeypatch.setenv(settings.AUDIENCES.variable, f"other {AUDIENCE}")
    monkeypatch.setenv(settings.LEEWAY.variable, "100")
    token = (ASSERTION, sign(user_claims(exp=int(time.time()) - 50)))
    with Service(keys.url, tmp_path / "log") as service:
        assert service.ask("/verify", token).status == 200
        assert service.ask(VERIFY, token).status == 200
        assert service.ask("/verify?aud=other", token).status == 401
        assert service.ask("/verify?aud=third", token).status == 500
        assert service.ask(f"/verify?aud=third&aud={AUDIENCE}", token).status == 500
        assert service.ask(f"/verify?audience={AUDIENCE}", token).status == 500


def test_defect_lets_nothing_pass(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is a 500 without its text, which may hold a token."""

    def broken() -> float:
        raise RuntimeError("a token")

    statuses: list[str] = []

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _: None

    expected = Expectations(ISSUER, frozenset({AUDIENCE}))
    application = Application(KeyCache(dict, pause=1), expected, clock=broken)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/verify", "HTTP_CF_ACCESS_JWT_ASSERTION": "x"}
    application(environ, start_response)
    assert statuses == ["500 Internal Server Error"]
    assert caplog.messages == ["internal error, please report it: RuntimeError"]


class Gate(NamedTuple):
    """A Traefik that asks the service before it hands a request on to a backend."""

    traefik: Traefik
    came: list[list[tuple[str, str]]]

    def get(self, *headers: tuple[str, str], path: str = "/secret?x=y") -> Reply:
        """Send a request for the application to Traefik."""
        port = self.traefik.ports["tcp"]
        return ask(port, path, *headers, host="app.example.com")


def dynamic_configuration(backend: int, auth: str) -> str:
    """Return the dynamic file of the document, for other ports."""
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    text = found[1].replace("http://127.0.0.1:4180/verify?aud=32eafc76...", auth)
    text = text.replace("http://100.64.0.1:3000", f"http://127.0.0.1:{backend}")
    assert auth in text
    return text.replace("- websecure", "- tcp")


@contextlib.contextmanager
def gate(folder: Path, service_port: int) -> Iterator[Gate]:
    """Run Traefik and a backend behind it, with the dynamic file of the document."""
    dynamic = folder / "dynamic.yml"
    with recording_backend() as (backend, came):
        auth = f"http://127.0.0.1:{service_port}/verify?aud={AUDIENCE}"
        dynamic.write_text(dynamic_configuration(backend, auth))
        with Traefik(folder, dynamic) as traefik:
            until(lambda: "app" in traefik.routers(), "no router")
            assert traefik.errors == []
            yield Gate(traefik, came)


@pytest.fixture(scope="module")
def guarded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Run Traefik before the service."""
    with gate(tmp_path_factory.mktemp("gate"), service.port) as running:
        until(lambda: running.get().status == 401, "the route is not served")
        yield running


def test_traefik_passes_good_tokens(guarded: Gate) -> None:
    """A good token passes, and the backend learns who it is, whatever the client says."""
    for token, user, subject in (
        (sign(user_claims()), USER, SUBJECT),
        (sign(service_claims()), CLIENT, CLIENT),
    ):
        guarded.came.clear()
        forged = (("X-Auth-User", "admin"), ("x-auth-user", "root"), ("X-Auth-Subject", "0"))
        reply = guarded.get((ASSERTION, token), *forged)
        assert (reply.status, reply.body) == (200, b"backend")
        (headers,) = guarded.came
        names = [(name.lower(), value) for name, value in headers]
        assert [value for name, value in names if name == "x-auth-user"] == [user]
        assert [value for name, value in names if name == "x-auth-subject"] == [subject]
    cookie = ("Cookie", f"CF_Authorization={sign(user_claims())}")
    assert guarded.get(cookie).status == 200


def unsigned() -> str:
    """Return a token with ``alg: none``."""
    return jwt.encode(user_claims(), "", "none", headers={"kid": "one"})


def signed_with_public_key() -> str:
    """Return a token signed by HS256, the secret of which is the public key."""
    header, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": "one"}, user_claims())
    )
    text = header + b"." + claims
    signature = hmac.digest(public_pem("one"), text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def forged() -> str:
    """Return a token whose claims were changed after it was signed."""
    ours, theirs = sign(user_claims()), sign(user_claims(email="admin@example.com"), "two")
    header, _, signature = ours.split(".")
    return f"{header}.{theirs.split('.')[1]}.{signature}"


def other_kind() -> str:
    """Return a token signed by ES256."""
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(user_claims(), key, "ES256", headers={"kid": "one"})


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "forged": forged,
    "signed by another key of the same name": lambda: sign(user_claims(), "forger", kid="one"),
    "expired": lambda: sign(user_claims(time.time() - 100)),
    "not yet valid": lambda: sign(user_claims(nbf=int(time.time()) + 100)),
    "for another application": lambda: sign(user_claims(aud=["other"])),
    "of another team": lambda: sign(user_claims(iss="https://other.cloudflareaccess.com")),
    "unsigned": unsigned,
    "signed with the public key": signed_with_public_key,
    "of another kind": other_kind,
    "signed by an unknown key": lambda: sign(user_claims(), "forger"),
    "the session's": lambda: sign(user_claims(type="org")),
    "garbage": lambda: "garbage",
    "empty": lambda: "",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_traefik_refuses_bad_tokens(guarded: Gate, name: str, place: str) -> None:
    """Each bad token gets 401 from Traefik, and the backend never is notified of it."""
    token = BAD_TOKENS[name]()
    guarded.came.clear()
    header = (ASSERTION, token) if place == "header" else ("Cookie", f"CF_Authorization={token}")
    reply = guarded.get(header, ("X-Auth-User", "admin"))
    assert (reply.status, reply.body, guarded.came) == (401, b"Unauthorized\n", [])


def test_traefik_refuses_no_token(guarded: Gate, service: Service) -> None:
    """No token, and several, get 401; the log says for what."""
    guarded.came.clear()
    good = sign(user_claims())
    assert guarded.get().status == 401
    assert guarded.get((ASSERTION, good), (ASSERTION, sign(user_claims(exp=1)))).status == 401
    assert guarded.get(("X-Auth-User", "admin")).status == 401
    assert guarded.came == []
    service.until_logged("INFO refused app.example.com/secret: there is no token\n")


def test_traefik_without_the_service(keys: KeyServer, tmp_path: Path) -> None:
    """When the service or its keys are away, Traefik answers 5xx and hands nothing on."""
    token = (ASSERTION, sign(user_claims()))
    (port,) = free_ports(1)
    where = ("--listen", f"127.0.0.1:{port}")
    with KeyServer() as broken:
        broken.status = 500
        with (
            Service(broken.url, tmp_path / "log", *where) as service,
            gate(tmp_path, service.port) as running,
        ):
            until(lambda: running.get(token).status == 503, "no 503")
            service.stop()
            assert running.get(token).status == 500
            assert running.came == []
            with Service(keys.url, tmp_path / "log-2", *where):
                until(lambda: running.get(token).status == 200, "no 200 again")


def options() -> dict[str, str | None]:
    """Return the options of the service with their variables."""
    return {
        parameter.opts[-1]: str(parameter.envvar) if parameter.envvar else None
        for parameter in access.params
        if isinstance(parameter, click.Option)
    }


def test_document_has_every_option() -> None:
    """docs/access-service.md has each option with its variable and its default, and no other."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(--[a-z-]+) [^|]*\| `([A-Z_]+)` \| ([^|]+) \|", text, re.MULTILINE)
    known = {option: variable for option, variable in options().items() if variable}
    assert {option: variable for option, variable, _ in rows} == known
    defaults = {
        each.variable: f"{each.default:g}" if isinstance(each.default, float) else each.default
        for each in vars(settings).values()
        if isinstance(each, Setting)
    }
    assert {variable for _, variable, _ in rows} == defaults.keys()
    for _, variable, default in rows:
        if defaults[variable]:
            assert default.strip("`") == defaults[variable]
    assert set(re.findall(r"`(--[a-z][a-z-]*)", text)) <= {*options(), "--help"}


def test_document_has_every_exit_code() -> None:
    """docs/access-service.md has a row for each exit code, with the meaning that --help gives."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(str(code.value), meaning) for code, meaning in MEANINGS.items()]
