"""A VM with its power switch, its shell, the far ends of its cables, and playbooks on it.

The VM is molecule's, ``metal``, unless ``TRIPOD_VM`` names another that ``python3 -m tools.vm create`` made.

CI runs the tests without the mark ``full``; ``make test-metal-full`` runs all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.support import site
from tests.support.outside import Outside
from tools.vm.hardware import NICS
from tools.vm.machine import CONNECT_SECONDS, Machine

# The snapshot of the guest as the tests found it, converged. It outlives them: python3 -m tools.vm restore metal begin
BEGIN = "begin"
VARIABLES = "@molecule/metal/group_vars/tripod.yml"
Playbook = Callable[..., dict[str, Any]]


class Tried(Machine):
    """A VM whose shell stays open from one command to the next, as a login takes seconds in emulation.

    A boot leaves that connection stale, so it is forgotten before whatever may end in one.
    """

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name)
        self.ssh_configuration = directory / "ssh_config"
        options = {
            "User": "root",
            "HostName": "127.0.0.1",
            "Port": self.port,
            "IdentityFile": self.directory / "key",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "ServerAliveInterval": 10,
            "ServerAliveCountMax": 6,
            "ConnectTimeout": CONNECT_SECONDS,
            "ControlMaster": "auto",
            "ControlPersist": "yes",
            "ControlPath": directory / "shell",
            "LogLevel": "ERROR",
        }
        lines = [f"Host {name}", *(f"  {option} {value}" for option, value in options.items())]
        self.ssh_configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def hang_up(self) -> None:
        """End the shell; the next command opens another."""
        leave = ["ssh", "-F", str(self.ssh_configuration), "-O", "exit", self.name]
        subprocess.run(leave, capture_output=True, check=False)
        (self.ssh_configuration.parent / "shell").unlink(missing_ok=True)

    def reset(self) -> float:
        """Press the reset button, as ``Machine`` does."""
        self.hang_up()
        return super().reset()

    def reboot(self) -> float:
        """Let it reboot by itself, as ``Machine`` does."""
        self.hang_up()
        return super().reboot()

    def snapshot(self, tag: str) -> None:
        """Keep it under a tag, as ``Machine`` does."""
        self.hang_up()
        super().snapshot(tag)

    def restore(self, tag: str) -> float:
        """Put it back to a snapshot, as ``Machine`` does."""
        self.hang_up()
        return super().restore(tag)

    def kill(self) -> None:
        """Cut the power, as ``Machine`` does."""
        self.hang_up()
        super().kill()


@pytest.fixture(scope="session")
def vm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """The VM, switched on: ``reset``, ``reboot``, ``kill`` and ``start``, ``wait``, ``link``, ``ssh``."""
    assert os.geteuid() == 0, "the far ends of the VM's cables are in a network namespace: run these tests as root"
    name = os.environ.get("TRIPOD_VM", "metal")
    assert Machine(name).exists, f"make the VM first: python3 -m tools.vm create {name}"
    machine = Tried(name, tmp_path_factory.mktemp("ssh"))
    if not machine.process:
        machine.start()
    # Before any test has touched it.
    tests = (item for item in request.session.items if isinstance(item, pytest.Function))
    if any({"put_back", "put_back_once"}.intersection(item.fixturenames) for item in tests):
        machine.snapshot(BEGIN)
    yield machine
    machine.hang_up()


@pytest.fixture
def put_back(vm: Tried) -> Iterator[None]:
    """Put the guest back afterwards to where the tests found it, in seconds; to converge it again takes minutes."""
    yield
    vm.restore(BEGIN)


@pytest.fixture(scope="module")
def put_back_once(vm: Tried) -> Iterator[None]:
    """Likewise, after all tests of a file."""
    yield
    vm.restore(BEGIN)


@pytest.fixture(scope="session")
def host(vm: Tried) -> Any:
    """The guest, read by testinfra as root."""
    # How connections are shared stands in the configuration.
    return testinfra.get_host(f"ssh://{vm.name}?ssh_config={vm.ssh_configuration}&controlpersist=0&timeout=60")


@pytest.fixture(scope="session")
def outside(vm: Tried) -> Callable[[str], Outside]:
    """The far end of a data NIC by its name, e.g. ``igb0``."""
    targets = {nic.name: nic.mac for nic in NICS}
    return lambda name: Outside(vm.namespace, name, targets[name])


@pytest.fixture(scope="session")
def playbook(vm: Tried) -> Playbook:
    """Run a playbook on the VM with the scenario's variables.

    Takes ansible-playbook's arguments, and ``fails=True`` where it has to fail. Returns what it says of every task.
    """

    def run(*arguments: str, fails: bool = False) -> dict[str, Any]:
        # It may reboot the guest.
        vm.hang_up()
        done = site.playbook("-e", VARIABLES, *arguments, inventory=str(vm.inventory))
        assert bool(done.returncode) == fails, done.stdout[-5000:] + done.stderr[-2000:]
        return site.result(done)

    return run


@pytest.fixture(scope="module")
def full_run(host: Any) -> None:
    """The application is on this VM too: a run that has the time for what takes minutes in emulation."""
    if not host.file("/run/docker.sock").exists:
        pytest.skip("for a VM that has the application too, as it takes minutes: make test-metal-full")
