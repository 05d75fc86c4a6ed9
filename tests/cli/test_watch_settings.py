"""How ``ctsdns-traefik watch`` is set up, and what it says about settings that it cannot use."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from local import free_ports
from support.certificates import Authority
from support.commands import BareWatch, Watch
from support.endpoints import (
    STREAM,
    ScriptedEndpoint,
    answering,
    event,
    resetting,
    saying_nothing,
    sending,
    snapshot,
    unanswering,
)
from support.entries import hosts, streaming

URL = "http://worker.invalid/api/config"


def delays_in(log: str) -> list[float]:
    """Return the seconds of every wait that was logged."""
    return [float(seconds) for seconds in re.findall(r"retrying in ([\d.]+) s", log)]


def test_everything_can_be_set_in_the_environment(path: Path) -> None:
    """A container with nothing but variables connects, with its headers, and keeps its file."""
    script = sending(STREAM, snapshot(hosts("a")), then=saying_nothing)
    with ScriptedEndpoint(script) as server:
        environment = {
            "TRAEFIK_CONFIG_API_ENDPOINT": server.url,
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path),
            "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "0.5",
            "TRAEFIK_CONFIG_READ_TIMEOUT_SECONDS": "0.75",
            "TRAEFIK_CONFIG_API_HEADERS": "X-One: first: 1\n\n  X-Two: second  \n",
            "TRAEFIK_CONFIG_API_TOKEN": "abc",
        }
        with BareWatch(path, environment) as watch:
            watch.until_content("router-a-example-com")
            watch.until_logged("retrying in")
            assert "silent for the read timeout of 0.75 s; retrying in 0." in watch.log
            assert 0.5 <= delays_in(watch.log)[0] <= 0.6
        lines = server.requests[0].decode().split("\r\n")
    assert {"X-One: first: 1", "X-Two: second", "Authorization: Bearer abc"} <= set(lines)


def test_token_file_can_be_set_in_the_environment(path: Path, tmp_path: Path) -> None:
    """A token file is read at each connection, and outranks a token."""
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    script = sending(STREAM, snapshot(hosts("a")))
    with ScriptedEndpoint(script) as server:
        environment = {
            "TRAEFIK_CONFIG_API_ENDPOINT": server.url,
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path),
            "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "0.05",
            "TRAEFIK_CONFIG_API_TOKEN": "other",
            "TRAEFIK_CONFIG_API_TOKEN_FILE": str(token_file),
        }
        with BareWatch(path, environment) as watch:
            watch.until(lambda: server.requests, "no request")
            token_file.write_text("second\n")
            watch.until(
                lambda: b"\r\nAuthorization: Bearer second\r\n" in server.requests[-1],
                "no new token",
            )
    assert b"\r\nAuthorization: Bearer first\r\n" in server.requests[0]


def test_empty_variables_are_not_set(path: Path) -> None:
    """Variables that a container sets to nothing mean the defaults."""
    with ScriptedEndpoint(streaming("a")) as server:
        environment = {
            "TRAEFIK_CONFIG_API_ENDPOINT": server.url,
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path),
            "TRAEFIK_DYNAMIC_CONFIG_FORMAT": "",
            "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "",
            "TRAEFIK_CONFIG_READ_TIMEOUT_SECONDS": "",
            "TRAEFIK_CONFIG_API_HEADERS": "",
            "TRAEFIK_CONFIG_API_TOKEN": "",
            "TRAEFIK_CONFIG_API_TOKEN_FILE": "",
            "TRAEFIK_CONFIG_API_CA_FILE": "",
            "TRAEFIK_CONFIG_API_CLIENT_CERT": "",
            "TRAEFIK_CONFIG_API_CLIENT_KEY": "",
            "TRAEFIK_ACCESS_FILE": "",
            "TRAEFIK_CONFIG_REMOVAL_GUARD": "",
        }
        with BareWatch(path, environment) as watch:
            watch.until_content("router-a-example-com")
        assert b"Authorization" not in server.requests[0]


def test_option_outranks_variable(path: Path) -> None:
    """What the command line says counts, whatever the environment says."""
    environment = {"TRAEFIK_CONFIG_API_ENDPOINT": URL, "TRAEFIK_DYNAMIC_CONFIG_FILE": "/nowhere"}
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, environment=environment) as watch,
    ):
        watch.until_content("router-a-example-com")


def test_wishes_of_the_server_raise_the_delay(path: Path) -> None:
    """Retry-After and retry: lengthen the wait, for five minutes at most, until data comes."""
    with (
        ScriptedEndpoint(
            answering("429 Too Many Requests", Retry_After="20"),
            answering("404 Not Found"),
            sending(STREAM, b"retry: 40000\n\n"),
            answering("503 Service Unavailable", Retry_After="100000"),
            sending(STREAM, snapshot(hosts("a"))),
            sending(STREAM, b"retry: 60000\n", snapshot(hosts("ab"))),
            sending(STREAM, b"retry: 1\n", snapshot(hosts("a"))),
        ) as server,
        Watch(server.url, path, "--retry-delay", "10") as watch,
    ):
        for times in range(1, 8):
            watch.until_logged("retrying in", times)
            watch.process.send_signal(signal.SIGHUP)
        delays = delays_in(watch.log)
    least = [20, 20, 40, 300, 10, 60, 10]
    within = [low <= delay <= 1.2 * low for low, delay in zip(least, delays, strict=False)]
    assert within == [True] * 7, delays


@pytest.mark.parametrize("others", [[], ["--endpoint"]], ids=["alone", "with-the-same-option"])
def test_endpoint_can_be_an_argument(path: Path, others: list[str]) -> None:
    """The URL as an argument is followed as render-once reads it, before that of the variable."""
    with ScriptedEndpoint(streaming("a")) as server:
        environment = {
            "TRAEFIK_CONFIG_API_ENDPOINT": URL,
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path),
        }
        options = [word for other in others for word in (other, server.url)]
        with BareWatch(path, environment, server.url, *options) as watch:
            watch.until_content("router-a-example-com")


def test_no_delay_is_a_tenth_of_a_second(path: Path) -> None:
    """Whatever is asked for, an endpoint that fails is not asked all the time."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    with Watch(url, path, "--retry-delay", "0") as watch:
        watch.until_logged("retrying in", 3)
        assert watch.stop() == 0
        assert [delay for delay in delays_in(watch.log) if not 0.1 <= delay <= 0.12] == []


def test_header_given_twice_is_sent_twice(path: Path) -> None:
    """As options or as lines of the variable; options take the place of the whole variable."""
    with ScriptedEndpoint(streaming("a")) as server:
        headers = {"TRAEFIK_CONFIG_API_HEADERS": "X-Of: variable\nx-of: line"}
        for options, expected in (
            ([], ["variable", "line"]),
            (["--header", "X-Of: a", "--header", "x-of: b"], ["a", "b"]),
        ):
            with Watch(server.url, path, *options, environment=headers) as watch:
                watch.until_logged("connected to")
                lines = server.requests[-1].decode().split("\r\n")
            found = [line for line in lines if line.lower().startswith("x-of: ")]
            assert [line.partition(": ")[2] for line in found] == expected


ECHO = b'{"error": "no", "message": "really"}'
FAILURES = [
    answering("302 Found", Location="/login?key=s3cret"),
    answering("401 Unauthorized"),
    answering("500 Oops", ECHO, Content_Type="application/json"),
    answering("200 OK", b"<html>", Content_Type="text/html"),
    sending(b"HTTP/1.1 200 OK\r\nbad header\r\nContent-Type: text/event-stream\r\n\r\n"),
    sending(b"nonsense\r\n"),
    sending(),
    resetting,
    sending(STREAM, event("error", {"message": "no"}), b"event: other\ndata: 1\n\n"),
    sending(STREAM, snapshot(hosts("a"))),
]


def secret_watch(url: str, path: Path, *arguments: str) -> Watch:
    """Return watch with every kind of secret set, and as talkative as can be."""
    url = url.replace("//", "//s3cret-user:s3cret-pass@") + "?key=s3cret-query#s3cret-fragment"
    headers = ["--header", "CF-Access-Client-Secret: s3cret-header"]
    environment = {
        "TRAEFIK_CONFIG_API_ENDPOINT": url,
        "TRAEFIK_CONFIG_API_TOKEN": "s3cret-token",
        "PYTHONWARNINGS": "always",
    }
    options = [*headers, "--retry-delay", "0", "-v", "-v", *arguments]
    return Watch(url, path, *options, environment=environment)


def test_log_of_failures_shows_no_secret(path: Path) -> None:
    """However the endpoint fails, no token, header, password or query is in the log."""
    with ScriptedEndpoint(*FAILURES) as server, secret_watch(server.url, path) as watch:
        watch.until_logged("added router-a")
        assert server.requests[0].count(b"s3cret-") == 3
        assert watch.stop() == 0
        assert "s3cret" not in watch.log
        assert watch.log.count("retrying in") >= len(FAILURES) - 1


def test_log_of_impossible_connections_shows_no_secret(path: Path, authority: Authority) -> None:
    """Nor is it where no request can be made at all."""
    tls = authority.server_context("other.example.com")
    with ScriptedEndpoint(saying_nothing, tls=tls) as server, unanswering() as url:
        for target in (server.url, url, URL, "http://127.0.0.1:1/api/config"):
            with secret_watch(target, path, "--read-timeout", "0.3") as watch:
                watch.until_logged("retrying in", 2)
                assert watch.stop() == 0
                assert "s3cret" not in watch.log
