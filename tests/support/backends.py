"""Backends on loopback addresses, each naming itself in what it says."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def http_backend(
    name: str, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[int]:
    """Answer every HTTP request with a name; give the port, any free one unless it is named."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server((address, port), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def banner_backend(banner: bytes, address: str = "127.0.0.1") -> Iterator[int]:
    """Speak first, as SSH and MySQL servers do, then echo; give the port."""
    listener = socket.create_server((address, 0), family=_family(address))

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(60)
            connection.sendall(banner)
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def udp_backend(name: bytes, address: str = "127.0.0.1") -> Iterator[int]:
    """Answer every datagram with a name and what came; give the port."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                data, sender = listener.recvfrom(65_536)
                if data == _END:
                    return
                with suppress(OSError):
                    listener.sendto(name + data, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield port
        finally:
            with socket.socket(_family(address), socket.SOCK_DGRAM) as last:
                last.sendto(_END, (address, port))
            thread.join(5)


_END = b"\x00end of the backend"


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
