"""Which steps put the connection at risk."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Change
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import resource


@pytest.mark.parametrize(
    ("path", "through_the_driver"),
    [
        (("ens1", "rings", "rx"), True),
        (("ens1", "up"), True),
        (("ens1", "irq", "ens1-TxRx-0"), False),
        (("ens1", "xps", "tx-0"), False),
        (("irqbalance", "banned"), False),
        (("host", "rps_sock_flow_entries"), False),
        (("state file", "nic"), False),
    ],
)
def test_only_what_goes_through_a_driver_is_guarded(path, through_the_driver):
    assert resource.is_setting(Change(path, None, 1)) is through_the_driver
