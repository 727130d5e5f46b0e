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


def test_counterparts_of_this_kernel_come_and_go(machine: Machine) -> None:
    names = ("vm.overcommit_kbytes", "vm.overcommit_ratio")
    if machine.run("sysctl", "--values", "vm.overcommit_memory").strip() == "2":
        pytest.skip("this machine commits no more than these two say, so they cannot be tried on it")

    def both() -> list[str]:
        return machine.run("sysctl", "--values", *names).split()

    before = both()
    if before[0] != "0":
        pytest.skip(f"{names[0]} of this machine is {before[0]}: somebody uses it")
    try:
        machine.module("sysctl", variables={names[0]: 4000000})
        assert both() == ["4000000", "0"]
        refused = machine.module("sysctl", variables={names[1]: 60, "net.ipv4.ip_default_ttl": 1000})
        assert "the previous values are restored" in refused.result["msg"]
        assert both() == ["4000000", "0"]
        assert not machine.module("sysctl", variables={names[1]: 60}).failed
        assert both() == ["0", "60"]
    finally:
        dropped = machine.module("sysctl", variables={})
    assert not dropped.failed
    assert both() == before
    assert machine.run("find", "/etc/sysctl.d", "-name", "*tripod*") == ""


@pytest.mark.parametrize(
    "words",
    [
        ["/usr/lib/systemd/systemd-sysctl"],
        ["/usr/lib/systemd/systemd-sysctl", "--prefix=/net/ipv4/conf/nic0.100"],  # udev's rule for a new interface
        ["sysctl", "--system"],
    ],
)
def test_an_interface_with_a_dot_is_set_at_boot_and_restored(machine: Machine, words: list[str]) -> None:
    name, path = "net/ipv4/conf/nic0.100/rp_filter", "/proc/sys/net/ipv4/conf/nic0.100/rp_filter"
    machine.cable("nic0.100", "peer0")
    before = machine.run("cat", path)
    refused = machine.module("sysctl", variables={"net.ipv4.conf.nic0.100.rp_filter": 2})
    assert f"write {name}" in refused.result["msg"]
    assert machine.module("sysctl", variables={name: 2}).changed
    assert not machine.module("sysctl", variables={name: 2}).changed
    machine.run("sh", "-c", f"echo 0 > {path}")
    # A container's /proc/sys lacks what other files set.
    machine.run("sh", "-c", f"{' '.join(words)} || true")
    assert machine.run("cat", path) == "2\n"
    assert machine.module("sysctl", variables={}).changed
    assert machine.run("cat", path) == before


@pytest.mark.parametrize(("linked", "value"), [(False, "5000"), (True, "1111")])
def test_what_systemd_reads_after_our_file_is_what_is_reported(machine: Machine, linked: bool, value: str) -> None:
    machine.run("rm", "-f", "/etc/sysctl.d/99-sysctl.conf")
    machine.run("sh", "-c", "echo net.core.somaxconn=1111 > /etc/sysctl.conf; mkdir -p /run/systemd/system")
    if linked:
        machine.run("ln", "-s", "../sysctl.conf", "/etc/sysctl.d/99-sysctl.conf")
    told = machine.module("sysctl", variables={"net.core.somaxconn": 5000}).result["overridden"]
    machine.run("sh", "-c", "/usr/lib/systemd/systemd-sysctl || true")
    assert live(machine)[0] == value
    assert bool(told) is linked
