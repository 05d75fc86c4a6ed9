"""Files with settings or a secret: what is read, and what is refused without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctsdns_traefik.bounded_file import read_bounded, read_text
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


def test_pipe_that_nothing_writes(tmp_path: Path) -> None:
    """It is given up on after a while, whether or not a writer has it open."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for flags in (None, os.O_RDWR):
        writer = os.open(pipe, flags) if flags else None
        with pytest.raises(ValueError, match=r"not written and closed within 0\.1 s"):
            read_bounded(pipe, 8, patience=0.1)
        if writer:
            os.close(writer)


def test_pipe_that_is_written_and_closed() -> None:
    """What a shell's process substitution gives is read up to the limit."""

    def read_from_pipe(content: bytes) -> bytes:
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        try:
            return read_bounded(Path(f"/dev/fd/{read}"), 8, patience=5.0)
        finally:
            os.close(read)

    assert [read_from_pipe(content) for content in (b"", b"12345678")] == [b"", b"12345678"]
    with pytest.raises(ValueError, match="it has more than 8 bytes"):
        read_from_pipe(b"123456789")


def test_text_is_read_as_text(tmp_path: Path) -> None:
    """A byte order mark is dropped, and every line end becomes LF."""
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(file) == "a\nb\nc\n"
