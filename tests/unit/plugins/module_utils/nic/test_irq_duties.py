"""Which interrupts a plan moves, which it leaves, and what it says of those."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import describe
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irq_names import Owner
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irqs import Irq, by_name
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.original import previous
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.plan import notes, plan
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Request
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState

from .nics import host, nic, target


def vectors(driver, names, **changes):
    every = frozenset(range(32))
    found = by_name([Irq(number, name, cpus=every) for number, name in enumerate(names, 40)], Owner(driver))
    return nic(driver, irqs=tuple(found), **changes)


@pytest.mark.parametrize(
    ("driver", "names", "moved"),
    [
        (
            "i40e",
            ["i40e-0000:18:00.0:misc", "i40e-0000:18:00.0:fdir-TxRx-0", "i40e-ens2-TxRx-0", "i40e-ens2-TxRx-1"],
            {"i40e-0000:18:00.0:misc": "0-3", "i40e-0000:18:00.0:fdir-TxRx-0": "0-3", "i40e-ens2-TxRx-0": "4"},
        ),
        ("igb", ["ens1", "ens1-TxRx-0", "ens1-frobnicate"], {"ens1": "0-3", "ens1-TxRx-0": "4"}),
        ("ice", ["ice-ens2-TxRx-0", "irdma-ice-0000:18:00.0-AEQCEQ-0"], {"ice-ens2-TxRx-0": "4"}),
    ],
)
def test_only_what_serves_no_queue_for_certain_goes_to_the_housekeeping_cpus(driver, names, moved):
    one = vectors(driver, names, node=0)
    steps = plan([target(one, irq={"avoid": "0-3"})], host(one))
    found = {step.path[2]: step.after for step in steps if step.path[1] == "irq" and step.path[2] in names}
    assert {name: found.get(name) for name in moved} == moved
    assert not set(found) - {*moved, "i40e-ens2-TxRx-1"}


def test_an_interrupt_of_unknown_name_is_reported():
    one = vectors("igb", ["ens1", "ens1-TxRx-0", "ens1-frobnicate"])
    [note] = [note for note in notes([target(one, irq={"avoid": "0-3"})], host(one))[one.name] if "stay where" in note]
    assert "interrupts ens1-frobnicate stay where they are" in note


def test_a_nic_on_a_shared_controller_is_reported():
    one = nic("igb", irqs=(), shares_irqs=True, pci="0000:00:14.0")
    [note] = notes([target(one, irq={})], host(one))[one.name]
    assert note.startswith("its interrupts are those of 0000:00:14.0, which other devices share")


def test_no_interrupt_of_unknown_names_is_placed():
    one = vectors("igb", ["foo", "bar"])
    [reason], refusals = faults([target(one, irq={"avoid": "0-3"})], host(one))
    assert not refusals
    assert "is not known to name any foo, bar: leave irq out" in reason
    assert faults([target(one, mtu=1500)], host(one)) == ([], [])


def test_what_is_idle_or_unknown_is_neither_banned_nor_given_back():
    one = vectors("ice", ["ice-0000:18:00.0:misc", "ice-ens2-TxRx-0", "irdma-ice-0000:18:00.0-AEQCEQ-0"], node=0)
    state = host(one, irqbalance=irqbalance.State("/usr/sbin/irqbalance"))
    request = target(one, irq={"avoid": "0-3"})
    bans = [describe(step) for step in plan([request], state) if step.path[0] == "irqbalance"]
    assert bans == ["irqbalance banned: absent -> 40-41"]
    assert previous(request.request, one, state).irq.other == frozenset(range(32))
    assert NicState.from_json(one.to_json()) == one


def test_a_command_that_the_operator_changed_is_taken_over():
    one = vectors("igb", ["ens1-TxRx-0"])
    state = host(one, irqbalance=irqbalance.State("new --x", frozenset([40]), outdated="old"))
    assert "irqbalance command: old -> new --x" in [describe(step) for step in plan([target(one, irq={})], state)]


def test_a_drop_in_that_comes_after_ours_is_refused_by_name():
    one = vectors("igb", ["ens1-TxRx-0"])
    state = host(one, irqbalance=irqbalance.State("x", frozenset([40]), outdated="x", overridden="/etc/zzz.conf"))
    _limits, [refusal] = faults([target(one, irq={})], state)
    assert refusal.startswith("/etc/zzz.conf is read after /run/")
    assert faults([target(one)], state) == ([], [])
    assert target(one).request == Request(name=one.name)
