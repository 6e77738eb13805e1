"""What a sandbox's connections lead to, at whatever address: each service on its port. All that
arrives is written to `log`, as `ADDRESS PORT`, or `name NAME` for a question to the resolver."""

import hashlib
import http.server
import io
import os
import socket
import ssl
import sys
import threading
import zipfile

here = os.path.dirname(os.path.abspath(__file__))
log = open(os.path.join(here, "log"), "a", buffering=1)


def listen(port, kind=socket.SOCK_STREAM):
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        server.listen(512)
    return server


def arrived(connection):
    address, port = connection.getsockname()[:2]
    log.write(f"{address.removeprefix('::ffff:')} {port}\n")


def serve(port, handle):
    def accept(server):
        while True:
            connection, _ = server.accept()
            arrived(connection)
            threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection):
        try:
            with connection:
                handle(connection)
        except OSError:
            pass

    threading.Thread(target=accept, args=(listen(port),), daemon=True).start()


def greet(connection):
    """Says at once who was reached."""
    address, port = connection.getsockname()[:2]
    connection.sendall(f"{address.removeprefix('::ffff:')} {port}".encode())


def digest(connection):
    """Reads to the end, and only then answers: with length and digest."""
    length, sha = 0, hashlib.sha256()
    while data := connection.recv(1 << 16):
        length += len(data)
        sha.update(data)
    connection.sendall(f"{length} {sha.hexdigest()}".encode())


def pour(connection):
    """Sends without end."""
    while True:
        connection.sendall(b"x" * (1 << 16))


def swallow(connection):
    """Reads without end, and writes down how much."""
    length = 0
    try:
        while data := connection.recv(1 << 20):
            length += len(data)
    finally:
        log.write(f"swallowed {length}\n")


def hold(connection):
    """Greets, and waits for the other side."""
    greet(connection)
    connection.recv(1)


def wheel():
    """A package for pip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("greeting.py", "TEXT = 'hello from a package'\n")
        info = "greeting-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "greeting.py,,\n")
    return packed.getvalue()


NAME = "greeting-1.0-py3-none-any.whl"
PAGES = {
    "/": b"hello",
    "/simple/greeting/": f'<a href="/{NAME}">{NAME}</a>'.encode(),
    f"/{NAME}": wheel(),
}


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        page = PAGES.get(self.path)
        self.send_response(200 if page else 404)
        kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page or b"")))
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *_):
        pass


def pages(connection):
    Pages(connection, connection.getpeername(), None)


def secret_pages(connection):
    with tls.wrap_socket(connection, server_side=True) as wrapped:
        Pages(wrapped, wrapped.getpeername(), None)


def resolver():
    """Knows no name, and writes down each that is asked for."""
    server = listen(53, socket.SOCK_DGRAM)
    # Answers come from where they were asked for.
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    while True:
        query, control, _, client = server.recvmsg(4096, 256)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        log.write(f"name {'.'.join(labels).lower()}\n")
        answer = query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12 : at + 5]
        server.sendmsg([answer], control, 0, client)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(os.path.join(here, "certificate.pem"), os.path.join(here, "key.pem"))
services = {80: pages, 443: secret_pages, 7: digest, 9: swallow, 13: greet, 17: hold, 19: pour}
for port, handle in services.items():
    serve(port, handle)
threading.Thread(target=resolver, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
