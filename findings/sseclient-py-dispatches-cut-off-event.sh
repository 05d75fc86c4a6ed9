#!/usr/bin/env bash
# sseclient-py hands over an event that the end of the connection cut off.
#
# Seen with sseclient-py 1.9.0 and requests 2.34.2. The standard has a client discard an event whose closing blank line
# has not come when the stream ends. sseclient-py dispatches what it has, as an event like any other: of a document sent
# as several data lines the reader gets the first lines and cannot tell, where these alone are good in themselves. A
# server that ends its answer between two lines, as on a restart, is enough (here without chunks, as in HTTP/1.0, so that
# requests raises no error). So only bytes up to the last blank line may reach it.
#
# event 1: 'hosts:\n  one: 192.0.2.1\n  two: 192.0.2.2'
# event 2: 'hosts:\n  one: 192.0.2.1'
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet requests==2.34.2 sseclient-py==1.9.0
cd "$work"
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import http.server, sys, threading
import requests, sseclient

class Stream(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: hosts:\ndata:   one: 192.0.2.1\ndata:   two: 192.0.2.2\n\n")
        self.wfile.write(b"data: hosts:\ndata:   one: 192.0.2.1\n")

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
threading.Thread(target=server.serve_forever, daemon=True).start()
with requests.get(f"http://127.0.0.1:{server.server_port}/", stream=True, timeout=10) as response:
    events = [event.data for event in sseclient.SSEClient(response).events()]
for number, each in enumerate(events, 1):
    print(f"event {number}: {each!r}")
sys.exit(events != ["hosts:\n  one: 192.0.2.1\n  two: 192.0.2.2", "hosts:\n  one: 192.0.2.1"])
PYTHON
