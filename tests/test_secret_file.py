"""Files with a secret: what is read, and what is refused without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.server import SecretFile
from ctsdns_traefik.source.endpoint import read_token


def test_files_that_hold_no_secret(tmp_path: Path) -> None:
    """A device, a pipe that nothing writes to, and a large file are refused at once."""
    large, pipe, link = tmp_path / "large", tmp_path / "pipe", tmp_path / "link"
    large.write_text("x" * (64 * 1024 + 1))
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    cases = {
        pipe: "it is not a regular file",
        link: "it is not a regular file",
        large: "it has more than 65536 bytes",
        tmp_path: "is a directory",
    }
    for path, why in cases.items():
        with pytest.raises(SettingsError, match=f"cannot read the token file .*: {why}$"):
            read_token(path)
        with pytest.raises(SettingsError, match=f"cannot read the token file .*: {why}$"):
            SecretFile(path, "token")


def test_largest_secret(tmp_path: Path) -> None:
    """A secret may be as long as that, and a link may lead to its file."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("x" * (64 * 1024))
    link.symlink_to(file)
    assert read_token(link) == "x" * (64 * 1024)
