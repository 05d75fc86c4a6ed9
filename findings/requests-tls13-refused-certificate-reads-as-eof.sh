#!/usr/bin/env bash
# A TLS 1.3 server that refuses a client's certificate names the reason, and requests reports "EOF occurred" instead.
#
# Seen with requests 2.34.2, urllib3 2.8.0 and Python 3.11's ssl (OpenSSL 3.0). In TLS 1.3 the client's side of the
# handshake is complete before the server has judged the client's certificate, so the refusal comes while the request is
# sent. A GET is often quicker and gets the reason; a write after the refusal, here of a body, fails with SSLEOFError,
# which urllib3 passes on, though it reads on after a BrokenPipeError. The alert that says what is wrong has arrived all
# the same: one read from the same socket raises it. In TLS 1.2, whose handshake fails, requests reports the alert.
#
# requests, TLSv1_2: SSLV3_ALERT_HANDSHAKE_FAILURE
# requests, TLSv1_3: EOF occurred in violation of protocol
# a read after the failed write: TLSV13_ALERT_CERTIFICATE_REQUIRED
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet requests==2.34.2 urllib3==2.8.0
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 \
  -subj "/CN=localhost" -addext "subjectAltName=IP:127.0.0.1" 2>/dev/null
timeout 60 "$work/venv/bin/python" - <<'PYTHON'
import contextlib, socket, ssl, sys, threading, time
import requests

def serve(version):
    """Demand a certificate that no client here has; return the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("certificate.pem", "key.pem")
    context.load_verify_locations("certificate.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), connection:
                context.wrap_socket(connection, server_side=True).close()

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1]

def body():
    time.sleep(0.5)  # the refusal comes first
    yield b"x"

def by_requests(port):
    try:
        requests.post(f"https://127.0.0.1:{port}/", data=body(), verify="certificate.pem", timeout=10)
    except requests.exceptions.SSLError as error:
        cause = error.args[0].reason.args[0]
        return cause.reason or cause.strerror.partition(" (")[0]

def by_hand(port):
    context = ssl.create_default_context(cafile="certificate.pem")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            time.sleep(0.2)
            with contextlib.suppress(ssl.SSLEOFError, BrokenPipeError, ConnectionResetError):
                connection.send(b"GET / HTTP/1.1\r\n\r\n")
            try:
                connection.recv(1)
            except ssl.SSLError as error:
                return error.reason

older, newer = serve(ssl.TLSVersion.TLSv1_2), serve(ssl.TLSVersion.TLSv1_3)
before, after, read = by_requests(older), by_requests(newer), by_hand(newer)
print("requests, TLSv1_2:", before)
print("requests, TLSv1_3:", after)
print("a read after the failed write:", read)
sys.exit((before, after, read) != ("SSLV3_ALERT_HANDSHAKE_FAILURE", "EOF occurred in violation of protocol",
                                   "TLSV13_ALERT_CERTIFICATE_REQUIRED"))
PYTHON
