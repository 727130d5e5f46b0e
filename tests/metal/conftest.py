"""A VM with its power switch, its shell, the far ends of its cables, and playbooks on it.

The VM is molecule's, ``metal``, unless ``TRIPOD_VM`` names another that ``python3 -m tools.vm create`` made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import testinfra

from tests.support import site
from tests.support.outside import Outside
from tools.vm.hardware import NICS
from tools.vm.machine import Machine

VARIABLES = "@molecule/metal/group_vars/tripod.yml"
Playbook = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def vm() -> Machine:
    """The VM, switched on: ``reset``, ``reboot``, ``kill`` and ``start``, ``wait``, ``link``, ``ssh``."""
    assert os.geteuid() == 0, "the far ends of the VM's cables are in a network namespace: run these tests as root"
    machine = Machine(os.environ.get("TRIPOD_VM", "metal"))
    assert machine.exists, f"make the VM first: python3 -m tools.vm create {machine.name}"
    if not machine.process:
        machine.start()
    return machine


@pytest.fixture(scope="session")
def ssh_configuration(vm: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an ssh_config for testinfra."""
    options = {
        "User": "root",
        "HostName": "127.0.0.1",
        "Port": vm.port,
        "IdentityFile": vm.directory / "key",
        "UserKnownHostsFile": vm.directory / "known_hosts",
        "ServerAliveInterval": 10,
        "ServerAliveCountMax": 6,
        "LogLevel": "ERROR",
    }
    path = tmp_path_factory.mktemp("ssh") / "config"
    lines = [f"Host {vm.name}", *(f"  {name} {value}" for name, value in options.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def host(vm: Machine, ssh_configuration: str) -> Any:
    """The guest, read by testinfra as root; each command connects anew, as a reboot would leave a connection stale."""
    return testinfra.get_host(f"ssh://{vm.name}?ssh_config={ssh_configuration}&controlpersist=0&timeout=60")


@pytest.fixture(scope="session")
def outside(vm: Machine) -> Callable[[str], Outside]:
    """The far end of a data NIC by its name, e.g. ``igb0``."""
    targets = {nic.name: nic.mac for nic in NICS}
    return lambda name: Outside(vm.namespace, name, targets[name])


@pytest.fixture(scope="session")
def playbook(vm: Machine) -> Playbook:
    """Run a playbook on the VM with the scenario's variables.

    Takes ansible-playbook's arguments, and ``fails=True`` where it has to fail. Returns what it says of every task.
    """

    def run(*arguments: str, fails: bool = False) -> dict[str, Any]:
        done = site.playbook("-e", VARIABLES, *arguments, inventory=str(vm.inventory))
        assert bool(done.returncode) == fails, done.stdout[-5000:] + done.stderr[-2000:]
        return site.result(done)

    return run


@pytest.fixture(scope="module")
def application(host: Any) -> None:
    """The application is on this VM too, so that the run is the long one."""
    if not host.file("/run/docker.sock").exists:
        pytest.skip("takes minutes in emulation, on a VM with the application: make test-metal-full")
