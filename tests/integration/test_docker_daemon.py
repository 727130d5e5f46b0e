"""An engine of our own, beside the one that may run on this machine, in a network namespace that hides its bridge."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab
from tests.support.modules import Run, run_module

pytestmark = [
    pytest.mark.skipif(not shutil.which("dockerd"), reason="dockerd is not installed"),
    pytest.mark.skipif(os.path.exists("/run/systemd/system"), reason="systemd runs here and owns the engine"),
]


class Engine:
    """The second engine's places."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket, self.pid_file, self.log = folder / "s", folder / "pid", folder / "log"

    def module(self, state: str, check: bool = False, arguments: tuple[str, ...] = (), **options: Any) -> Run:
        """Run the module on it."""
        return run_module(
            "docker_daemon",
            {
                "state": state,
                "socket": str(self.socket),
                "pid_file": str(self.pid_file),
                "log": str(self.log),
                "arguments": [
                    f"--data-root={self.folder}/data",
                    f"--exec-root={self.folder}/exec",
                    "--iptables=false",
                    *arguments,
                ],
                **options,
            },
            check=check,
        )

    def answers(self) -> bool:
        """Whether it answers to Docker's own client."""
        requested = subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", "version"], capture_output=True, check=False
        )
        return requested.returncode == 0


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("e"))
    with lab.namespace() as namespace, lab.inside(namespace):
        yield found
        if found.pid_file.exists():
            found.module("stopped")
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(found.folder) in line]
    for mount in sorted(mounts, reverse=True):
        subprocess.run(["umount", mount], check=True)
    shutil.rmtree(found.folder)


def test_an_engine_starts_restarts_and_stops(engine: Engine) -> None:
    predicted = engine.module("started", check=True)
    assert predicted.changed
    assert not engine.answers()

    started = engine.module("started")
    assert started.changed
    assert started.result["running"]
    assert started.result["service_manager"] == "none"
    assert engine.answers()
    assert not engine.module("started").changed

    assert engine.module("restarted", check=True).result["pid"] == started.result["pid"]
    restarted = engine.module("restarted")
    assert restarted.changed
    assert restarted.result["pid"] not in (None, started.result["pid"])
    assert engine.answers()

    assert engine.module("stopped", check=True).changed
    assert engine.answers()
    stopped = engine.module("stopped")
    assert stopped.changed
    assert (stopped.result["running"], stopped.result["pid"]) == (False, None)
    assert not engine.answers()
    assert not engine.module("stopped").changed


def test_an_engine_that_died_is_started_again(engine: Engine) -> None:
    pid = engine.module("started").result["pid"]
    containerd = (engine.folder / "exec/containerd/containerd.pid").read_text()
    os.kill(pid, signal.SIGKILL)
    # It dies with dockerd. Until process 1 has taken note, a new dockerd believes that it runs.
    gone = time.monotonic() + 60
    while os.path.exists(f"/proc/{containerd}") and time.monotonic() < gone:
        time.sleep(0.1)
    engine.pid_file.write_text(str(os.getpid()))  # the number went to another program
    outcome = engine.module("started")
    assert outcome.changed, outcome.output
    assert engine.answers()


def test_what_the_engine_said_before_it_ended_is_in_the_message(engine: Engine) -> None:
    engine.log.write_text("from an earlier life\n")
    outcome = engine.module("started", arguments=("--storage-driver=nonsense",))
    assert outcome.failed
    assert "dockerd ended with status 1" in outcome.result["msg"]
    assert "nonsense" in outcome.result["msg"]
    assert "from an earlier life" not in outcome.result["msg"]


def test_an_engine_whose_process_is_not_known_is_not_ended(engine: Engine) -> None:
    pid = engine.module("started").result["pid"]
    engine.pid_file.rename(engine.folder / "elsewhere")
    outcome = engine.module("stopped")
    (engine.folder / "elsewhere").rename(engine.pid_file)
    assert outcome.failed
    assert "names no living dockerd" in outcome.result["msg"]
    assert os.path.exists(f"/proc/{pid}")
    assert not engine.module("started").changed
