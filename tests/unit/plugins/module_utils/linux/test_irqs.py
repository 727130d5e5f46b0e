"""Interrupts found through a device, and their queues by what drivers call them."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqs as linux_irqs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irqs import Irq, by_name, match_queues, move, read

DEVICE = "/sys/devices/pci0000:80/0000:81:00.0"


def vectors(names, kind="msi_irqs"):
    files = {}
    for number, name in names.items():
        files[f"{DEVICE}/{kind}/{number}"] = "msix\n"
        files[f"/sys/kernel/irq/{number}/actions"] = f"{name}\n"
        files[f"/proc/irq/{number}/smp_affinity"] = "f\n"
        files[f"/proc/irq/{number}/smp_affinity_list"] = "0-3\n"
        files[f"/proc/irq/{number}/effective_affinity_list"] = "2\n"
    return files


# As drivers of Linux 6.12 name them.
NAMES = {
    "igb": (["ens1", "ens1-TxRx-0", "ens1-TxRx-1"], [None, 0, 1]),
    "igb, few queues": (["ens1", "ens1-rx-0", "ens1-rx-1", "ens1-tx-0", "ens1-tx-1"], [None, 0, 1, 0, 1]),
    "i40e": (["i40e-0000:18:00.0:misc", "i40e-ens2-TxRx-0", "i40e-ens2-TxRx-10", "i40e-ens2-TxRx-2"], [None, 0, 2, 1]),
    "ena": (["ena-mgmnt@pci:0000:00:05.0", "ens5-Tx-Rx-0", "ens5-Tx-Rx-1"], [None, 0, 1]),
    "tg3": (["eno1-tx-0", "eno1-rx-1", "eno1-rx-2"], [0, 0, 1]),
    "vmxnet3": (["ens2-rxtx-0", "ens2-rxtx-1", "ens2-event-2"], [0, 1, None]),
    "virtio_net": (["virtio3-config", "virtio3-input.0", "virtio3-output.0", "virtio3-input.1"], [None, 0, 0, 1]),
    "virtio_net, one vector": (["virtio3-config", "virtio3-virtqueues"], [None, 0]),
    "mlx5_core": (
        ["mlx5_async0@pci:0000:af:00.0", "mlx5_comp0@pci:0000:af:00.0", "mlx5_comp1@pci:0000:af:00.0"],
        [None, 0, 1],
    ),
    "qede": (["ens3-fp-0", "ens3-fp-1"], [0, 1]),
    "gve": (
        [
            "gve-ntfy-blk0@pci:0000:00:04.0",
            "gve-ntfy-blk1@pci:0000:00:04.0",
            "gve-ntfy-blk2@pci:0000:00:04.0",
            "gve-ntfy-blk3@pci:0000:00:04.0",
            "gve-mgmnt@pci:0000:00:04.0",
        ],
        [0, 1, 0, 1, None],
    ),
    "mana": (["mana_hwc@pci:7870:00:00.0", "mana_q0@pci:7870:00:00.0", "mana_q1@pci:7870:00:00.0"], [None, 0, 1]),
    "r8169": (["enp3s0"], [0]),
    "an unknown driver": (["foo", "bar"], [None, None]),
    "an interface named like a queue": (["rx-0", "rx-0-TxRx-0", "rx-0-TxRx-1"], [0, 0, 1]),
}


@pytest.mark.parametrize("driver", NAMES)
def test_a_name_tells_the_queue(driver):
    names, queues = NAMES[driver]
    irqs = [Irq(number, name) for number, name in enumerate(names, 40)]
    assert [irq.queue for irq in by_name(irqs)] == queues


def test_interrupts_are_those_that_the_driver_has_requested(machine):
    files = vectors({48: "ens1", 49: "ens1-TxRx-0", 9: "ens1-TxRx-1", 50: ""})
    assert read(machine(files), DEVICE) == (
        Irq(9, "ens1-TxRx-1", 1, frozenset(range(4)), frozenset([2])),
        Irq(48, "ens1", None, frozenset(range(4)), frozenset([2])),
        Irq(49, "ens1-TxRx-0", 0, frozenset(range(4)), frozenset([2])),
    )


def test_what_the_kernel_says_of_queues_comes_before_names(machine):
    found = read(machine(vectors({48: "a-TxRx-0", 49: "a-TxRx-1", 50: "a"})), DEVICE, {48: 1, 49: 0})
    assert [irq.queue for irq in found] == [1, 0, None]


def test_a_nic_without_hardware_has_no_interrupts(machine):
    assert read(machine(), None) == ()


def test_an_old_interrupt_line_counts_too(machine):
    files = vectors({11: "eth0"}, kind="elsewhere")
    files[f"{DEVICE}/irq"] = "11\n"
    assert [irq.queue for irq in read(machine(files), DEVICE)] == [0]


def test_what_the_kernel_manages_is_not_movable(machine):
    host = machine(vectors({36: "virtio1-req.0"}))
    host.path("/proc/irq/36/smp_affinity").chmod(0o444)
    [irq] = read(host, DEVICE)
    assert not irq.movable


def test_an_interrupt_is_pending_until_it_fires_on_its_new_cpus(machine):
    files = vectors({48: "ens1"})
    files["/proc/irq/48/smp_affinity_list"] = "3\n"
    [irq] = read(machine(files), DEVICE)
    assert irq.pending
    assert irq.facts() == {
        "irq": 48,
        "name": "ens1",
        "queue": 0,
        "cpus": "3",
        "effective": "2",
        "movable": True,
        "pending": True,
    }


def test_one_cpu_of_several_may_be_in_effect(machine):
    [irq] = read(machine(vectors({48: "ens1"})), DEVICE)
    assert not irq.pending


def test_a_kernel_without_effective_affinity(machine):
    files = vectors({48: "ens1"})
    del files["/proc/irq/48/effective_affinity_list"]
    [irq] = read(machine(files), DEVICE)
    assert irq.effective is None
    assert not irq.pending
    assert irq.facts()["effective"] is None


def test_queues_and_interrupts_are_joined_by_what_polls_them():
    # As netdev-genl dumps them: id, ifindex, type, napi; napi's ifindex, id, irq.
    queues = [{1: 0, 2: 4, 3: 0, 4: 257}, {1: 1, 2: 4, 3: 0, 4: 258}, {1: 0, 2: 4, 3: 1, 4: 257}, {1: 1, 2: 4, 3: 1}]
    napis = [{1: 4, 2: 257, 3: 49}, {1: 4, 2: 258, 3: 50}, {1: 4, 2: 259}]
    assert match_queues(iter(queues), iter(napis)) == {49: 0, 50: 1}


def test_moving_writes_the_list(machine):
    host = machine(vectors({48: "ens1"}))
    assert move(host, Irq(48, "ens1"), frozenset([1, 2]))
    assert host.read("/proc/irq/48/smp_affinity_list") == "1-2"


class Stubborn(Host):
    """A machine whose kernel takes no affinity; the real one's refusals need hardware of that kind."""

    def __init__(self, number):
        super().__init__()
        self._number = number

    def write_attribute(self, path, text):
        raise OSError(self._number, "no")


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM, errno.EACCES])
def test_an_interrupt_that_the_kernel_manages_stays_and_is_reported(number):
    assert not move(Stubborn(number), Irq(36, "virtio1-req.0"), frozenset([0]))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no interrupt vector left: name more CPUs, or use fewer channels"),
        (errno.EINVAL, "none of these CPUs is online"),
        (errno.ENOENT, "no"),
    ],
)
def test_a_refused_move_says_why(number, words):
    with pytest.raises(ApplyFailed, match=rf"irq 48 \(ens1\) -> CPUs 0-1: .*{words}"):
        move(Stubborn(number), Irq(48, "ens1"), frozenset([0, 1]))


def test_the_running_kernel_is_asked_for_queues():
    assert linux_irqs.read_queues(1) is None  # the loopback interface interrupts nobody
