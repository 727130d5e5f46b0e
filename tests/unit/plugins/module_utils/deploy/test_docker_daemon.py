"""Deciding what to do with an engine; real engines are in tests/integration."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Invalid,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy import docker_daemon
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.docker_daemon import (
    Daemon,
    Desired,
    DockerEngine,
    EngineState,
    answers,
    list_containers,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running

ENGINE = DockerEngine(Daemon())
OLD = Running(pid=42, started=100)
UP = EngineState(answers=True, process=OLD, service_manager="none")
DOWN = EngineState(answers=False, process=None, service_manager="none")
ELSEWHERE = EngineState(answers=True, process=None, service_manager="none")
STARTING = EngineState(answers=False, process=OLD, service_manager="none")
STOPPED = Desired(running=False)
RESTARTED = Desired(started_after=200)


@pytest.mark.parametrize(
    ("desired", "state", "after"),
    [
        (Desired(), UP, []),
        (Desired(), ELSEWHERE, []),
        (Desired(), DOWN, [True]),
        (Desired(), STARTING, [True]),
        (STOPPED, DOWN, []),
        (STOPPED, UP, [False]),
        (STOPPED, STARTING, [False]),
        (RESTARTED, UP, ["restarted"]),
        (RESTARTED, STARTING, ["restarted"]),
        (RESTARTED, DOWN, [True]),
        (RESTARTED, EngineState(True, Running(43, 250), "none"), []),
    ],
)
def test_the_plan(desired, state, after):
    changes = ENGINE.plan(desired, state)
    assert [change.after for change in changes] == after
    assert all(change.disrupts == (change.after is not True) for change in changes)


def test_a_restart_shows_which_process_goes():
    assert ENGINE.plan(RESTARTED, UP) == [Change(("engine", "process"), 42, "restarted", disrupts=True)]


def test_systemd_keeps_what_it_owns():
    with pytest.raises(Refused, match="systemd runs on this host"):
        ENGINE.validate(STOPPED, EngineState(True, OLD, "systemd"))
    ENGINE.validate(Desired(), EngineState(True, None, "systemd"))


def test_an_engine_of_somebody_else_is_not_ended():
    for desired in (STOPPED, RESTARTED):
        with pytest.raises(Refused, match=r"/run/docker.pid names no living dockerd"):
            ENGINE.validate(desired, ELSEWHERE)


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(docker_daemon, "COMMAND", "dockerd-that-is-not-there")
    with pytest.raises(Impossible, match=r"dockerd-that-is-not-there is not installed \(Debian package docker.io\)"):
        ENGINE.validate(Desired(), DOWN)


def test_a_timeout_is_positive():
    with pytest.raises(Invalid, match="timeout 0 must be more than 0"):
        DockerEngine(Daemon(timeout=0)).validate(Desired(), UP)


def test_flags_that_equal_the_default_are_left_to_daemon_json():
    assert Daemon().command == ["dockerd"]
    assert Daemon(socket="/run/x.sock", pid_file="/run/x.pid", arguments=("--debug",)).command == [
        *("dockerd", "--host", "unix:///run/x.sock"),
        *("--pidfile", "/run/x.pid", "--debug"),
    ]


STAT = "42 (dockerd) S 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 11 0 {started} 1 2"


@pytest.mark.parametrize(
    ("files", "process"),
    [
        ({}, None),
        ({"/run/docker.pid": "42"}, None),
        ({"/run/docker.pid": "junk"}, None),
        ({"/run/docker.pid": "42", "/proc/42/comm": "bash\n"}, None),
        ({"/run/docker.pid": "42\n", "/proc/42/comm": "dockerd\n", "/proc/42/stat": STAT.format(started=77)}, (42, 77)),
        (
            {"/run/docker.pid": "42", "/proc/42/comm": "dockerd\n", "/proc/42/stat": "42 (dockerd) Z 1 " + "0 " * 30},
            None,
        ),
    ],
)
def test_only_a_living_dockerd_counts(machine, tmp_path, files, process):
    engine = DockerEngine(Daemon(socket=str(tmp_path / "none.sock")))
    state = engine.read(machine(files))
    assert state == EngineState(False, process and Running(*process), "none")


def test_systemd_is_recognised(machine, tmp_path):
    engine = DockerEngine(Daemon(socket=str(tmp_path / "none.sock")))
    assert engine.read(machine({"/run/systemd/system/x": ""})).service_manager == "systemd"


@pytest.fixture
def server(tmp_path):
    """An HTTP server on a Unix socket that answers like an engine, and notes what it was asked."""
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


def test_an_engine_is_asked_in_its_own_words(server):
    path, requested = server
    assert answers(path)
    assert list_containers(path, "a=b") == [{"Id": "abc", "Ports": []}]
    assert requested == ["/_ping", "/containers/json?filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D"]


def test_no_engine_has_no_containers(tmp_path):
    path = str(tmp_path / "none")
    assert not answers(path)
    assert list_containers(path, "a=b") == []
