"""Reading what rtnetlink sends."""

from __future__ import annotations

import errno
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils import _netlink as n


def message(*attributes: bytes, index: int = 7, flags: int = 1) -> bytes:
    return n._LINK_HEADER.pack(0, 1, index, flags, 0) + b"".join(attributes)


BASICS = (
    n._attribute(n._IFNAME, b"ens1\0"),
    n._attribute(n._MTU, n._u32(1500)),
    n._attribute(n._RX_QUEUES, n._u32(8)),
    n._attribute(n._TX_QUEUES, n._u32(16)),
)


def test_a_link_of_hardware():
    link = n._parse_link(
        message(
            *BASICS,
            n._attribute(n._ADDRESS, bytes.fromhex("020000000001")),
            n._attribute(n._PERMANENT_ADDRESS, bytes.fromhex("020000000002")),
            n._attribute(n._MAX_MTU, n._u32(9216)),
            n._attribute(n._PARENT_NAME, b"0000:81:00.0\0"),
            n._attribute(n._PARENT_BUS, b"pci\0"),
        )
    )
    assert link == n.Link(
        7,
        "ens1",
        True,
        "02:00:00:00:00:01",
        1500,
        8,
        16,
        n.XdpState(),
        "02:00:00:00:00:02",
        0,
        9216,
        None,
        "pci",
        "0000:81:00.0",
    )


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ([(n._XDP_ATTACHED, b"\0")], n.XdpState()),
        ([(n._XDP_ATTACHED, b"\1"), (4, n._u32(9)), (5, n._u32(9))], n.XdpState("native", {"native": 9})),
        ([(n._XDP_ATTACHED, b"\2"), (6, n._u32(9))], n.XdpState("generic", {"generic": 9})),
        ([(n._XDP_ATTACHED, b"\2"), (4, n._u32(9))], n.XdpState("generic", {"generic": 9})),
        (
            [(n._XDP_ATTACHED, b"\4"), (5, n._u32(8)), (7, n._u32(9))],
            n.XdpState("multi", {"native": 8, "offload": 9}),
        ),
    ],
)
def test_xdp_states(attributes, state):
    nest = b"".join(n._attribute(kind, value) for kind, value in attributes)
    assert n._parse_link(message(*BASICS, n._attribute(n._XDP | n._NESTED, nest))).xdp == state


def test_the_kernels_words_reach_the_error():
    words = b"veth: Peer MTU is too large to set XDP\0"
    content = struct.pack("=i", -errno.ERANGE) + b"\0" * 16 + n._attribute(n._ERROR_MESSAGE, words)
    with pytest.raises(n.NetlinkError) as raised:
        n._raise_if_error(content, n._ACK_TLVS)
    assert str(raised.value) == "veth: Peer MTU is too large to set XDP (ERANGE)"
    with pytest.raises(n.NetlinkError, match=r"No such device \(ENODEV\)"):
        n._raise_if_error(struct.pack("=i", -errno.ENODEV) + b"\0" * 16, 0)
    n._raise_if_error(struct.pack("=i", 0) + b"\0" * 16, 0)


def test_the_loopback_of_this_machine():
    loopback = n.link("lo")
    assert loopback is not None
    assert (loopback.index, loopback.xdp) == (1, n.XdpState())
    assert loopback in n.links()


@pytest.mark.parametrize("name", ["", "no-such-link", "longer-than-a-name"])
def test_an_unknown_name_is_none(name):
    assert n.link(name) is None
