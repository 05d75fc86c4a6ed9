"""The store's URL: what it may say, what it says wrong, and what of it is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctsdns_traefik.output.redis.url import Address, address_from, is_store_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("redis://h", Address("h"), id="host-alone"),
        pytest.param("redis://h/", Address("h"), id="no-database"),
        pytest.param("redis://h:7000/3", Address("h", 7000, 3), id="port-and-database"),
        pytest.param("redis://[fd7a::1]:7000", Address("fd7a::1", 7000), id="ipv6"),
        pytest.param("redis://h?rootKey=edge", Address("h", root="edge"), id="root"),
        pytest.param("rediss://h", Address("h", tls=True), id="tls"),
        pytest.param("redis://u:p@h", Address("h", user="u", password="p"), id="user-and-password"),
        pytest.param("redis://:p%40%2F@h", Address("h", password="p@/"), id="password-escaped"),
        pytest.param("redis://u@h", Address("h", user="u"), id="user-alone"),
    ],
)
def test_url_says_where_the_store_is(url: str, expected: Address) -> None:
    """Host, port, database, root key, user and password, as redis-py's and Traefik's users know."""
    assert address_from(url) == expected


def test_password_is_in_no_text() -> None:
    """Neither the log's name of the store nor its repr holds user or password."""
    address = address_from("redis://me:hunter2@[fd7a::1]:7000/2?rootKey=edge")
    assert str(address) == "redis://[fd7a::1]:7000/2?rootKey=edge"
    assert "hunter2" not in repr(address)


def test_password_file_wins_over_the_given_one_and_that_over_the_urls(tmp_path: Path) -> None:
    """The file is read anew each time, its line end dropped."""
    file = tmp_path / "password"
    url = "redis://:in-url@h"
    assert address_from(url).read_password() == "in-url"
    assert address_from(url, password="given").read_password() == "given"
    address = address_from(url, password="given", password_file=file)
    for password in ("one", "an other", " spaces at its ends "):
        file.write_text(f"{password}\n")
        assert address.read_password() == password


@pytest.mark.parametrize(
    ("url", "more", "exposed"),
    [
        pytest.param("redis://:p@192.0.2.1", {}, True, id="password-abroad"),
        pytest.param("redis://192.0.2.1", {"password_file": Path("f")}, True, id="file-abroad"),
        pytest.param("rediss://:p@192.0.2.1", {}, False, id="tls"),
        pytest.param("redis://:p@100.64.0.1", {}, False, id="tailnet"),
        pytest.param("redis://:p@127.0.0.1", {}, False, id="loopback"),
        pytest.param("redis://192.0.2.1", {}, False, id="no-password"),
    ],
)
def test_password_in_the_clear_is_known(url: str, more: dict[str, Any], exposed: bool) -> None:
    """A password is exposed on plain connections that leave machine and tailnet."""
    assert address_from(url, **more).in_the_clear is exposed


@pytest.mark.parametrize("text", ["redis://h", "REDIS://h", "rediss:", "unix:///x", "valkey://h"])
def test_url_is_no_path(text: str) -> None:
    """What begins as a store's URL is never taken for a file, even if it is wrong."""
    assert is_store_url(text)


@pytest.mark.parametrize("text", ["/etc/traefik/dynamic.yml", "redis.yml", "./redis:", "-"])
def test_path_is_no_url(text: str) -> None:
    """Everything else is a file."""
    assert not is_store_url(text)
