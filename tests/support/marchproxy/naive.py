"""The least that may be written of the documented API: a handler of ``POST`` that parses before it looks at a key.

Unlike the other two it answers no ``GET``, and breaks down on what it did not expect, as http.server does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class NaiveServer(HTTPServer):
    """The server.

    Attributes:
        key: The cluster's key.
        url: Its address.
        posts: Body of every ``POST``, in order, whoever sent it.
        services: What was imported, by name.
    """

    def __init__(self, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.url = key, f"http://127.0.0.1:{self.server_address[1]}"
        self.posts: list[Any] = []
        self.services: dict[str, Any] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing; the client sees its connection dropped."""


class _Handler(BaseHTTPRequestHandler):
    server: NaiveServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append(body)
        allowed = self.headers["Authorization"] == f"Bearer {self.server.key}"
        if allowed:
            self.server.services |= {service["name"]: service for service in body["services"]}
        self.send_response(200 if allowed else 401)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the posts are the log."""


@contextmanager
def naive_server(key: str) -> Iterator[NaiveServer]:
    """Let such a server answer on a free port of the loopback while the body runs."""
    with NaiveServer(key) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
