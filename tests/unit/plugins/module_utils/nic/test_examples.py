"""What the examples request of a NIC is within what makes of servers' NICs can do."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults

from tests.support import examples

from .nics import host, nic, target

# Not the recorded ice, whose channels are held for RDMA.
DRIVERS = ("bnxt_en", "i40e", "igb", "ixgbe", "mlx5_core")
REQUESTED = [
    pytest.param({key: value for key, value in one.items() if key != "name"}, id=f"{name}-{on}")
    for name in examples.NAMES
    for on, said in examples.variables(name).items()
    for one in said.get("nic_interfaces", [])
]


def test_examples_request_something_of_nics() -> None:
    assert len(REQUESTED) == 3


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("options", REQUESTED)
def test_a_recorded_nic_can_do_what_an_example_requests(driver, options):
    state = nic(driver)
    assert faults([target(state, **options)], host(state)) == ([], [])
