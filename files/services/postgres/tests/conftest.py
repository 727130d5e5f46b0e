"""A server for each test."""

from __future__ import annotations

import signal

import pytest
from server import Server, free_port


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path, free_port())
    server.prepare()
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGQUIT)
