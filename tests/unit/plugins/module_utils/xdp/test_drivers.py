"""Drivers' conditions for XDP."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import (
    ANY_DRIVER,
    XDP_LIMITS,
    Around,
    Device,
    obstacles,
    xdp_limits,
)


@pytest.mark.parametrize(
    ("driver", "page", "mtu"),
    [
        # Tried on 6.12: this is accepted and the next is refused.
        ("igb", 4096, 3046),
        ("vmxnet3", 4096, 3494),
        ("virtio_net", 4096, 3506),
        ("veth", 4096, 3506),
        # As the drivers' own messages say.
        ("ena", 4096, 3498),
        ("mlx5_core", 4096, 3498),
        ("ice", 4096, 3046),
        ("ixgbe", 4096, 3050),
        ("igc", 4096, 1500),
        ("gve", 4096, 2032),
        ("nosuch", 4096, 3506),
        ("nosuch", 65536, 64946),
        ("igc", 65536, 1500),
    ],
)
def test_the_largest_mtu(driver, page, mtu, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: page)
    assert xdp_limits(driver).mtu == mtu


def test_a_driver_that_nobody_knows_has_what_most_need():
    assert xdp_limits(None) is xdp_limits("nosuch") is ANY_DRIVER


def test_every_row_says_where_it_comes_from():
    assert [
        name for name, limits in XDP_LIMITS.items() if ".c" not in limits.source and ".h" not in limits.source
    ] == []


@pytest.mark.parametrize(
    ("driver", "mtu", "legacy"),
    [("i40e", 3046, 1702), ("ice", 3046, 1638), ("igb", 3046, 2022), ("ixgbe", 3050, 2026), ("ixgbevf", 3050, 2026)],
)
def test_the_private_flag_legacy_rx_makes_buffers_smaller(driver, mtu, legacy):
    limits = xdp_limits(driver)
    assert (limits.largest_mtu(False), limits.largest_mtu(True)) == (mtu, legacy)
    [obstacle] = obstacles(Device("ens1", driver, mtu=legacy + 1, legacy=True), "native")
    assert "private_flags: {legacy-rx: false}" in obstacle.remedy
    assert list(obstacles(Device("ens1", driver, mtu=legacy, legacy=True), "native")) == []


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (Around(virtual_functions=2), "2 virtual functions; needed: none for driver ixgbe"),
        (Around(traffic_classes=4), "4 traffic classes; needed: none for driver ixgbe"),
        (Around(cpus=129), "129 possible CPUs; needed: at most 128 for driver ixgbe"),
    ],
)
def test_ixgbe_runs_xdp_alone_and_on_so_many_cpus(around, words):
    [obstacle] = obstacles(Device("ens1", "ixgbe", around=around), "native")
    assert str(obstacle).startswith(words)
    assert list(obstacles(Device("ens1", "ixgbe", around=Around(cpus=128)), "native")) == []
    assert list(obstacles(Device("ens1", "ixgbe", around=around), "generic")) == []
    assert list(obstacles(Device("ens1", "i40e", around=around), "native")) == []


def test_bnxt_needs_a_spare_transmit_ring_for_each_channel():
    def found(count):
        device = Device("ens1", "bnxt_en", channels={"combined": count, "rx": 0, "tx": 0}, most_channels=74)
        return [str(one) for one in obstacles(device, "native")]

    assert found(37) == []
    assert found(38) == [
        "38 of 74 channels; needed: half of them for driver bnxt_en: at most 37 channels in nic_interfaces"
    ]


def test_what_else_uses_the_queues_is_read(machine):
    queues = "/sys/class/net/ens1/queues"
    host = machine(
        {
            "/sys/class/net/ens1/device/sriov_numvfs": "3\n",
            f"{queues}/tx-0/traffic_class": "0\n",
            f"{queues}/tx-1/traffic_class": "1-2\n",
            f"{queues}/rx-0/rps_cpus": "0\n",
            "/sys/devices/system/cpu/possible": "0-191\n",
        }
    )
    assert Around.read(host, "ens1") == Around(3, 2, 192)
    assert Around.read(host, "lo") == Around(0, 1, 192)
