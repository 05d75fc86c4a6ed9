"""The units of the examples, as systemd's own tools read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support.paths import ROOT
from support.units import PREFIX, analyze, systemd_version

from ctsdns_traefik import settings

EXAMPLE = ROOT / "examples" / "systemd"
README = EXAMPLE / "README.md"
SERVICES = ("ctsdns-traefik.service", "ctsdns-traefik-render.service")
UNITS = (*SERVICES, "ctsdns-traefik-render.timer")

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="Debian's package systemd is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the example, with the program where it is on this machine."""
    copy = tmp_path / "system"
    shutil.copytree(EXAMPLE, copy)
    for service in SERVICES:
        path = copy / service
        path.write_text(path.read_text().replace(PREFIX, sysconfig.get_path("scripts")))
        (copy / f"{service}.d").mkdir()
    return copy


def complaints(unit: Path) -> str:
    """Return what systemd has against a unit; nothing if it takes it as it is."""
    done = analyze("verify", "--man=no", "--recursive-errors=one", unit)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else "failed")


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_clean(folder: Path, name: str) -> None:
    """Systemd has nothing against a unit."""
    assert complaints(folder / name) == ""


@pytest.mark.parametrize("name", SERVICES)
def test_drop_in_for_the_secret_is_clean(folder: Path, name: str) -> None:
    """Systemd has nothing against a service with the drop-in for a secret."""
    shutil.copy(folder / "secret.conf", folder / f"{name}.d")
    assert complaints(folder / name) == ""


def test_drop_in_for_traefik_is_clean(folder: Path) -> None:
    """A unit of Traefik's own, with the drop-in, comes after the service without a cycle."""
    (folder / "traefik.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert complaints(folder / "traefik.service") == ""
    assert complaints(folder / SERVICES[0]) == ""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("WatchdogSec=", "WatchdogSecs=", "Unknown key 'WatchdogSecs'"),
        ("ProtectSystem=strict", "ProtectSystem=strictly", "strictly"),
        (
            "SystemCallFilter=@system-service",
            "SystemCallFilter=@system-services",
            "@system-services",
        ),
        ("/ctsdns-traefik watch", "/no-such-program", "not executable"),
    ],
)
def test_a_slip_is_found(folder: Path, old: str, new: str, complaint: str) -> None:
    """A unit with a mistake in it does not pass."""
    path = folder / SERVICES[0]
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert complaint in complaints(path)


def documented_exposures() -> dict[str, str]:
    """Return the exposure of each service as the README has it."""
    rows = re.findall(r"^\| `(.+?\.service)` \| (\d+\.\d) \|", README.read_text(), re.MULTILINE)
    return dict(rows)


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or systemd_version() != 252,
    reason="each release of systemd counts in its own way; the README has the figures of 252",
)
@pytest.mark.parametrize("name", SERVICES)
def test_documented_exposure(name: str) -> None:
    """The README has the figure that systemd-analyze security prints for a service."""
    printed = analyze("security", "--offline=true", EXAMPLE / name)
    found = re.search(r"Overall exposure level for (\S+): (\d+\.\d) OK", printed.stdout)
    assert found, printed.stdout
    assert documented_exposures()[name] == found[2]


@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_low(name: str) -> None:
    """A service exposes little by the count of any systemd: at most 1.5 of 10."""
    done = analyze("security", "--offline=true", "--threshold=15", EXAMPLE / name)
    assert done.returncode == 0, done.stdout
    assert set(documented_exposures()) == set(SERVICES)


def test_settings_exist() -> None:
    """Every variable that the units and the sample settings name is one of the program's."""
    files = [path for path in EXAMPLE.iterdir() if path.suffix in (".service", ".conf", ".env")]
    named = set(re.findall(r"TRAEFIK_[A-Z_]+", "".join(path.read_text() for path in files)))
    known = {
        each.variable for each in vars(settings).values() if isinstance(each, settings.Setting)
    }
    assert "TRAEFIK_CONFIG_STATUS_FILE" in named
    assert named - known == set()


def test_installation(tmp_path: Path) -> None:
    """The README's commands put each file where it belongs, its units are clean, and none stays."""
    lines = re.findall(r"^    sudo (install -D .*)$", README.read_text(), re.MULTILINE)
    for line in lines:
        command = line.replace(" /etc/", f" {tmp_path}/etc/").split()
        subprocess.run(command, cwd=EXAMPLE.parent.parent, check=True, timeout=60)
    sources = {line.split()[-2].removeprefix("examples/systemd/") for line in lines}
    there = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file()}
    assert sources == there - {"README.md"}
    installed = tmp_path / "etc" / "systemd" / "system"
    (installed / "traefik.service").write_text("[Service]\nExecStart=/bin/true\n")
    for name in UNITS:
        path = installed / name
        path.write_text(path.read_text().replace(PREFIX, sysconfig.get_path("scripts")))
    assert [complaints(path) for path in installed.iterdir() if path.is_file()] == [""] * 4
    assert (tmp_path / "etc/ctsdns-traefik/settings.env").stat().st_mode & 0o777 == 0o600
    for line in re.findall(r"^    sudo (rm -rf .*)$", README.read_text(), re.MULTILINE):
        command = re.sub("(?<= )/", f"{tmp_path}/", line)
        subprocess.run(["sh", "-c", command], check=True, timeout=60)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["traefik.service"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_user_and_file(tmp_path: Path) -> None:
    """The user is made, and the file with no routes if there is none, which others can read."""
    for tool in ("sysusers", "tmpfiles"):
        (tmp_path / "etc" / f"{tool}.d").mkdir(parents=True)
        source = EXAMPLE / f"ctsdns-traefik.{tool}.conf"
        shutil.copy(source, tmp_path / "etc" / f"{tool}.d" / "ctsdns-traefik.conf")
    file = tmp_path / "var" / "lib" / "ctsdns-traefik" / "dynamic.yml"
    for content in ("{}", "kept"):
        for tool, *options in (("sysusers",), ("tmpfiles", "--create")):
            command = [f"systemd-{tool}", f"--root={tmp_path}", *options, "ctsdns-traefik.conf"]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert file.read_text() == content
        file.write_text("kept")
    user = re.search(r"^ctsdns-traefik:x:(\d+):", (tmp_path / "etc/passwd").read_text())
    assert user
    found = [(each.stat().st_uid, each.stat().st_mode) for each in (file, file.parent)]
    assert found == [(int(user[1]), 0o100644), (int(user[1]), 0o40755)]
