"""The steps of the quickstart, and how they are shown."""

from __future__ import annotations

import argparse
import difflib
import http.client
import http.server
import json
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from local import PATIENCE, find_traefik, free_ports, running, until, write_static_configuration

from ctsdns_traefik.errors import ExitCode
from ctsdns_traefik.terminal import has_colour

HERE = Path(__file__).resolve().parent
ENDPOINT_VARIABLE = "TRAEFIK_CONFIG_API_ENDPOINT"
ACCESS_VARIABLE = "TRAEFIK_ACCESS_FILE"
FIRST, SECOND = "app.example.com", "new.example.com"
ENTRY = '"_web_http_3000._tcp.app.example.com": "100.64.0.1"'
STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
"""Numbers of a terminal's escape sequences."""
LEVELS = {"WARNING": "yellow", "ERROR": "red"}
NOTICE, LONGEST = 2, 15
"""Seconds without a policy after which that is shown, and after which the quickstart gives up."""
STATES = {"enabled": "green", "disabled": "red", "warning": "yellow"}

T = TypeVar("T")


class Ended(Exception):
    """The quickstart ends before its last step: with an exit status, and a message if it failed."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def demonstrate(arguments: Sequence[str], received: Sequence[int]) -> int:
    """Run the quickstart; return its exit status, unless a signal was received: that counts."""
    try:
        return run(arguments, received)
    except Ended as end:
        message, code = str(end), end.code
    except OSError as why:
        message = f"{why.filename}: {why.strerror}" if why.filename else str(why)
        code = ExitCode.FINDINGS
    with suppress(OSError):
        if received:
            print("\nStopped; nothing is left behind.", file=sys.stderr)
        elif message:
            print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    return code


def run(arguments: Sequence[str], received: Sequence[int]) -> int:
    """Read the arguments, and show what they ask for."""
    parser = argparse.ArgumentParser(
        description="Show a policy entry become a live route in a real Traefik on this machine.",
        epilog="Exit status: 0 fine, 1 a step failed, 2 bad usage, 3 the source could not be read,"
        " 4 standard output could not be written, 128 + N stopped by signal N (130: Ctrl-C).",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this and exit")
    parser.add_argument(
        "--endpoint", metavar="SOURCE", help="follow this policy: a file, a URL or tailscale:"
    )
    parser.add_argument("--stay", action="store_true", help="keep all of it running until Ctrl-C")
    options = parser.parse_args(arguments)
    screen = Screen()
    if options.help:
        screen.write(parser.format_help())
        return ExitCode.OK
    endpoint = options.endpoint
    if endpoint is None:
        endpoint = os.environ.get(ENDPOINT_VARIABLE) or None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctsdns-quickstart-")))
        stage = Stage(stack, folder, received)
        (show_the_steps if endpoint is None else show_a_policy)(screen, stage, endpoint)
        if options.stay:
            stay(screen, stage)
    return ExitCode.OK


class Screen:
    """Standard output: in colour on a terminal, and no line is ever wrapped."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise Ended(ExitCode.OUTPUT, "cannot write standard output: it is closed")
        self._coloured = has_colour(sys.stdout)

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Show a line that is made of texts, some with a style."""
        texts = (part if isinstance(part, str) else self._styled(*part) for part in parts)
        self.write(f"{''.join(texts)}\n")

    def title(self, text: str) -> None:
        """Show a title, apart from what is above it."""
        self.line("\n", (text, "bold"))

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and self._coloured else text

    def write(self, text: str) -> None:
        """Write text as it is."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(1, data) :]
        except BrokenPipeError:  # as by "| head": nothing is to be said
            raise Ended(ExitCode.OUTPUT) from None
        except OSError as why:
            message = f"cannot write standard output: {why.strerror}"
            raise Ended(ExitCode.OUTPUT, message) from why

    def check(self) -> None:
        """Raise :class:`Ended` if nothing reads it any more."""
        poll = select.poll()
        poll.register(1, 0)
        if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
            raise Ended(ExitCode.OUTPUT)


class Stage:
    """The programs that run, and their files in a temporary folder."""

    def __init__(self, stack: ExitStack, folder: Path, received: Sequence[int]) -> None:
        self.stack, self.folder, self._received = stack, folder, received
        self.dynamic, self.policy = folder / "dynamic.yml", folder / "policy.hujson"
        self.ports: dict[str, int] = {}
        self.trial = ""
        """A command that sends a request through a route."""
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._shown: dict[str, int] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a program, which ends with the quickstart."""
        log = self.folder / f"{name}.log"
        self._programs[name] = self.stack.enter_context(running(command, log, environment))

    def check(self) -> None:
        """Raise :class:`Ended` if a signal was received, or a program is no longer there."""
        codes = {name: process.poll() for name, process in self._programs.items()}
        if self._received:  # asked for last: Ctrl-C is for the programs, too
            raise Ended(ExitCode.OK)
        for name, code in codes.items():
            if code is not None:
                why = f"{name} has ended:{self._logged(name)}"
                raise Ended(code if code > 0 else ExitCode.FINDINGS, why)

    def until(
        self,
        condition: Callable[[], T],
        complaint: str,
        within: float = PATIENCE,
        code: int = ExitCode.FINDINGS,
    ) -> T:
        """Wait until a condition holds, and return what it returned; end with a code if not."""

        def outcome() -> T:
            self.check()
            return condition()

        try:
            return until(outcome, complaint, within)
        except TimeoutError as why:
            logged = "".join(map(self._logged, self._programs))
            raise Ended(code, f"{why}{logged}") from why

    def _logged(self, name: str) -> str:
        """Return the end of what a program has logged and was not shown, for a message."""
        return "".join(f"\n  {line}" for line in self.new_lines(name)[-20:])

    def status(self) -> dict[str, Any]:
        """Return the status of watch; it is empty until there is one."""
        with suppress(FileNotFoundError):
            return dict(json.loads((self.folder / "status.json").read_text()))
        return {}

    def new_lines(self, name: str) -> list[str]:
        """Return what a program has logged since the last call: with times, but without dates."""
        text = (self.folder / f"{name}.log").read_text(errors="replace")
        begin, end = self._shown.get(name, 0), text.rfind("\n") + 1
        self._shown[name] = end
        text = text[begin:end].replace(f"{self.folder}/", "")
        return re.sub(r"^[\d-]{10}T([\d:]{8})\S*", r"\1", text, flags=re.MULTILINE).splitlines()


def show_the_steps(screen: Screen, stage: Stage, _: None = None) -> None:
    """Send a request through the first route, add an entry to the policy, and send another."""
    backend_port = stage.stack.enter_context(backend())
    text = (HERE / "policy.hujson").read_text().replace("3000", str(backend_port))
    stage.policy.write_text(text)
    stage.ports = write_static_configuration(stage.folder / "traefik.yml", stage.dynamic)
    port = stage.ports["web"]
    screen.line(("A policy entry becomes a live route", "bold"), "\n")
    show_chain(screen, "policy.hujson", f"127.0.0.1:{port}", f"127.0.0.1:{backend_port}")
    others = ("TAILSCALE_", "TRAEFIK_")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(others)},
        ACCESS_VARIABLE: str(HERE / "access.yml"),
    }
    start(stage, str(stage.policy), environment)

    stage.until(lambda: answer_of(port, FIRST), f"no answer for {FIRST}")
    version = json.loads(get(stage.ports["traefik"], "/api/version") or "{}").get("Version", "")
    screen.title(f"1  Traefik {version} serves the policy's entry")
    show_request(screen, port, FIRST)

    stage.until(lambda: "replaced" in str(stage.new_lines("watch")), "no change in watch's log")
    screen.title("2  Add an entry to the policy, and save it")
    (line,) = re.findall(rf".*{re.escape(FIRST)}\":.*\n", text)
    added = text.replace(line, line + line.replace(FIRST, SECOND))
    show_diff(screen, text, added)
    saved = time.monotonic()
    stage.policy.write_text(added)
    stage.until(lambda: answer_of(port, SECOND), f"no answer for {SECOND}")
    seconds = time.monotonic() - saved

    screen.title("3  watch has seen it")
    for logged in stage.until(lambda: stage.new_lines("watch"), "nothing in watch's log"):
        show_log_line(screen, logged)
    screen.title(f"4  The route is live, {seconds:.2f} s after the save")
    show_request(screen, port, SECOND)
    show_what_is_next(screen)


def show_a_policy(screen: Screen, stage: Stage, endpoint: str) -> None:
    """Follow a source, and show what Traefik makes of its routes."""
    stage.ports = write_static_configuration(stage.folder / "traefik.yml", stage.dynamic)
    screen.line(("Your policy in a real Traefik", "bold"), "\n")
    show_chain(screen, "your policy", f"127.0.0.1:{stage.ports['web']}", "your services")
    screen.title("watch's log")
    start(stage, endpoint, {ACCESS_VARIABLE: str(HERE / "access.yml"), **os.environ})
    await_policy(screen, stage)
    written = json.loads(stage.dynamic.read_text())
    names = {f"{name}@file" for section in written.values() for name in section.get("routers", ())}
    stage.until(
        lambda: names <= {router["name"] for router in routers(stage.ports["traefik"])},
        "Traefik has not loaded the routes",
    )
    screen.title(f"Traefik's routes: {len(names) or f'none; write an entry such as {ENTRY}'}")
    for router in routers(stage.ports["traefik"]):
        if router["name"] in names:
            state = "; ".join([router["status"], *router.get("error", [])])
            rule = f"{','.join(router['entryPoints'])}: {router.get('rule', 'UDP')}: "
            screen.line("  ", rule, (state, STATES.get(router["status"], "")))
            stage.trial = stage.trial or trial_of(router, stage.ports)


def await_policy(screen: Screen, stage: Stage) -> None:
    """Show watch's log until it has applied a policy, or says that none came."""
    begun, silent = time.monotonic(), True

    def has_policy() -> bool:
        nonlocal silent
        for line in stage.new_lines("watch"):
            show_log_line(screen, line)
        if silent and time.monotonic() > begun + NOTICE:
            silent = False
            screen.line((f"  waiting for the first policy, {LONGEST} s at most", "dim"))
        status = stage.status()
        error = status.get("last_error") or {}
        if not status.get("last_snapshot") and error.get("reason"):
            raise Ended(ExitCode.SOURCE, error["message"])
        return bool(status.get("last_applied"))

    stage.until(has_policy, "no policy came", LONGEST, ExitCode.SOURCE)


def trial_of(router: dict[str, Any], ports: dict[str, int]) -> str:
    """Return a command that sends a request through a router, if it serves one name by HTTP."""
    name, entrypoint = (
        re.match(r"Host\(`(.+?)`\)", router.get("rule", "")),
        router["entryPoints"][0],
    )
    if not name or entrypoint not in ports:
        return ""
    scheme = "http" if entrypoint == "web" else "https"
    return f"curl -k --connect-to ::127.0.0.1:{ports[entrypoint]} {scheme}://{name[1]}/"


def start(stage: Stage, endpoint: str, environment: dict[str, str]) -> None:
    """Start watch on an endpoint and, once it has made the file, Traefik."""
    traefik = [find_traefik(), f"--configFile={stage.folder / 'traefik.yml'}"]
    watch = [sys.executable, "-m", "ctsdns_traefik", "watch", "--endpoint", endpoint]
    watch += ["-o", str(stage.dynamic), "--format=json", "--log-format=text"]
    watch += ["--status-file", str(stage.folder / "status.json")]
    stage.start("watch", watch, environment)
    stage.until(stage.dynamic.exists, "watch has not created the dynamic file")
    stage.start("Traefik", traefik, dict(os.environ))


def show_chain(screen: Screen, policy: str, traefik: str, services: str) -> None:
    """Show what a policy passes on its way to the services: side by side if there is room."""
    places = {"source": policy, "watch": "dynamic.yml", "Traefik": traefik, "backend": services}
    widths = [len(address) + 2 for address in places.values()]
    if len("   ".join("│" * (width + 2) for width in widths)) > shutil.get_terminal_size().columns:
        for name, address in places.items():
            screen.line((f"{name:9}", "cyan"), address)
        return
    heads = (f" {name} ".ljust(width - 1, "─") for name, width in zip(places, widths, strict=True))
    screen.line(("   ".join(f"╭─{head}╮" for head in heads), "cyan"))
    middle: list[str | tuple[str, str]] = []
    for address in places.values():
        middle += [(" │──▶│ " if middle else "│ ", "cyan"), address]
    screen.line(*middle, (" │", "cyan"))
    screen.line(("   ".join(f"╰{'─' * width}╯" for width in widths), "cyan"))


def show_request(screen: Screen, port: int, name: str) -> None:
    """Send one request through Traefik and show it with its answer."""
    screen.line(("  $ ", "dim"), f"curl -H 'Host: {name}' http://127.0.0.1:{port}/")
    screen.line("  ", (answer_of(port, name) or "no answer", "green"))


def show_diff(screen: Screen, before: str, after: str) -> None:
    """Show what is added and removed, with a line of context."""
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    for line in list(diff)[3:]:
        style = {"+": "green", "-": "red"}.get(line[0], "dim")
        screen.line((f"  {line[0]} {line[1:].expandtabs(2)}", style))


def show_log_line(screen: Screen, line: str) -> None:
    """Show a line of watch's log; the colour is the severity."""
    at, level, message = (*line.split(" ", 2), "", "")[:3]
    screen.line("  ", (at, "dim"), " ", (level, LEVELS.get(level, "dim")), " ", message)


def show_what_is_next(screen: Screen) -> None:
    """Show three commands for the reader's own policy."""
    command = Path(sys.executable).with_name("ctsdns-traefik")
    program = from_here(command) if command.exists() else command.name
    again = [from_here(Path(sys.executable)), from_here(Path(sys.argv[0]))]
    screen.title("Next: save your own policy as policy.hujson here")
    for purpose, words in {
        "what Traefik would do with it": [program, "validate", "policy.hujson"],
        "the routes that Traefik gets": [program, "render-once", "policy.hujson"],
        "live, while you edit it": [*again, "--stay", "--endpoint", "policy.hujson"],
    }.items():
        screen.line("  ", (f"# {purpose}", "dim"), f"\n  {shlex.join(words)}")


def from_here(path: Path) -> str:
    """Return a path as a command in the current folder names it."""
    with suppress(ValueError):
        path = path.absolute().relative_to(Path.cwd())
    return str(path) if len(path.parts) > 1 else f"./{path}"


def stay(screen: Screen, stage: Stage) -> NoReturn:
    """Show what watch logs, until a signal comes."""
    if stage.policy.exists():
        screen.title("Running until Ctrl-C; edit and save this policy, and see the routes follow:")
        screen.line(f"  {stage.policy}")
    else:
        screen.title("Running until Ctrl-C; edit and save the policy, and see the routes follow.")
    if stage.trial:
        screen.line(("  $ ", "dim"), stage.trial)
    screen.line(f"  Traefik's dashboard: http://127.0.0.1:{stage.ports['traefik']}/dashboard/\n")
    while True:
        for line in stage.new_lines("watch"):
            show_log_line(screen, line)
        stage.check()
        screen.check()
        time.sleep(0.1)


def routers(port: int) -> list[dict[str, Any]]:
    """Ask Traefik's API for all its routers."""
    return [
        router
        for kind in ("http", "tcp", "udp")
        for router in json.loads(get(port, f"/api/{kind}/routers?per_page=10000") or "[]")
    ]


def answer_of(port: int, name: str) -> str | None:
    """Return the body that Traefik answers with for a host name, ``None`` unless it is a 200."""
    return get(port, "/", {"Host": name})


def get(port: int, path: str, headers: dict[str, str] | None = None) -> str | None:
    """Return the body of a 200 answer from 127.0.0.1."""
    with (
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        suppress(OSError, http.client.HTTPException),
    ):
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        if response.status == http.HTTPStatus.OK:
            return response.read().decode().strip()
    return None


@contextmanager
def backend() -> Iterator[int]:
    """Run a small HTTP backend; give its port."""

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"Hello from the backend: you asked for {self.headers['Host']}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    (port,) = free_ports(1)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Hello) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield port
        finally:
            server.shutdown()
