"""The policy's socket: a real one, with a handler that does what the test needs."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import threading
import time
from contextlib import closing, suppress

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_server
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_client import call
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Conflict, Forbidden
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_server import Bounds, Peer, Server
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Impossible, Invalid


class Served:
    def __init__(self, folder, handle, **bounds):
        self.path, self.seen, self._handle = str(folder / "run" / "policy.sock"), [], handle
        self._ended = threading.Event()
        users = bounds.pop("users", [os.getuid()])
        self._server = Server(self.path, os.getgid(), users, self.handle, Bounds(**bounds))
        self._thread = threading.Thread(target=self._server.run, args=(self._ended,))
        self._thread.start()

    def handle(self, request, peer):
        self.seen.append((request, peer))
        return self._handle(request, peer) or {}

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(self.path)
        return connection

    def end(self):
        self._ended.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(handle=lambda request, peer: {}, **bounds):
        started.append(Served(tmp_path, handle, **bounds))
        return started[-1]

    yield start
    for one in started:
        one.end()


def answer(connection):
    received = b""
    while not received.endswith(b"\n"):
        chunk = connection.recv(1 << 16)
        if not chunk:
            return json.loads(received) if received else None
        received += chunk
    return json.loads(received)


def ask(connection, content):
    with suppress(BrokenPipeError):  # refused before it was read; the answer says why
        connection.sendall(content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n")
    return answer(connection)


def test_a_request_is_carried_out_for_the_peer_that_the_kernel_names(serve):
    served = serve(lambda request, peer: {"op": request.op})
    assert call(served.path, "status") == {"op": "status"}
    assert served.seen[0][1] == Peer(os.getpid(), os.getuid(), os.getgid())


def test_the_socket_is_for_its_group_alone(serve):
    served = serve()
    modes = [stat.S_IMODE(os.stat(one).st_mode) for one in (served.path, os.path.dirname(served.path))]
    assert modes == [0o660, 0o750]


def test_requests_of_a_connection_are_answered_in_order(serve):
    served = serve(lambda request, peer: {"op": request.op})
    with closing(served.connect()) as connection:
        connection.sendall(b'{"id":1,"op":"status"}\n{"id":2,"op":"slots"}\n{"id":3,"op":"sta')
        connection.sendall(b'tus"}\n')
        received = b""
        while received.count(b"\n") < 3:
            received += connection.recv(1 << 16)
    answers = [json.loads(one) for one in received.splitlines()]
    assert [(one["id"], one["result"]["op"]) for one in answers] == [(1, "status"), (2, "slots"), (3, "status")]


def test_another_user_is_not_let_in(serve, monkeypatch):
    served = serve()
    monkeypatch.setattr(policy_server, "_peer", lambda connection: Peer(1, 4242, 4242))
    with pytest.raises(Forbidden, match="user 4242 may not speak about policies"):
        call(served.path, "status")
    assert served.seen == []


def test_what_is_refused_keeps_its_kind_and_the_connection(serve):
    def handle(request, peer):
        raise Conflict("revision 2 is in force", reasons=["a", "b"])

    served = serve(handle)
    with pytest.raises(Conflict) as caught:
        call(served.path, "status")
    assert caught.value.facts["reasons"] == ["a", "b"]
    with closing(served.connect()) as connection:
        assert ask(connection, b"nonsense\n")["error"]["kind"] == "invalid"
        assert ask(connection, {"id": 5, "op": "status"})["id"] == 5


def test_a_fault_of_the_agent_is_answered_without_its_insides(serve, caplog):
    served = serve(lambda request, peer: 1 / 0)
    with pytest.raises(CoreError, match="the request failed in the agent; its log has the reason"):
        call(served.path, "status")
    assert "division by zero" in caplog.text
    assert call(serve_ok(served), "status") == {}


def serve_ok(served):
    served._handle = lambda request, peer: {}
    return served.path


def test_a_user_has_so_many_connections(serve):
    served = serve(connections=2)
    held = [served.connect() for _number in range(2)]
    assert ask(held[0], {"op": "status"})["ok"]
    assert ask(held[1], {"op": "status"})["ok"]
    with closing(served.connect()) as third:
        refused = answer(third)
    assert refused["error"]["kind"] == "busy"
    assert "has 2 connections, all that it may: close one" in refused["error"]["message"]
    held.pop().close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with closing(served.connect()) as again:
            if ask(again, {"op": "status"})["ok"]:
                break
    else:
        raise AssertionError("the place of a closed connection was not given back")
    held.pop().close()


def test_a_user_makes_so_many_requests_a_second(serve):
    served = serve(rate=1.0, burst=5.0)
    with closing(served.connect()) as connection:
        kinds = [ask(connection, {"op": "status"}).get("error", {}).get("kind") for _number in range(7)]
    assert kinds == [None] * 5 + ["busy"] * 2


def test_a_request_that_is_too_long_is_refused_and_read_no_further(serve, monkeypatch):
    monkeypatch.setattr(policy_server, "SMALL_BYTES", 1 << 10)
    monkeypatch.setattr(policy_server, "REQUEST_BYTES", 1 << 18)
    served = serve()
    document = {"lists": [{"name": "a", "prefixes": ["10.0.0.0/8"] * 100_000}]}
    with pytest.raises(Invalid, match="the request is longer than 262144 bytes"):
        call(served.path, "put", policy="edge", document=document)
    assert served.seen == []


def test_one_large_request_at_a_time(serve, monkeypatch):
    monkeypatch.setattr(policy_server, "SMALL_BYTES", 1 << 10)
    begun, go_on = threading.Event(), threading.Event()

    def handle(request, peer):
        if request.op == "put":
            begun.set()
            assert go_on.wait(10)

    served = serve(handle, patience=0.2)
    document = {"lists": [{"name": "a", "prefixes": ["10.0.0.0/8"] * 20_000}]}
    large = {"op": "put", "policy": "edge", "document": document}
    with closing(served.connect()) as first, closing(served.connect()) as second, closing(served.connect()) as small:
        first.sendall(json.dumps(large).encode() + b"\n")
        assert begun.wait(10)
        second.sendall(json.dumps(large).encode()[:200_000])
        assert answer(second)["error"]["kind"] == "busy"
        assert ask(small, {"op": "status"})["ok"], "small requests do not wait"
        go_on.set()
        assert answer(first)["ok"]


@pytest.mark.parametrize("begin", [b"", b'{"op": "sta'])
def test_a_client_that_says_nothing_more_is_left(serve, begin):
    served = serve(idle=0.3, transfer=0.3, connections=1)
    with closing(served.connect()) as silent:
        silent.sendall(begin)
        begun = time.monotonic()
        assert silent.recv(1) == b""
        assert 0.2 < time.monotonic() - begun < 5
    assert call(served.path, "status") == {}


def test_a_client_that_drips_has_no_more_time_than_one_that_is_silent(serve):
    served = serve(idle=5, transfer=0.5)
    with closing(served.connect()) as slow:
        begun = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(slow, 5)
        assert time.monotonic() - begun < 3


def drip(connection, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(b" ")
        time.sleep(0.05)


def test_a_client_that_does_not_read_is_left(serve):
    served = serve(lambda request, peer: {"text": "x" * (8 << 20)}, transfer=0.5, connections=1)
    with closing(served.connect()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b'{"op":"status"}\n')
        time.sleep(1.5)
    served._handle = lambda request, peer: {}
    assert call(served.path, "status") == {}


def test_an_answer_that_is_too_long_is_an_error(serve, monkeypatch):
    monkeypatch.setattr(policy_server, "ANSWER_BYTES", 100)
    served = serve(lambda request, peer: {"text": "x" * 1000})
    with pytest.raises(Invalid, match=r"the answer has 1\d\d\d bytes > 100"):
        call(served.path, "status")


def test_a_socket_that_a_killed_process_left_is_replaced(serve, tmp_path):
    place = tmp_path / "run" / "policy.sock"
    place.parent.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(place))
    left.close()
    assert call(serve().path, "status") == {}


def test_nobody_listening_is_said_with_the_way_out(tmp_path):
    with pytest.raises(Impossible, match="is tripod-policy running, and are you root"):
        call(str(tmp_path / "none.sock"), "status")


def test_the_kernel_names_the_peer():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        raw = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert policy_server._peer(one) == Peer(*struct.unpack("3i", raw))
