"""Times that drivers refuse, or make others of: found before they are set, as their sources say."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.coalesce import COALESCING, faults, unknown
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults as nic_faults
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.plan import notes

from .nics import DRIVERS, host, nic, target

NOW = {"rx_usecs": 50, "tx_usecs": 50, "adaptive_rx": True, "adaptive_tx": False, "rx_usecs_high": 0, "rx_frames": 8}


def found(driver, now=None, **requested):
    return list(faults(requested, Settings(driver, coalesce={**NOW, **(now or {})}, channels={})))


@pytest.mark.parametrize(
    ("driver", "requested", "words"),
    [
        ("ice", {"rx_usecs": 20}, "coalesce rx_usecs 20: ice changes none while it adapts it"),
        ("ice", {"rx_usecs": 20, "adaptive_rx": True}, "adaptive_rx false too"),
        ("i40e", {"tx_usecs": 20, "adaptive_tx": True}, "adaptive_tx false too"),
        ("ice", {"rx_usecs": 21, "adaptive_rx": False}, "would become another time in ice: use 20"),
        ("i40e", {"tx_usecs": 3}, "would become another time in i40e: use 2"),
        ("iavf", {"rx_usecs": 7}, "use 6"),
        ("ice", {"rx_usecs": 8162, "adaptive_rx": False}, "rx_usecs 8162 > 8160, the most that ice takes"),
        ("ice", {"rx_usecs_high": 237}, "rx_usecs_high 237 > 236"),
        ("igb", {"rx_usecs": 2}, "coalesce rx_usecs 2: igb takes 0, 1, 3 and 10 to 10000"),
        ("igc", {"rx_usecs": 9}, "igc takes 0, 1, 3 and 10 to 10000"),
        ("ixgbe", {"rx_usecs": 1023}, "rx_usecs 1023 > 1022"),
        ("ixgbevf", {"tx_usecs": 1023}, "tx_usecs 1023 > 1022"),
    ],
)
def test_what_a_driver_would_refuse_or_change(driver, requested, words):
    [reason] = found(driver, **requested)
    assert words in reason


@pytest.mark.parametrize(
    ("driver", "requested"),
    [
        ("ice", {"rx_usecs": 20, "adaptive_rx": False}),
        ("ice", {"rx_usecs": 50}),  # what it is already
        ("i40e", {"tx_usecs": 8160}),
        ("igb", {"rx_usecs": 3}),
        ("igb", {"rx_usecs": 10}),
        ("igb", {"rx_usecs": 10000}),
        ("ixgbe", {"rx_usecs": 1022}),
        ("mlx5_core", {"rx_usecs": 99999}),  # nobody knows
    ],
)
def test_what_a_driver_takes(driver, requested):
    assert found(driver, **requested) == []


def test_a_vector_of_both_ways_has_one_time():
    one = nic("igb", coalesce={"rx_usecs": 3, "tx_usecs": 0})
    [reason], _refusals = nic_faults([target(one, coalesce={"tx_usecs": 30})], host(one))
    assert reason == "ens1: coalesce tx_usecs 30: igb takes rx_usecs for both ways of combined channels; leave it out"


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_recorded_nics_have_is_never_refused(driver):
    settings = nic(driver).settings
    assert list(faults(settings.coalesce or {}, settings)) == []


def test_limits_that_nobody_knows_are_said_to_be_so():
    one, known = nic("mlx5_core"), nic("ice")
    assert unknown({"rx_usecs": 12, "rx_frames": 128, "adaptive_rx": False}, one.settings) == ["rx_usecs"]
    assert unknown({"rx_usecs": 12}, known.settings) == []
    [note] = notes([target(one, coalesce={"rx_usecs": 12})], host(one))[one.name]
    assert note == "coalesce rx_usecs: which values its driver takes shows only when they are set"


@pytest.mark.parametrize("driver", COALESCING)
def test_each_row_says_where_it_is_written(driver):
    assert ".c" in COALESCING[driver].source
