"""What stands behind a front in tests, as a program: the web interface, and the API by TLS.

It answers with what it was asked. ``/stream`` says a word a second for as long as somebody listens, ``/old`` that the
connection is too old for what it asks. ``/second`` is answered once over a connection, which ends with the next one;
``/breaks`` never is.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Requests that ended with their connection, by path.
BROKEN: Counter[str] = Counter()


class Mirror(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Begin to count the connection's requests."""
        super().setup()
        self._requests = 0

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._requests += 1
        if self.path.endswith("/stream"):
            self._stream()
            return
        if self.path.endswith("/breaks") or (self.path.endswith("/second") and self._requests > 1):
            BROKEN[self.path] += 1
            self.close_connection = True
            return
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": len(body),
            "broken": BROKEN,
            "port": self.connection.getsockname()[1],
        }
        content = json.dumps(told).encode()
        self.send_response(421 if self.path.endswith("/old") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(60):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(1)
        self.close_connection = True

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Secure(ThreadingHTTPServer):
    """Reads its certificate for each connection, as the API does."""

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(("127.0.0.1", port), Mirror)
        self._directory = directory

    def handle_error(self, *_words: object) -> None:
        """Say nothing of clients that went away, or that did not like the certificate."""

    def finish_request(self, request, client_address) -> None:
        """Speak TLS within the connection's own thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / "tls.crt", self._directory / "tls.key")
        super().finish_request(context.wrap_socket(request, server_side=True), client_address)


def main() -> None:
    """Serve until it is killed: ``upstream.py WEB_PORT API_PORT DIRECTORY``."""
    web, api, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    threading.Thread(target=Secure(api, directory).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", web), Mirror).serve_forever()


if __name__ == "__main__":
    main()
