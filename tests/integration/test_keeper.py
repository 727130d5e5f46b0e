"""The container keeper on the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent_process import AgentProcess
from ansible_collections.tripod.baremetal.plugins.module_utils._core import ApplyFailed, Impossible, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._host import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._zipapp import Archive, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("TRIPOD_BASE", "debian:stable-slim")
PATIENCE = 15.0  # seconds, on a busy machine


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def eventually(true: Callable[[], bool]) -> bool:
    limit = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > limit:
            return False
        time.sleep(0.2)
    return True


class Bench:
    """A keeper with a label of its own, and the containers it looks after."""

    def __init__(self, folder: Path) -> None:
        self.label = f"org.tripod.test={uuid.uuid4().hex}"
        self.agent = str(folder / "tripod-host")
        self.pid_file = str(folder / "keep.pid")
        self.state_file = folder / "keep.json"
        request = Request(str(ROOT / "plugins" / "module_utils"), "/usr/bin/python3")
        converge(Archive(request, self.agent), request, Host())
        self.log = folder / "keep.log"
        self.process = AgentProcess(self.agent, self.pid_file, str(self.log), self.arguments())
        self.made: list[str] = []

    def arguments(self) -> tuple[str, ...]:
        files = ("--pid-file", self.pid_file, "--state-file", str(self.state_file))
        return ("keep", "--label", self.label, *files)

    def start(self) -> int:
        said = self.log.read_text().count("keeping the containers") if self.log.exists() else 0
        converge(self.process, True, Host())
        assert eventually(lambda: self.log.read_text().count("keeping the containers") > said)
        return self.pid()

    def pid(self) -> int:
        return int(Path(self.pid_file).read_text())

    def stopped(self) -> list[str]:
        return json.loads(self.state_file.read_text())["stopped"] if self.state_file.exists() else []

    def run(self, policy: str = "always", *command: str) -> str:
        words = ("--label", self.label, "--restart", policy, IMAGE, *(command or ("sleep", "600")))
        self.made.append(docker("run", "--detach", *words))
        return self.made[-1]

    def close(self) -> None:
        converge(self.process, False, Host())
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
    assert not runs(container), "the engine itself brings it back: the keeper is not needed any more"
    assert eventually(lambda: runs(container))


def test_a_stopped_container_stays_down_also_for_the_next_keeper(bench):
    first = bench.start()
    container = bench.run()
    docker("stop", "--time", "1", container)
    assert eventually(lambda: container in bench.stopped())
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: bench.process.read(Host()).process is None)
    assert bench.start() != first
    time.sleep(3)
    assert not runs(container)
    docker("start", container)
    assert eventually(lambda: bench.stopped() == [])
    docker("kill", container)
    assert eventually(lambda: runs(container))


def test_a_container_that_died_while_no_keeper_ran_comes_back(bench):
    first = bench.start()
    container = bench.run()
    os.kill(first, signal.SIGKILL)
    docker("kill", container)
    bench.start()
    assert eventually(lambda: runs(container))


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


def test_a_second_keeper_is_refused(bench):
    pid = bench.start()
    second = subprocess.run(
        [bench.agent, *bench.arguments()], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert second.returncode == 1
    assert f"another keeper holds {bench.pid_file} (process {pid})" in second.stderr
    assert bench.pid() == pid


def test_an_idle_keeper_costs_nothing(bench):
    stat = Path(f"/proc/{bench.start()}/stat")
    before = stat.read_text().rpartition(")")[2].split()[11:13]
    time.sleep(3)
    assert stat.read_text().rpartition(")")[2].split()[11:13] == before


def test_a_keeper_waits_for_an_engine_and_ends_on_request(bench, tmp_path):
    arguments = (*bench.arguments(), "--socket", str(tmp_path / "nobody.sock"))
    lonely = AgentProcess(bench.agent, bench.pid_file, str(bench.log), arguments)
    converge(lonely, True, Host())
    assert eventually(lambda: "trying again until there is one" in bench.log.read_text())
    converge(lonely, False, Host())
    assert Path(bench.pid_file).read_text() == ""


def test_a_newer_archive_replaces_the_process(bench):
    first = bench.start()
    assert not converge(bench.process, True, Host()).changed
    Path(bench.agent).touch()
    assert converge(bench.process, True, Host(), check=True).changed
    assert bench.pid() == first
    converge(bench.process, True, Host())
    assert bench.pid() != first
    assert not converge(bench.process, True, Host()).changed


def test_a_keeper_that_cannot_start_says_why(bench):
    with pytest.raises(ApplyFailed, match=r"unrecognized arguments: --loud"):
        converge(AgentProcess(bench.agent, bench.pid_file, str(bench.log), ("keep", "--loud")), True, Host())
    with pytest.raises(Impossible, match="ship the agent's archive first"):
        converge(AgentProcess("/nowhere/tripod-host", bench.pid_file, str(bench.log)), True, Host())


def test_the_unit_is_one_that_systemd_takes(bench, tmp_path):
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    templates = Environment(
        loader=FileSystemLoader(ROOT / "roles" / "host_agent" / "templates"), undefined=StrictUndefined
    )
    templates.filters["splitext"] = os.path.splitext
    unit = tmp_path / "tripod-keep.service"
    unit.write_text(
        templates.get_template("tripod-keep.service.j2").render(
            host_agent_path=bench.agent,
            _host_agent_pid_file="/run/tripod-keep/keep.pid",
            _host_agent_runtime_directory="tripod-keep",
        )
    )
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
