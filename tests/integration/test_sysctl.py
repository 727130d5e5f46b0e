"""The kernel's own variables, as Ansible sets them; those of a network of its own are nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine import Machine

FILE = "/etc/sysctl.d/60-tripod.conf"
DESIRED = {"net.core.somaxconn": 5000, "net/ipv4/tcp_rmem": "4096 100000 6000000"}


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def live(machine: Machine) -> list[str]:
    return machine.run("sysctl", "--values", "net.core.somaxconn", "net.ipv4.tcp_rmem").split()


def test_variables_come_live_and_to_the_file_and_go_again(machine: Machine) -> None:
    before = live(machine)
    predicted = machine.module("sysctl", check=True, variables=DESIRED)
    assert predicted.changed
    assert live(machine) == before
    made = machine.module("sysctl", variables=DESIRED)
    assert made.result["changes"] == predicted.result["changes"]
    assert live(machine) == ["5000", "4096", "100000", "6000000"]
    assert not machine.module("sysctl", variables=DESIRED).changed
    # The reader that sets them at boot takes the file as it was written.
    machine.run("sysctl", "--write", "net.core.somaxconn=1000")
    machine.run("sysctl", "--load", FILE)
    assert live(machine)[0] == "5000"
    assert machine.module("sysctl", variables={}).changed
    assert live(machine) == before
    assert machine.run("find", "/etc/sysctl.d", "-name", "*tripod*") == ""


def test_a_value_that_the_kernel_refuses_takes_the_others_back(machine: Machine) -> None:
    before = live(machine)
    refused = machine.module("sysctl", variables={**DESIRED, "net.ipv4.ip_default_ttl": 1000})
    assert refused.failed
    assert refused.result["msg"] == (
        "net.ipv4.ip_default_ttl = 1000: the kernel does not take this value (Invalid argument); "
        "the previous values are restored"
    )
    assert live(machine) == before


def test_names_that_there_are_not_are_reported_together(machine: Machine) -> None:
    before = live(machine)
    refused = machine.module(
        "sysctl", variables={**DESIRED, "net.core.nope": 1, "kernel.osrelease": "7", "vm.nr_hugepages": 1}
    )
    assert len(refused.result["reasons"]) == 3
    assert live(machine) == before
