"""What a virtio NIC's device offers, as sysfs shows it."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.virtio import lacking

ALL = {0, 5, 15, 32, 33, 40}


@pytest.mark.parametrize(
    ("offered", "lacks"),
    [
        (ALL, ()),
        (ALL - {33}, ("VIRTIO_F_ACCESS_PLATFORM",)),
        (ALL - {33, 40}, ("VIRTIO_F_ACCESS_PLATFORM", "VIRTIO_F_RING_RESET")),
    ],
)
@pytest.mark.parametrize("length", [64, 128])
def test_zero_copy_needs_two_features_of_the_device(machine, offered, lacks, length):
    bits = "".join("1" if bit in offered else "0" for bit in range(length))
    assert lacking(machine({"/sys/class/net/ens1/device/features": f"{bits}\n"}), "ens1") == lacks


def test_what_sysfs_does_not_say_is_not_lacking(machine):
    assert lacking(machine(), "ens1") == ()
