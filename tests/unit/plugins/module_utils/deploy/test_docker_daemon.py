"""Deciding what to do with an engine; real engines are in tests/integration."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Invalid,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy import docker_daemon
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.docker_daemon import (
    DaemonOptions,
    DaemonState,
    Desired,
    DockerDaemon,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running

ENGINE = DockerDaemon(DaemonOptions())
OLD = Running(pid=42, started=100)
UP = DaemonState(answers=True, process=OLD, service_manager="none")
DOWN = DaemonState(answers=False, process=None, service_manager="none")
ELSEWHERE = DaemonState(answers=True, process=None, service_manager="none")
STARTING = DaemonState(answers=False, process=OLD, service_manager="none")
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
        (RESTARTED, DaemonState(True, Running(43, 250), "none"), []),
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
        ENGINE.validate(STOPPED, DaemonState(True, OLD, "systemd"))
    ENGINE.validate(Desired(), DaemonState(True, None, "systemd"))


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
        DockerDaemon(DaemonOptions(timeout=0)).validate(Desired(), UP)


def test_flags_that_equal_the_default_are_left_to_daemon_json():
    assert DaemonOptions().command == ["dockerd"]
    assert DaemonOptions(socket="/run/x.sock", pid_file="/run/x.pid", arguments=("--debug",)).command == [
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
    engine = DockerDaemon(DaemonOptions(socket=str(tmp_path / "none.sock")))
    state = engine.read(machine(files))
    assert state == DaemonState(False, process and Running(*process), "none")


def test_systemd_is_recognised(machine, tmp_path):
    engine = DockerDaemon(DaemonOptions(socket=str(tmp_path / "none.sock")))
    assert engine.read(machine({"/run/systemd/system/x": ""})).service_manager == "systemd"
