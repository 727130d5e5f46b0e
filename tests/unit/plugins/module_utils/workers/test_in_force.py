"""That go-backend follows its file: a service and an engine of these tests' own speak for them over real sockets."""

from __future__ import annotations

import hashlib
import http.server
import json
import socketserver
import threading
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Impossible, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.in_force import InForce

FILE = "/etc/tripod/workers/workers.json"
ROWS = [{"name": "edge", "nic": "ens1", "queue": 2, "mode": "copy", "cpu": 3}]


class Backend:
    """What go-backend would say, and what a signal makes of it.

    Attributes:
        refuses: Its words for a file that it does not take; empty for one that it does.
        deaf: Whether signals do nothing.
    """

    def __init__(self, root):
        self.host = Host(root)
        self.host.path(FILE).parent.mkdir(parents=True)
        self.host.path(FILE).write_text('{"workers": []}')
        self.said: dict[str, Any] | None = {"file_sha256": "", "fault": "", "workers": []}
        self.signals = []
        self.refuses, self.deaf = "", False
        self.socket = str(root / "engine.sock")
        self.port = 0

    @property
    def digest(self):
        return hashlib.sha256(self.host.path(FILE).read_bytes()).hexdigest()

    def signal(self, path):
        self.signals.append(path)
        if not self.deaf:
            self.said = {"file_sha256": self.digest, "fault": self.refuses, "workers": [] if self.refuses else ROWS}

    def resource(self):
        return InForce(FILE, "tripod-go-backend", "127.0.0.1", self.port, timeout=0.5, socket=self.socket)

    def bring(self, check=False):
        return converge(self.resource(), None, self.host, check=check)


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def backend(tmp_path):
    made = Backend(tmp_path)

    class Health(_Quiet):
        def do_GET(self):
            if self.path == "/workers" and made.said is not None:
                self.answer(200, json.dumps(made.said).encode())
            else:
                self.answer(404)

    class Engine(_Quiet):
        def address_string(self):
            return "engine"

        def do_POST(self):
            made.signal(self.path)
            self.answer(204)

    health = http.server.HTTPServer(("127.0.0.1", 0), Health)
    made.port = health.server_address[1]
    with serving(health), serving(socketserver.UnixStreamServer(made.socket, Engine)):
        yield made


def test_it_follows_once_and_is_right_from_then_on(backend):
    predicted = backend.bring(check=True)
    assert backend.signals == []
    outcome = backend.bring()
    assert [change.path for change in predicted.changes] == [change.path for change in outcome.changes]
    assert backend.signals == ["/containers/tripod-go-backend/kill?signal=HUP"]
    assert outcome.state.serving.workers == ROWS
    assert backend.bring().changes == []
    assert len(backend.signals) == 1


def test_a_file_that_it_refuses_fails_in_its_own_words_each_time(backend):
    backend.refuses = "worker edge: queue 2 of ens1 is taken"
    for _round in range(2):
        with pytest.raises(ApplyFailed, match="goes on as before: worker edge: queue 2 of ens1 is taken"):
            backend.bring()
    backend.refuses = ""
    assert backend.bring().changes


def test_one_that_does_not_listen_is_given_up(backend):
    backend.deaf = True
    with pytest.raises(ApplyFailed, match=r"has not read it within 0.5 s of SIGHUP: see its log"):
        backend.bring()


def test_one_of_an_earlier_release_is_named(backend):
    backend.said = None
    with pytest.raises(
        Impossible, match="says 404, and nothing of workers: bring the image of go-backend to this release"
    ):
        backend.bring()


def test_one_that_is_not_there_is_named(tmp_path):
    gone = Backend(tmp_path)
    gone.port = 1
    with pytest.raises(Impossible, match=r"does not answer at http://127\.0\.0\.1:1/workers"):
        gone.bring()


def test_one_that_was_started_without_a_file_has_no_workers(backend):
    assert not backend.resource().has_workers()
    backend.said["fault"] = "worker edge: it is not started yet"
    assert backend.resource().has_workers()
    backend.said = None
    assert not backend.resource().has_workers()


def test_a_signal_needs_an_engine(backend):
    backend.socket += ".gone"
    with pytest.raises(ApplyFailed, match="SIGHUP to tripod-go-backend: no engine answers"):
        backend.bring()
