"""What drivers make of channels and RSS tables, by the rules of their sources."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.drivers import DRIVERS
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resolve import buckets_after, channels

from .nics import host, nic, target


@pytest.mark.parametrize(
    ("driver", "queues", "buckets"),
    [
        ("mlx5_core", 1, 256),
        ("mlx5_core", 128, 256),
        ("mlx5_core", 129, 512),
        ("bnxt_en", 64, 64),
        ("bnxt_en", 65, 128),
        ("bnxt_en", 129, 256),
        ("bnxt_en", 193, 256),
        ("bnxt_en", 257, 512),
    ],
)
def test_the_size_of_the_rss_table_by_queues(driver, queues, buckets):
    size = DRIVERS[driver].rss_buckets
    assert size is not None
    assert size(queues) == buckets


def test_a_table_for_the_channels_to_come_is_what_fits():
    one = nic("mlx5_core", channels={"combined": Count(16, 512)})
    wide = target(one, channels={"combined": 200}, rss={"table": [0] * 512})
    assert buckets_after(wide.request, one) == 512
    assert faults([wide], host(one)) == ([], [])
    [reason], _refusals = faults([target(one, channels={"combined": 200}, rss={"table": [0] * 256})], host(one))
    assert "an RSS table of 256 buckets; the hardware has 512" in reason


def test_a_table_of_fixed_size_stays():
    one = nic("bnxt_en")  # recorded from a chip with 128 buckets, whatever its channels
    assert buckets_after(target(one, channels={"combined": 4}).request, one) == 128


def test_bnxt_has_combined_channels_or_separate_ones():
    one = nic("bnxt_en")
    [reason], _refusals = faults([target(one, channels={"rx": 4, "tx": 4})], host(one))
    assert "combined channels beside rx and tx ones: bnxt_en has either" in reason
    assert faults([target(one, channels={"combined": 0, "rx": 4, "tx": 4})], host(one)) == ([], [])
    reasons, _refusals = faults([target(one, channels={"combined": 0})], host(one))
    assert len(reasons) == 2


def test_bnxt_reports_under_xdp_what_is_left():
    one = nic("bnxt_en", xdp=XdpState("native", {"native": 7}))
    assert channels(target(one, channels={"combined": "max"}).request, one) == {"combined": 37}
    assert faults([target(one, channels={"combined": 37})], host(one)) == ([], [])


@pytest.mark.parametrize("driver", ["ice", "i40e", "igb", "ixgbe"])
def test_legacy_rx_takes_smaller_frames_under_xdp(driver):
    one = nic(driver, xdp=XdpState("native", {"native": 7}), mtu=3000)
    _limits, [refusal] = faults([target(one, private_flags={"legacy-rx": True})], host(one))
    assert "the most that XDP takes" in refusal
    assert faults([target(one, private_flags={"legacy-rx": False})], host(one)) == ([], [])
    assert faults([target(one, private_flags={"legacy-rx": True}, mtu=1500)], host(one)) == ([], [])
