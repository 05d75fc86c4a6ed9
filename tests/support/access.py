"""A team at Cloudflare, its keys and its tokens; the server of the keys; the service, a process."""

from __future__ import annotations

import functools
import http.client
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from local import until
from support import processes

COMMAND = [sys.executable, "-m", "ctsdns_traefik.access_service"]

TEAM = "myteam.cloudflareaccess.com"
ISSUER = f"https://{TEAM}"
AUDIENCE = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"
USER = "user@example.com"
SUBJECT = "7335d417-61da-459d-899c-0a01c76a2f94"
CLIENT = "e367826f93b8d71185e03fe518aff3b4.access"

Claims = Mapping[str, Any]


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a real RSA key, made once for each name; its name is its identifier, too."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(name: str) -> bytes:
    """Return a key's public half, as everybody can have it."""
    return (
        rsa_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def jwk(name: str, **changes: Any) -> dict[str, Any]:
    """Return a key's public half as Cloudflare lists it."""
    public = RSAAlgorithm.to_jwk(rsa_key(name).public_key(), as_dict=True)
    there = {"kid": name, "kty": "RSA", "alg": "RS256", "use": "sig"}
    return {**there, "e": public["e"], "n": public["n"], **changes}


def key_set(*names: str) -> bytes:
    """Return an answer as Cloudflare gives it: the keys, and certificates that do not count."""
    certificates = [{"kid": name, "cert": "-----BEGIN CERTIFICATE----- ..."} for name in names]
    keys = [jwk(name) for name in names]
    answer = {"keys": keys, "public_cert": certificates[:1], "public_certs": certificates}
    return json.dumps(answer).encode()


def user_claims(now: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return the claims of a user's token, some of them changed, those that are None left out."""
    began = int(time.time() if now is None else now)
    claims = {
        "aud": [AUDIENCE],
        "email": USER,
        "exp": began + 60,
        "iat": began,
        "nbf": began,
        "iss": ISSUER,
        "type": "app",
        "identity_nonce": "6ei69kawdKzMIAPF",
        "sub": SUBJECT,
        "country": "US",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def service_claims(now: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return the claims of a service token's token."""
    without = dict.fromkeys(("email", "nbf", "identity_nonce", "country"))
    there = {**without, "aud": AUDIENCE, "common_name": CLIENT, "sub": ""}
    return user_claims(now, **{**there, **changes})


def sign(claims: Claims, key: str = "one", **header: Any) -> str:
    """Return a token with some claims, signed by a key of the team; None leaves ``kid`` out."""
    return jwt.encode(dict(claims), rsa_key(key), "RS256", headers={"kid": key, **header})


class KeyServer:
    """A server of keys on loopback; what it answers can be changed, and requests are counted."""

    def __init__(self, body: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = body
        self.requests: list[str] = []
        self.released = threading.Event()
        """While this is not set, answers wait."""
        self.released.set()

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.released.wait(30)
                with suppress(OSError):
                    self.send_response(outer.status)
                    for name, value in outer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(outer.body)))
                    self.end_headers()
                    self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the keys are."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_port}/cdn-cgi/access/certs"


class Service:
    """``ctsdns-traefik-access`` as a process; a context manager that ends it."""

    def __init__(self, keys_url: str, log: Path, *arguments: str) -> None:
        self._log = log
        team = ["--team-domain", TEAM, "--keys-url", keys_url]
        self._command = [*COMMAND, *team, "--listen", "127.0.0.1:0", *arguments]

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = processes.start(
                self._command, environment=os.environ, stdout=log, stderr=log
            )
        try:
            until(lambda: "listening on" in self.log or self.process.poll() is not None, "no start")
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+) ", self.log)
            assert found, self.log
        except BaseException:
            self.__exit__()
            raise
        self.port = int(found[1])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return self._log.read_text()

    def until_logged(self, part: str) -> None:
        """Wait until a text has been logged."""
        until(lambda: part in self.log, f"no {part!r} in the log")

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Reply:
        """Send a request to the service itself."""
        return ask(self.port, path, *headers, method=method)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=60)


class Reply:
    """An HTTP answer with its headers."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


def ask(
    port: int, path: str, *headers: tuple[str, str], host: str = "127.0.0.1", method: str = "GET"
) -> Reply:
    """Send a request with headers, some perhaps twice, to a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in (("Host", host), *headers):
            connection.putheader(name, value)
        connection.endheaders()
        return Reply(connection.getresponse())
    finally:
        connection.close()


@contextmanager
def recording_backend() -> Iterator[tuple[int, list[list[tuple[str, str]]]]]:
    """Answer every request; give the port and the headers of each request that came."""
    came: list[list[tuple[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.headers.items())
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"backend")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port, came
        server.shutdown()


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, program: Sequence[str] = COMMAND
) -> subprocess.CompletedProcess[str]:
    """Run the service to an end that it comes to by itself, and return what it reported."""
    done = processes.run(
        [*program, *arguments], environment={**os.environ, **(environment or {})}, timeout=60
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
