"""``ctsdns-traefik render-once`` writes a file, compares with it, or prints."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.commands import run

NAME = "_web_http_80._tcp.a.example.com"
POLICY = json.dumps({"hosts": {NAME: "100.64.0.1"}}).encode()
SLIP = "web_http_80._tcp.b.example.com"
SLIPPED = json.dumps({"hosts": {NAME: "100.64.0.1", SLIP: "100.64.0.1"}}).encode()
REFUSED = json.dumps({"hosts": {NAME: "100.64.0.1", "_x": "::1", "_y": "::2"}}).encode()

DOCUMENT = """\
{
  "http": {
    "routers": {
      "router-a-example-com": {
        "rule": "Host(`a.example.com`)",
        "service": "service-a-example-com-http-80",
        "entryPoints": ["web"]
      }
    },
    "services": {
      "service-a-example-com-http-80": {
        "loadBalancer": {"servers": [{"url": "http://100.64.0.1:80"}]}
      }
    }
  }
}
"""

VARIABLE = "TRAEFIK_DYNAMIC_CONFIG_FILE"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the file goes; nothing is there yet."""
    return tmp_path / "dynamic.yml"


def test_new_file_is_created(output: Path) -> None:
    """-o writes the document, says so on stderr, and prints nothing."""
    done = run("render-once", "-", "-o", output, stdin=POLICY)
    assert (done.returncode, done.stdout, output.read_text()) == (0, "", DOCUMENT)
    assert done.stderr.startswith(f"INFO: created {output}: 1 route")
    assert done.stderr.endswith("; added router-a-example-com\n")
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    assert list(output.parent.iterdir()) == [output]


def test_old_file_is_replaced(output: Path) -> None:
    """Whatever stood in the file gives way, and the log names the routes."""
    output.write_text(DOCUMENT.replace("a.example", "b.example").replace("a-example", "b-example"))
    done = run("render-once", "-", "-o", output, stdin=POLICY)
    assert (done.returncode, done.stdout, output.read_text()) == (0, "", DOCUMENT)
    assert done.stderr.startswith(f"INFO: replaced {output}: 1 route")
    assert done.stderr.endswith("; added router-a-example-com; removed router-b-example-com\n")


def test_unchanged_file_is_left_alone(output: Path) -> None:
    """A file that holds the document already keeps its times, and nothing is logged."""
    output.write_text(DOCUMENT)
    before = output.stat()
    done = run("render-once", "-", "-o", output, stdin=POLICY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    after = output.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_most_routes_may_go_at_once(output: Path) -> None:
    """The removal guard is for watch alone: the one snapshot is what the user asked for."""
    hosts = {f"_web_http_80._tcp.host{number}.example.com": "100.64.0.1" for number in range(9)}
    run("render-once", "-", "-o", output, stdin=json.dumps({"hosts": hosts}).encode())
    assert "host8" in output.read_text()
    assert run("render-once", "-", "-o", output, stdin=POLICY).returncode == 0
    assert output.read_text() == DOCUMENT


def test_environment_names_the_file(output: Path) -> None:
    """The variable stands in for -o, unless -o says standard output."""
    environment = {VARIABLE: str(output)}
    printed = run("render-once", "-", "-o", "-", stdin=POLICY, environment=environment)
    assert (printed.returncode, printed.stdout, output.exists()) == (0, DOCUMENT, False)
    written = run("render-once", "-", stdin=POLICY, environment=environment)
    assert (written.returncode, written.stdout, output.read_text()) == (0, "", DOCUMENT)
    empty = run("render-once", "-", stdin=POLICY, environment={VARIABLE: ""})
    assert (empty.returncode, empty.stdout) == (0, DOCUMENT)


def test_file_in_yaml(output: Path) -> None:
    """--format yaml writes YAML with the same content as JSON."""
    assert run("render-once", "-", "-o", output, "--format=yaml", stdin=POLICY).returncode == 0
    assert output.read_text().startswith("http:\n")
    assert YAML(typ="safe").load(output) == json.loads(DOCUMENT)


CHECKS = (
    pytest.param(DOCUMENT, 0, id="the-same"),
    pytest.param(DOCUMENT[:-1], 1, id="without-its-last-line-end"),
    pytest.param("{}\n", 1, id="without-routes"),
    pytest.param("", 1, id="empty"),
    pytest.param(None, 1, id="missing"),
)


@pytest.mark.parametrize(("old", "code"), CHECKS)
def test_check_reports_by_its_exit_code(output: Path, old: str | None, code: int) -> None:
    """--check exits with 1 if the file would change, with 0 if not, and writes nothing."""
    if old is not None:
        output.write_text(old)
    done = run("render-once", "-", "-o", output, "--check", stdin=POLICY)
    told = f"INFO: {output} would change; --diff prints how\n" if code else ""
    assert (done.returncode, done.stdout, done.stderr) == (code, "", told)
    assert (output.read_text() if output.exists() else None) == old
    assert list(output.parent.iterdir()) == ([] if old is None else [output])


def test_diff_shows_how_the_file_would_change(output: Path) -> None:
    """--diff prints a unified diff and writes nothing; only --check makes it exit with 1."""
    output.write_text(DOCUMENT.replace("0.1:80", "0.9:80"))
    expected = (
        f"--- {output}\n"
        f"+++ {output}\n"
        "@@ -9,7 +9,7 @@\n"
        "     },\n"
        '     "services": {\n'
        '       "service-a-example-com-http-80": {\n'
        '-        "loadBalancer": {"servers": [{"url": "http://100.64.0.9:80"}]}\n'
        '+        "loadBalancer": {"servers": [{"url": "http://100.64.0.1:80"}]}\n'
        "       }\n"
        "     }\n"
        "   }\n"
    )
    for more, code in (((), 0), (("--check",), 1)):
        done = run("render-once", "-", "-o", output, "--diff", *more, stdin=POLICY)
        assert (done.returncode, done.stdout, done.stderr) == (code, expected, "")
    assert "0.9:80" in output.read_text()


def test_diff_of_the_same_is_empty(output: Path) -> None:
    """A file that would not change gives no diff, and --check agrees."""
    output.write_text(DOCUMENT)
    done = run("render-once", "-", "-o", output, "--diff", "--check", stdin=POLICY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_diff_of_a_new_file_starts_from_dev_null(output: Path) -> None:
    """All lines of a file that is not there yet are new, and it is not created."""
    done = run("render-once", "-", "-o", output, "--diff", stdin=POLICY)
    lines = "".join(f"+{line}\n" for line in DOCUMENT.splitlines())
    expected = f"--- /dev/null\n+++ {output}\n@@ -0,0 +1,{lines.count(chr(10))} @@\n{lines}"
    assert (done.returncode, done.stdout, output.exists()) == (0, expected, False)


def test_diff_of_a_file_without_a_last_line_end_is_well_formed(output: Path) -> None:
    """A last line without its end is marked as diff marks it, not run into the next line."""
    output.write_text("{}")
    done = run("render-once", "-", "-o", output, "--diff", stdin=b'{"hosts": {}}')
    mark = "\\ No newline at end of file\n"
    expected = f"--- {output}\n+++ {output}\n@@ -1 +1 @@\n-{{}}\n{mark}+{{}}\n"
    assert (done.returncode, done.stdout) == (0, expected)


def test_diff_knows_lines_as_files_have_them(output: Path) -> None:
    """Only a line feed ends a line; a form feed or another script's separator is inside one."""
    output.write_text("# a\fb\u2028c\n{}\n")
    done = run("render-once", "-", "-o", output, "--diff", stdin=b'{"hosts": {}}')
    expected = f"--- {output}\n+++ {output}\n@@ -1,2 +1 @@\n-# a\fb\u2028c\n {{}}\n"
    assert (done.returncode, done.stdout) == (0, expected)


def test_diff_shows_bytes_that_are_no_text(output: Path) -> None:
    """A file that is not UTF-8 is compared all the same, in a locale without UTF-8 too."""
    output.write_bytes(b"# \xff\xc3\xa9\n{}\n")
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run(
        "render-once", "-", "-o", output, "--diff", stdin=b'{"acls": []}', environment=environment
    )
    expected = f"--- {output}\n+++ {output}\n@@ -1,2 +1 @@\n-# \\xff\u00e9\n {{}}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_comparing_needs_a_file(option: str) -> None:
    """--check and --diff without a file to compare with are bad usage."""
    for more in ((), ("-o", "-")):
        done = run("render-once", "-", option, *more, stdin=POLICY)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--check and --diff compare with a file: name it with --output" in done.stderr


STRICT = (
    pytest.param(POLICY, ["--strict"], 0, id="nothing-refused"),
    pytest.param(REFUSED, [], 0, id="refused-but-not-strict"),
    pytest.param(REFUSED, ["--strict"], 1, id="refused"),
    pytest.param(SLIPPED, ["--strict"], 0, id="near-miss"),
)


@pytest.mark.parametrize(("policy", "options", "code"), STRICT)
def test_strict_makes_refused_entries_count(
    output: Path, policy: bytes, options: list[str], code: int
) -> None:
    """--strict exits with 1 if an entry was refused, though the others are written all the same."""
    done = run("render-once", "-", "-o", output, *options, stdin=policy)
    assert (done.returncode, done.stdout, output.read_text()) == (code, "", DOCUMENT)
    printed = run("render-once", "-", *options, stdin=policy)
    assert (printed.returncode, printed.stdout) == (code, DOCUMENT)
    checked = run("render-once", "-", "-o", output, "--check", *options, stdin=policy)
    assert (checked.returncode, checked.stdout) == (code, "")


def test_refused_entries_are_reported_on_stderr_alone() -> None:
    """One line each on stderr with its code and entry; stdout is the document and nothing else."""
    done = run("render-once", "-", "-v", stdin=REFUSED)
    assert (done.returncode, done.stdout) == (0, DOCUMENT)
    first, second = done.stderr.splitlines()
    for line, entry in ((first, "_x=::1"), (second, "_y=::2")):
        assert line.startswith("WARNING: ")
        assert f"bad-name: {entry}: the name has no ._tcp. between the port and" in line


def test_near_miss_is_a_warning_on_stderr() -> None:
    """A name without its underscore is a warning, in a JSON log with its code and entry."""
    done = run("render-once", "-", stdin=SLIPPED)
    assert (done.returncode, done.stdout) == (0, DOCUMENT)
    assert done.stderr.startswith(f"WARNING: missing-underscore: {SLIP}=100.64.0.1: ")
    line = json.loads(run("render-once", "-", "--log-format=json", stdin=SLIPPED).stderr)
    assert (line["event"], line["level"]) == ("entry-warning", "warning")
    assert (line["code"], line["entry"]) == ("missing-underscore", SLIP)
