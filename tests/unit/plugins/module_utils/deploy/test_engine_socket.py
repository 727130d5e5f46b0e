"""An engine that answers on its socket, or does not."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.engine_socket import answers, list_containers


@pytest.fixture
def server(tmp_path):
    """An HTTP server on a Unix socket that answers like an engine, and notes what was requested."""
    requested = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            body = b"OK" if self.path == "/_ping" else json.dumps([{"Id": "abc", "Ports": []}]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "socket"

        def log_message(self, *_unused):
            pass

    with socketserver.UnixStreamServer(str(tmp_path / "s"), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield str(tmp_path / "s"), requested
        listener.shutdown()
        thread.join()


def test_an_engine_is_queried_in_its_own_words(server):
    path, requested = server
    assert answers(path)
    assert list_containers(path, "a=b") == [{"Id": "abc", "Ports": []}]
    assert requested == ["/_ping", "/containers/json?filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D"]


def test_no_engine_has_no_containers(tmp_path):
    path = str(tmp_path / "none")
    assert not answers(path)
    assert list_containers(path, "a=b") == []
