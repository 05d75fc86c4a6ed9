"""The command line as a whole: help, version, verbosity, bad usage, completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.commands import run

from ctsdns_traefik import __version__, settings
from ctsdns_traefik.cli.program import cli
from ctsdns_traefik.errors import MEANINGS, ExitCode

COMMANDS = ("watch", "render-once", "parse-host", "validate")

ENTRY = "_web_http_80._tcp.a.example.com=100.64.0.1"

REFUSED = json.dumps(
    {"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1", "_x": "1"}}
).encode()


def help_of(*command: str) -> str:
    """Return a help text."""
    return run(*command, "--help").stdout


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_is_the_packages(option: str) -> None:
    """The version is printed as data."""
    done = run(option)
    said = f"ctsdns-traefik, version {__version__}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=str)
def test_help_is_printed(command: tuple[str, ...], option: str) -> None:
    """Help goes to stdout with exit code 0, names the program, and shows every exit code."""
    done = run(*command, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(("Usage: ctsdns-traefik", *command, "[OPTIONS]")))
    codes = [f"  {code.value:>5}  {meaning}" for code, meaning in MEANINGS.items()]
    shown = done.stdout.splitlines()[-len(codes) :]
    assert [line[:8] for line in shown] == [line[:8] for line in codes]
    assert (
        shown[2 * bool(command) :] == codes[2 * bool(command) :]
    )  # a command's 0 and 1 are its own
    assert MEANINGS.keys() == set(ExitCode)
    assert "\\" not in done.stdout


def test_help_lists_the_commands() -> None:
    """The program's help has a line for each command, whole."""
    _, _, listed = help_of().partition("\nCommands:\n")
    lines = listed.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [line for line in lines if line.endswith("...")] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_use_what_there_is(command: str) -> None:
    """A command's help has examples, of that command, with options that it has."""
    text = help_of(command)
    _, _, after = text.partition("\n  Examples:\n")
    examples = after.partition("\n\n")[0].splitlines()
    assert examples
    for example in examples:
        assert f"ctsdns-traefik {command} " in example
        options = re.findall(r"(?<=\s)--?[a-z][a-z-]*", example.partition(f" {command} ")[2])
        assert [option for option in options if f"{option} " not in text] == []


VARIABLES = {
    settings.ENDPOINT: ("watch", "render-once", "validate"),
    settings.OUTPUT: ("watch", "render-once", "validate"),
    settings.ADOPT: ("watch", "render-once"),
    settings.FORMAT: ("watch", "render-once"),
    settings.RETRY_DELAY: ("watch",),
    settings.READ_TIMEOUT: ("watch",),
    settings.CHECK_MACHINES: ("watch", "validate"),
    settings.POLL_INTERVAL: ("watch",),
    settings.SNAPSHOT_TIMEOUT: ("render-once", "validate"),
    settings.HEADERS: ("watch", "render-once", "validate"),
    settings.TOKEN: ("watch", "render-once", "validate"),
    settings.TOKEN_FILE: ("watch", "render-once", "validate"),
    settings.CA_FILE: ("watch", "render-once", "validate"),
    settings.CLIENT_CERT: ("watch", "render-once", "validate"),
    settings.CLIENT_KEY: ("watch", "render-once", "validate"),
    settings.STATIC_CONFIG: ("watch", "render-once", "validate"),
    settings.ACCESS_FILE: ("watch", "render-once", "validate"),
    settings.ON_CHANGE: ("watch", "render-once"),
    settings.CHECK_COMMAND: ("watch", "render-once"),
    settings.TRAEFIK_API: ("watch",),
    settings.TRAEFIK_VERSION: ("watch", "render-once", "validate"),
    settings.STORE_PASSWORD: ("watch", "render-once"),
    settings.STORE_PASSWORD_FILE: ("watch", "render-once"),
    settings.STORE_CA_FILE: ("watch", "render-once"),
    settings.STORE_LEASE: ("watch",),
    settings.REMOVAL_GUARD: ("watch",),
    settings.STATUS_FILE: ("watch",),
    settings.METRICS_FILE: ("watch",),
    settings.LISTEN: ("watch",),
    settings.LISTEN_TOKEN_FILE: ("watch",),
    settings.LISTEN_OPEN: ("watch",),
    settings.LISTEN_HOSTS: ("watch",),
    settings.LISTEN_CERT: ("watch",),
    settings.LISTEN_KEY: ("watch",),
    settings.LISTEN_INTERVAL: ("watch",),
    settings.WEBHOOK_SECRET_FILE: ("watch",),
    settings.LOG_FORMAT: ("watch", "render-once"),
    settings.MAX_AGE: ("watch",),
}


def test_every_setting_is_of_some_command() -> None:
    """The table here has every setting there is."""
    there = [value for value in vars(settings).values() if isinstance(value, settings.Setting)]
    assert there == list(VARIABLES)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_variables_that_count(command: str) -> None:
    """A command's help shows the environment variables that it heeds, and no others."""
    shown = set(re.findall(r"TRAEFIK_[A-Z_]+", help_of(command)))
    assert shown == {each.variable for each, commands in VARIABLES.items() if command in commands}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """No option of a command stands in its help without a word on what it is for."""
    command = cli.get_command(click.Context(cli), name)
    assert command
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert options
    assert [option.opts for option in options if not option.help] == []


VERBOSITY = (
    pytest.param([], [], {"INFO", "WARNING"}, id="plain"),
    pytest.param(["-v"], [], {"INFO", "WARNING"}, id="verbose"),
    pytest.param(["-q"], [], {"WARNING"}, id="quiet-before"),
    pytest.param([], ["-q"], {"WARNING"}, id="quiet-after"),
    pytest.param([], ["--quiet", "--quiet"], set(), id="quiet-twice-after"),
    pytest.param(["-q"], ["-q"], set(), id="quiet-before-and-after"),
    pytest.param(["-qq"], ["-v"], {"WARNING"}, id="they-add-up"),
    pytest.param(["-v", "-q"], [], {"INFO", "WARNING"}, id="they-cancel-out"),
)


@pytest.mark.parametrize(("before", "after", "levels"), VERBOSITY)
def test_verbosity_counts_before_and_after_the_command(
    tmp_path: Path, before: list[str], after: list[str], levels: set[str]
) -> None:
    """-v and -q mean the same on either side of the command's name, and add up."""
    output = tmp_path / "dynamic.yml"
    done = run(*before, "render-once", "-", "-o", output, *after, stdin=REFUSED)
    assert (done.returncode, output.exists()) == (0, True)
    assert {line.partition(":")[0] for line in done.stderr.splitlines()} == levels


def test_quiet_hides_no_error() -> None:
    """However quiet, an error that ends the command is told."""
    done = run("-qqq", "render-once", "none.json")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_no_arguments_get_the_help() -> None:
    """The bare command shows its help on stderr and exits with 2."""
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == help_of()


def test_installed_script_is_the_module() -> None:
    """The installed script and ``python -m ctsdns_traefik`` are one program."""
    script = Path(sys.executable).with_name("ctsdns-traefik")
    for arguments in (["--help"], ["parse-host", ENTRY], ["parse-host", "--nonsense"]):
        ran = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)
        done = run(*arguments)
        said = (ran.returncode, ran.stdout, ran.stderr)
        assert said == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    """The installed script prints what a shell needs to complete its command line."""
    script = Path(sys.executable).with_name("ctsdns-traefik")
    done = subprocess.run(
        [script],
        env={**os.environ, "_CTSDNS_TRAEFIK_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_CTSDNS_TRAEFIK_COMPLETE={shell}_complete" in done.stdout
    assert "ctsdns-traefik" in done.stdout
