"""The main job on one machine: a policy entry becomes a live route in a real Traefik.

    python run.py [--endpoint SOURCE] [--stay]

Starts a stand-in for Tailscale's API that serves a copy of policy.hujson, one HTTP backend, Traefik
with the example's static configuration, and ``ctsdns-traefik watch`` with access.yml, which polls
the API as an OAuth client; sends a request through Traefik, edits the policy, and sends a request
through the new route. All on free ports of 127.0.0.1; nothing is left behind.

With --endpoint, or TRAEFIK_CONFIG_API_ENDPOINT set, it follows that source instead, be it a policy
of your own in a file, ``tailscale:`` or a URL, and shows what Traefik makes of its routes. All are
open to the tailnet alone, unless TRAEFIK_ACCESS_FILE names another access file. --stay keeps all of
it running until Ctrl-C, and shows what watch logs.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from local import find_traefik, running, until, write_static_configuration
from stand_in_tailscale import StandInTailscale

HERE = Path(__file__).resolve().parent
ENDPOINT_VARIABLE = "TRAEFIK_CONFIG_API_ENDPOINT"
ACCESS_VARIABLE = "TRAEFIK_ACCESS_FILE"
INTERVAL = 5
"""Seconds between two polls; 30 are the default, and 5 the least for Tailscale's API."""


def main() -> int:
    """Run the quickstart; return its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description="Show a policy entry become a live route.")
    parser.add_argument("--endpoint", metavar="SOURCE", help="follow this instead of a stand-in")
    parser.add_argument("--stay", action="store_true", help="keep all of it running until Ctrl-C")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctsdns-quickstart-")))
        try:
            ports = run(stack, folder, arguments.endpoint or os.environ.get(ENDPOINT_VARIABLE))
            if arguments.stay:
                print(f"\nThe dashboard: http://127.0.0.1:{ports['traefik']}/dashboard/")
                print("Running until Ctrl-C.", flush=True)
                show_log(folder / "watch.log")
        except (TimeoutError, FileNotFoundError) as why:
            print(f"\nFailed: {why}\n")
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()}")
            return 1
        except KeyboardInterrupt:
            print()
    print("\nStopped cleanly; nothing is left behind.")
    return 0


def run(stack: ExitStack, folder: Path, endpoint: str | None) -> dict[str, int]:
    """Start everything in a folder and go through the steps; return the entrypoints' ports."""
    policy, dynamic = folder / "policy.hujson", folder / "dynamic.yml"
    environment = {ACCESS_VARIABLE: str(HERE / "access.yml"), **os.environ}
    if not endpoint:
        backend_port = stack.enter_context(backend())
        text = (HERE / "policy.hujson").read_text().replace("_http_3000.", f"_http_{backend_port}.")
        policy.write_text(text)
        environment = settings_for(stack.enter_context(StandInTailscale(policy)))
        print("A stand-in for Tailscale's API serves the policy's entry:\n")
        print("   ", next(line.strip() for line in text.splitlines() if '"_web' in line))
    watch = [
        sys.executable,
        "-m",
        "ctsdns_traefik",
        "watch",
        "--endpoint",
        endpoint or "tailscale:",
    ]
    watch += ["-o", str(dynamic), "--format=json"]
    watching = stack.enter_context(running(watch, folder / "watch.log", environment))
    until(
        lambda: dynamic.exists() or watching.poll() is not None,
        "ctsdns-traefik did not create the dynamic file",
    )
    ports = write_static_configuration(folder / "traefik.yml", dynamic)
    traefik = [find_traefik(), f"--configFile={folder / 'traefik.yml'}"]
    stack.enter_context(running(traefik, folder / "traefik.log", dict(os.environ)))
    if endpoint:
        show_routes(ports["traefik"], dynamic, watching)
    else:
        show_requests(ports["web"], policy)
    return ports


def settings_for(tailscale: StandInTailscale) -> dict[str, str]:
    """Return the environment of a watch that polls the stand-in, without settings of the user's."""
    others = ("TAILSCALE_", "TRAEFIK_CONFIG_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(others)},
        **tailscale.environment,
        ACCESS_VARIABLE: str(HERE / "access.yml"),  # another could refuse what is asked for below
        "TRAEFIK_CONFIG_POLL_INTERVAL_SECONDS": str(INTERVAL),
    }


def show_requests(port: int, policy: Path) -> None:
    """Send a request through the first route, add an entry to the policy, and send another."""
    until(lambda: answer_of(port, "app.example.com"), "no answer for app.example.com")
    show_request(port, "app.example.com")
    print("\nNow the policy gets a second entry, new.example.com.", flush=True)
    lines = policy.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if '"_web' in line)
    lines.insert(at, lines[at].replace("app.example.com", "new.example.com"))
    edited = time.monotonic()
    policy.write_text("".join(lines))
    until(lambda: answer_of(port, "new.example.com"), "no answer for new.example.com")
    print(f"Live after {time.monotonic() - edited:.2f} s (the API is polled every {INTERVAL} s).")
    show_request(port, "new.example.com")


def show_request(port: int, name: str) -> None:
    """Send one request through Traefik and show it with its answer."""
    print(f"\n    $ curl -H 'Host: {name}' http://127.0.0.1:{port}/")
    print("   ", answer_of(port, name), flush=True)


def show_routes(port: int, dynamic: Path, watching: subprocess.Popen[bytes]) -> None:
    """Wait for the source's first policy, and show Traefik's view of its routes."""
    print("Following the source that is set; waiting for its first policy.", flush=True)
    until(
        lambda: watching.poll() is not None or dynamic.read_text().strip() != "{}",
        "no policy with routes came",
    )
    if watching.poll() is not None:
        raise TimeoutError("ctsdns-traefik has ended")
    written = json.loads(dynamic.read_text())
    names = {f"{name}@file" for section in written.values() for name in section["routers"]}
    until(
        lambda: names <= {router["name"] for router in routers(port)}, "Traefik has not loaded it"
    )
    for router in routers(port):
        if router["name"] in names:
            status = "; ".join([router["status"], *router.get("error", [])])
            print(f"    {','.join(router['entryPoints'])}: {router['rule']}: {status}")


def show_log(log: Path) -> None:
    """Show what is logged from now on, for ever."""
    with log.open() as lines:
        lines.seek(0, os.SEEK_END)
        while True:
            print(lines.read(), end="", flush=True)
            time.sleep(0.2)


def routers(port: int) -> list[dict[str, Any]]:
    """Ask Traefik's API for its HTTP and TCP routers."""
    return [
        router
        for kind in ("http", "tcp")
        for router in json.loads(get(port, f"/api/{kind}/routers?per_page=10000") or "[]")
    ]


def answer_of(port: int, name: str) -> str | None:
    """Return the body that Traefik answers with for a host name, ``None`` unless it is a 200."""
    return get(port, "/", {"Host": name})


def get(port: int, path: str, headers: dict[str, str] | None = None) -> str | None:
    """Return the body of a 200 answer from 127.0.0.1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
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

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
