"""What drivers call their vectors: each scheme of the table on names as its driver makes them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irq_names import (
    IDLE,
    NAMES,
    OTHER,
    QUEUE,
    UNKNOWN,
    Owner,
    sort_out,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irqs import Irq, by_name

PCI = "pci:0000:18:00.0"
# Driver: its interface, and each name with the queue, or with what it is for. From the sources that NAMES says, and for
# those that it does not list from intel/*/*_main.c, broadcom/bnxt/bnxt.c, netronome/nfp/nfp_net_common.c and the like.
SEEN: dict[str, tuple[str, dict[str, Any]]] = {
    "alx": ("ens1", {"ens1": OTHER, "ens1-TxRx-0": 0, "ens1-rx-1": 0, "ens1-unused": OTHER}),
    "be2net": ("ens1", {"ens1-q0": 0, "ens1-q1": 1, "ens1-q10": 2}),
    "bna": ("ens1", {"bna": OTHER, "ens1 TXQ 0": 0, "ens1 CQ 0": 0, "ens1 CQ 1": 1}),
    "bnx2": ("ens1", {"ens1-0": 0, "ens1-1": 1}),
    "bnx2x": ("ens1", {"ens1": OTHER, "ens1-fp-0": 0, "ens1-fp-1": 1}),
    "bnxt_en": ("ens1", {"ens1-TxRx-0": 0, "ens1-TxRx-1": 1, f"bnxt_re-nq-1@{PCI}": IDLE}),
    "cxgb3": ("ens1", {"0000:18:00.0": OTHER, "ens1-0": 0, "ens1-1": 1, "ens2-2": IDLE}),
    "forcedeth": ("eth0", {"eth0-rx": 0, "eth0-tx": 0, "eth0-other": OTHER}),
    "qede": ("ens3", {"sp-0-18:00.00": OTHER, "ens3-fp-0": 0, "ens3-fp-1": 1}),
    "cxgb4": (
        "ens1f4",
        {
            "ens1f4": OTHER,
            "ens1f4-FWeventq": OTHER,
            "ens1f4-Rx0": 0,
            "ens1f4-Rx1": 1,
            "ens1f4d1-Rx0": IDLE,
            "ens1f4-iscsi0": IDLE,
            "ens1f4-rdma-ciq0": IDLE,
        },
    ),
    "cxgb4vf": ("ens1", {"0000:18:00.0-FWeventq": OTHER, "ens1-0": 0, "ens1-1": 1}),
    "enic": ("ens1", {"ens1-rx-0": 0, "ens1-rx-1": 1, "ens1-tx-0": 0, "ens1-err": OTHER, "ens1-notify": OTHER}),
    "fsl_enetc": ("eno0", {"eno0-rxtx0": 0, "eno0-rxtx1": 1, "eno0-vfmsg": OTHER}),
    "fsl_enetc_vf": ("eno0", {"eno0-rxtx0": 0, "eno0-rxtx1": 1}),
    "funeth": ("ens1", {"ens1-adminq": OTHER, "ens1-q[1]": 0, "ens1-q[2]": 1}),
    "hinic": (
        "ens1",
        {f"hinic_aeq0@{PCI}": OTHER, f"hinic_ceq1@{PCI}": OTHER, "ens1_rxq0": 0, "ens1_txq0": 0, "ens1_rxq1": 1},
    ),
    "hns3": (
        "ens1",
        {"hns3-0000:7d:00.0-TxRx-0": 0, "hns3-0000:7d:00.0-TxRx-2": 1, "hclge-misc-0000:7d:00.0": OTHER},
    ),
    "i40e": (
        "ens2",
        {
            "i40e-0000:18:00.0:misc": OTHER,
            "i40e-0000:18:00.0:fdir-TxRx-0": OTHER,
            "i40e-ens2-TxRx-0": 0,
            "i40e-ens2-TxRx-1": 1,
        },
    ),
    "iavf": ("ens2", {"iavf-0000:18:02.0:mbx": OTHER, "iavf-ens2-TxRx-0": 0, "iavf-ens2-TxRx-1": 1}),
    "ice": (
        "ens2",
        {
            "ice-0000:18:00.0:misc": OTHER,
            "ice-0000:18:00.0:ll_ts": OTHER,
            "ice-0000:18:00.0:ctrl-TxRx-0": OTHER,
            "ice-ens2-TxRx-0": 0,
            "ice-ens2-TxRx-1": 1,
            "irdma-ice-0000:18:00.0-AEQCEQ-0": IDLE,
        },
    ),
    "idpf": ("ens2", {"idpf-0000:18:00.0-Mailbox-0": OTHER, "idpf-ens2-TxRx-0": 0, "idpf-ens2-Rx-1": 0}),
    "ionic": ("ens1", {"ionic-ens1-L0-rx0": 0, "ionic-ens1-L0-tx0": 0, "ionic-0000:18:00.0-L0-adminq": OTHER}),
    "liquidio": ("ens1", {"LiquidIO0-pf0-aux": OTHER, "LiquidIO0-pf0-rxtx-0": 0, "LiquidIO0-pf0-rxtx-1": 1}),
    "mlx4_en": ("ens1", {f"mlx4-async@{PCI}": OTHER, "mlx4-1@0000:18:00.0": 0, "mlx4-2@0000:18:00.0": 1}),
    "mlx5_core": (
        "ens1",
        {f"mlx5_async0@{PCI}": OTHER, f"mlx5_comp0@{PCI}": 0, f"mlx5_comp1@{PCI}": 1, f"mlx5_sf_comp0@{PCI}": IDLE},
    ),
    "myri10ge": ("ens1", {"ens1:slice-0": 0, "ens1:slice-1": 1}),
    "nfp": ("ens1", {"ens1-lsc": OTHER, "ens1-exn": OTHER, "ens1-rxtx-0": 0, "ens1-rxtx-1": 1}),
    "nicvf": (
        "ens1",
        {"ens1-rxtx-0": 0, "ens1-rxtx-1": 1, "ens1-sq-0": IDLE, "ens1-rbdr-0": IDLE, "NICVF Mbox": OTHER},
    ),
    "octeon_ep": ("ens1", {"ens1-epf_ire_rint": OTHER, "ens1-q0": 0, "ens1-q1": 1}),
    "octeon_ep_vf": ("ens1", {"ens1-q0": 0, "ens1-q1": 1}),
    "qlcnic": ("ens1", {"qlcnic-MB": OTHER, "ens1-tx-0-rx-0": 0, "ens1-rx-1": 1, "ens1-rx-2": 2}),
    "rtase": ("ens1", {"ens1": OTHER, "ens1_int1": 0, "ens1_int2": 1}),
    "rvu_nicpf": ("ens1", {"RVUPF2_ME0": OTHER, "ens1-qerr": OTHER, "ens1-rxtx-0": 0, "ens1-rxtx-1": 1}),
    "rvu_nicvf": ("ens1", {"RVUVFAF Mbox": OTHER, "ens1-rxtx-0": 0}),
    "sfc": ("ens1", {"ens1-0": 0, "ens1-1": 1, "ens1-xdp-0": IDLE, "ens1-ptp": OTHER}),
    "sfc-siena": ("ens1", {"ens1-rx-0": 0, "ens1-rx-1": 1, "ens1-tx-0": 0}),
    "stmmac": ("eth0", {"eth0:rx-0": 0, "eth0:rx-1": 1, "eth0:tx-0": 0, "eth0:mac": OTHER}),
    "tg3": ("eno1", {"eno1-0": OTHER, "eno1-rx-1": 0, "eno1-rx-2": 1, "eno1-tx-1": 0}),
    "of several numbers": ("ens1", {"ens1-TxRx-0-0": 0, "ens1-TxRx-0-1": 1, "ens1-TxRx-1-0": 2}),
}


@pytest.mark.parametrize("driver", SEEN)
def test_a_name_says_what_its_vector_is_for(driver):
    nic, names = SEEN[driver]
    expected = [(QUEUE, duty) if isinstance(duty, int) else (duty, None) for duty in names.values()]
    assert sort_out(list(names), Owner(driver, nic, queues=16)) == expected


@pytest.mark.parametrize("driver", NAMES)
def test_each_scheme_says_where_it_is_written(driver):
    assert ".c" in NAMES[driver].source


def names_of(count):
    return [f"mlx5_async0@{PCI}", *(f"mlx5_comp{number}@{PCI}" for number in range(count))]


@pytest.mark.parametrize(
    ("driver", "names", "used", "queues"),
    [
        ("mlx5_core", names_of(4), 2, [None, 0, 1, None, None]),
        (
            "virtio_net",
            ["virtio3-config", "virtio3-input.0", "virtio3-output.0", "virtio3-input.1"],
            1,
            [None, 0, 0, None],
        ),
        ("mana", ["mana_hwc@pci:1", "mana_q0@pci:1", "mana_q1@pci:1"], 1, [None, 0, None]),
        ("gve", [f"gve-ntfy-blk{number}@{PCI}" for number in range(4)], 1, [0, None, 0, None]),
        # Reports fewer channels than it uses under SR-IOV, so their number says nothing of its vectors.
        ("ixgbe", ["ens1-TxRx-0", "ens1-TxRx-1"], 1, [0, 1]),
    ],
)
def test_vectors_that_outlive_their_channels_are_idle(driver, names, used, queues):
    assert [queue for _duty, queue in sort_out(names, Owner(driver, "ens1", queues=used))] == queues


def test_one_name_for_all_is_told_by_order_where_the_number_of_queues_is_known():
    names = ["eth0"] * 4
    assert sort_out(names, Owner("atlantic", "eth0", queues=2)) == [
        (QUEUE, 0),
        (QUEUE, 1),
        (OTHER, None),
        (OTHER, None),
    ]
    assert sort_out(names, Owner("atlantic", "eth0")) == [(UNKNOWN, None)] * 4


def test_ports_of_one_function_are_told_apart_by_the_kernel_only_where_names_do_not():
    names = [f"mlx4-async@{PCI}", "mlx4-1@0000:18:00.0", "mlx4-2@0000:18:00.0"]
    found = sort_out(names, Owner("mlx4_en", "ens1", ports=2, queues=2))
    assert [duty for duty, _queue in found] == [OTHER, UNKNOWN, UNKNOWN]


def test_an_interface_that_was_renamed_since():
    found = sort_out(["eth0", "eth0-TxRx-0", "eth0-TxRx-1"], Owner("igb", "ens1", queues=2))
    assert found == [(OTHER, None), (QUEUE, 0), (QUEUE, 1)]
    assert sort_out(["eth0-Rx0", "eth0-Rx1"], Owner("cxgb4", "ens1")) == [(QUEUE, 0), (QUEUE, 1)]


@pytest.mark.parametrize("name", ["i40e-0000:18:00.0:misc", "iavf-0000:18:02.0:mbx", f"mlx5_async0@{PCI}"])
def test_what_is_left_of_a_closed_nic_is_no_queue(name):
    assert [(irq.queue, irq.serves) for irq in by_name([Irq(40, name)])] == [(None, OTHER)]


def test_names_of_no_table_are_unknown():
    found = by_name([Irq(40, "foo"), Irq(41, "bar")])
    assert [(irq.queue, irq.serves) for irq in found] == [(None, UNKNOWN)] * 2
