"""What watch says of files beside its output that keep Traefik from loading the directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Watch
from support.entries import hosts

from ctsdns_traefik.core.static_config import read_static
from ctsdns_traefik.daemon import NeighbourCheck
from ctsdns_traefik.daemon.events import DirectoryFilesRefused, Event
from ctsdns_traefik.daemon.neighbours import PAUSE

DIRECTORY = "providers: {file: {directory: /x}}"
FILENAME = "providers: {file: {filename: /x.yml}}"


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A folder with an output, and the check of its other files."""

    def __init__(self, folder: Path, static: str = DIRECTORY) -> None:
        self.folder, self.clock, self.events = folder, Clock(), list[Event]()
        known = read_static(static, "yaml") if static else None
        output = folder / "dynamic.yml"
        output.write_text("{ not YAML, but its own")
        self.check = NeighbourCheck(output, known, self.events.append, self.clock)

    def found(self) -> list[str]:
        """Check a minute later; return the names of the files that are reported."""
        self.clock.now += PAUSE
        self.events.clear()
        self.check.run()
        reported = [each for each in self.events if isinstance(each, DirectoryFilesRefused)]
        return [Path(str(each.path)).name for one in reported for each in one.diagnostics]


def test_warning_at_the_start_and_not_again(tmp_path: Path) -> None:
    """A dangling link and a broken file are a warning each, once, and what is fixed is none."""
    folder = tmp_path / "dynamic"
    folder.mkdir()
    (folder / "old.yml").symlink_to("/nowhere")
    (folder / "bad.toml").write_text("[http.routers]\n[")
    (folder / "good.yml").write_text("http: {middlewares: {a: {stripPrefix: {prefixes: [/a]}}}}")
    (folder / "dynamic.yml").write_text("{}")
    policy, static = tmp_path / "policy.json", tmp_path / "traefik.yml"
    policy.write_text(json.dumps({"hosts": hosts("a")}))
    static.write_text(f"providers: {{file: {{directory: {folder}}}}}")
    options = ["--static-config", str(static), "--log-format", "json"]
    with Watch(str(policy), folder / "dynamic.yml", *options) as watch:
        watch.until_content("a.example.com")
        policy.write_text(json.dumps({"hosts": hosts("ab")}))
        watch.until_content("b.example.com")
        watch.stop()
    logged = [json.loads(line) for line in watch.log.splitlines()]
    names = [each["event"] for each in logged]
    refused = [each for each in logged if each["event"] == "directory-file-refused"]
    assert [(each["level"], Path(each["path"]).name) for each in refused] == [
        ("warning", "bad.toml"),
        ("warning", "old.yml"),
    ]
    assert "line 2: it is not TOML" in refused[0]["problem"]
    assert "it is a link to nothing" in refused[1]["problem"]
    assert names.index("directory-file-refused") < names.index("connected")


def test_checks_are_a_minute_apart(tmp_path: Path) -> None:
    """Between two looks at the directory is a minute, however often the output changes."""
    place = Place(tmp_path)
    assert place.found() == []
    (tmp_path / "old.yml").symlink_to("/nowhere")
    place.events.clear()
    place.check.run()
    place.clock.now += PAUSE - 1
    place.check.run()
    assert place.events == []
    assert place.found() == ["old.yml"]
    assert place.found() == []  # nothing has changed
    (tmp_path / "old.yml").unlink()
    assert place.found() == []
    (tmp_path / "old.yml").symlink_to("/nowhere")
    assert place.found() == ["old.yml"]


@pytest.mark.parametrize(
    ("static", "found"),
    [
        pytest.param(DIRECTORY, ["bad.yml", "below.yml"], id="directory"),
        pytest.param("", ["bad.yml"], id="not-known"),
        pytest.param(FILENAME, [], id="one-file-alone"),
        pytest.param("api: {}", [], id="no-file-provider"),
    ],
)
def test_what_is_known_of_the_static_configuration(
    tmp_path: Path, static: str, found: list[str]
) -> None:
    """Files that Traefik does not read are not reported; those that it may read are."""
    (tmp_path / "bad.yml").write_text("http: {}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "below.yml").write_text("http: [")
    place = Place(tmp_path, static)
    assert place.found() == found
    told = [str(each) for each in place.events]
    assert all(("if it reads the directory" in each) == (not static) for each in told if each)


def test_large_files_are_not_parsed(tmp_path: Path) -> None:
    """Parsing takes long, so that watch reports of much text only what cannot be read at all."""
    (tmp_path / "a.yml").write_text("# " + "x" * 300_000 + "\nhttp: {}")
    (tmp_path / "b.yml").write_text("http: {}")
    (tmp_path / "c.yml").symlink_to("/nowhere")
    assert Place(tmp_path).found() == ["c.yml"]
