"""The container supervisor on the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.services import Detached
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.units import Service
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.zipapp import build, sources
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

from tests.support.machine import eventually

IMAGE = os.environ.get("TRIPOD_BASE", "debian:stable-slim")
PATIENCE = 15.0  # seconds, on a busy machine


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


class Bench:
    """A supervisor with a label of its own, and its containers."""

    def __init__(self, folder: Path) -> None:
        self.label = f"org.tripod.test={uuid.uuid4().hex}"
        self.agent = str(folder / "tripod-host")
        self.pid_file = str(folder / "keep.pid")
        self.state_file = folder / "keep.json"
        Host().write_bytes_atomically(self.agent, build(sources(), "/usr/bin/python3"), 0o755)
        self.log = folder / "keep.log"
        self.runner = Detached(self.agent)
        self.made: list[str] = []

    def service(self, *more: str) -> Service:
        files = ("--pid-file", self.pid_file, "--state-file", str(self.state_file))
        arguments = ("keep", "--label", self.label, *files, *more)
        return Service("supervisor", arguments, "", pid_file=self.pid_file, log=str(self.log))

    def runs(self) -> bool:
        return self.runner.read(Host(), [self.service()])["supervisor"].process is not None

    def start(self) -> int:
        said = self.log.read_text().count("supervising the containers") if self.log.exists() else 0
        self.runner.restart(Host(), self.service())
        eventually(lambda: self.log.read_text().count("supervising the containers") > said, PATIENCE)
        return self.pid()

    def pid(self) -> int:
        return int(Path(self.pid_file).read_text().split()[0])

    def stopped(self) -> list[str]:
        return json.loads(self.state_file.read_text())["stopped"] if self.state_file.exists() else []

    def run(self, policy: str = "always", *command: str) -> str:
        words = ("--label", self.label, "--restart", policy, IMAGE, *(command or ("sleep", "600")))
        self.made.append(docker("run", "--detach", *words))
        return self.made[-1]

    def close(self) -> None:
        self.runner.stop(Host(), self.service())
        for container in self.made:
            subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)


def runs(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Running}}", container) == "true"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        bench.close()


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_a_killed_container_comes_back(bench, policy):
    bench.start()
    container = bench.run(policy)
    docker("kill", container)
    assert not runs(container), "the engine itself brings it back: the supervisor is not needed any more"
    eventually(lambda: runs(container), PATIENCE)


def test_a_stopped_container_stays_down_also_for_the_next_supervisor(bench):
    first = bench.start()
    container = bench.run()
    docker("stop", "--time", "1", container)
    eventually(lambda: container in bench.stopped(), PATIENCE)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not bench.runs(), PATIENCE)
    assert bench.start() != first
    time.sleep(3)
    assert not runs(container)
    docker("start", container)
    eventually(lambda: bench.stopped() == [], PATIENCE)
    docker("kill", container)
    eventually(lambda: runs(container), PATIENCE)


def test_a_container_that_died_while_no_supervisor_ran_comes_back(bench):
    first = bench.start()
    container = bench.run()
    os.kill(first, signal.SIGKILL)
    docker("kill", container)
    bench.start()
    eventually(lambda: runs(container), PATIENCE)


def test_a_removed_container_is_forgotten(bench):
    pid = bench.start()
    container = bench.run()
    docker("rm", "--force", container)
    time.sleep(3)
    assert docker("ps", "--all", "--quiet", "--filter", f"label={bench.label}") == ""
    assert bench.pid() == pid
    assert "does not start" not in bench.log.read_text()


def test_what_has_no_restart_policy_is_left_alone(bench):
    bench.start()
    container = bench.run("no", "sh", "-c", "exit 3")
    time.sleep(3)
    assert not runs(container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "3"


def test_a_second_supervisor_is_refused(bench):
    pid = bench.start()
    second = subprocess.run(
        [bench.agent, *bench.service().arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert second.returncode == 1
    assert f"another one holds {bench.pid_file} (process {pid})" in second.stderr
    assert bench.pid() == pid


def test_an_idle_supervisor_costs_nothing(bench):
    stat = Path(f"/proc/{bench.start()}/stat")
    before = stat.read_text().rpartition(")")[2].split()[11:13]
    time.sleep(3)
    assert stat.read_text().rpartition(")")[2].split()[11:13] == before


def test_a_supervisor_waits_for_an_engine_and_ends_on_request(bench, tmp_path):
    lonely = bench.service("--socket", str(tmp_path / "nobody.sock"))
    bench.runner.restart(Host(), lonely)
    eventually(lambda: "trying again until there is one" in bench.log.read_text(), PATIENCE)
    bench.runner.stop(Host(), lonely)
    assert Path(bench.pid_file).read_text() == ""


def test_a_supervisor_that_cannot_start_says_why(bench):
    with pytest.raises(ApplyFailed, match=r"unrecognized arguments: --loud"):
        bench.runner.restart(Host(), bench.service("--loud"))
