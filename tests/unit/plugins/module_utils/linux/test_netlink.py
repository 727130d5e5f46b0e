"""Reading what rtnetlink sends."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink as n
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink_socket as nl


def message(*attributes: bytes, index: int = 7, flags: int = 1) -> bytes:
    return n._LINK_HEADER.pack(0, 1, index, flags, 0) + b"".join(attributes)


BASICS = (
    nl.attribute(n._IFNAME, b"ens1\0"),
    nl.attribute(n._MTU, nl.u32(1500)),
    nl.attribute(n._RX_QUEUES, nl.u32(8)),
    nl.attribute(n._TX_QUEUES, nl.u32(16)),
)


def test_a_link_of_hardware():
    link = n._parse_link(
        message(
            *BASICS,
            nl.attribute(n._ADDRESS, bytes.fromhex("020000000001")),
            nl.attribute(n._PERMANENT_ADDRESS, bytes.fromhex("020000000002")),
            nl.attribute(n._MAX_MTU, nl.u32(9216)),
            nl.attribute(n._PARENT_NAME, b"0000:81:00.0\0"),
            nl.attribute(n._PARENT_BUS, b"pci\0"),
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
        ([(n._XDP_ATTACHED, b"\1"), (4, nl.u32(9)), (5, nl.u32(9))], n.XdpState("native", {"native": 9})),
        ([(n._XDP_ATTACHED, b"\2"), (6, nl.u32(9))], n.XdpState("generic", {"generic": 9})),
        ([(n._XDP_ATTACHED, b"\2"), (4, nl.u32(9))], n.XdpState("generic", {"generic": 9})),
        (
            [(n._XDP_ATTACHED, b"\4"), (5, nl.u32(8)), (7, nl.u32(9))],
            n.XdpState("multi", {"native": 8, "offload": 9}),
        ),
    ],
)
def test_xdp_states(attributes, state):
    nest = b"".join(nl.attribute(kind, value) for kind, value in attributes)
    assert n._parse_link(message(*BASICS, nl.attribute(n._XDP | nl.NESTED, nest))).xdp == state


def test_the_loopback_of_this_machine():
    loopback = n.link("lo")
    assert loopback is not None
    assert (loopback.index, loopback.xdp) == (1, n.XdpState())
    assert loopback in n.links()


@pytest.mark.parametrize("name", ["", "no-such-link", "longer-than-a-name"])
def test_an_unknown_name_is_none(name):
    assert n.link(name) is None


def a_link(index: int, name: str, **more) -> n.Link:
    return n.Link(index, name, True, "", 1500, 1, 1, n.XdpState(), **more)


# Two NICs in a bond with a VLAN on it, which is a port of a bridge; a veth pair, one end in the same bridge.
TABLE = [
    a_link(2, "ens1", master=4),
    a_link(3, "ens2", master=4),
    a_link(4, "bond0"),
    a_link(5, "bond0.7", parent=4, master=6),
    a_link(6, "br0"),
    a_link(7, "veth0", parent=8, master=6),
    a_link(8, "veth1", parent=7),
]


@pytest.mark.parametrize(
    ("index", "above", "below"),
    [(2, {4, 5, 6}, set()), (4, {5, 6}, {2, 3}), (6, set(), {2, 3, 4, 5, 7}), (7, {6}, set()), (8, set(), set())],
)
def test_what_a_link_carries_and_what_carries_it(index, above, below):
    assert n.uppers(index, TABLE) == above
    assert n.lowers(index, TABLE) == below


def test_a_links_place_among_others():
    link = n._parse_link(
        message(
            *BASICS,
            nl.attribute(n._CARRIER, b"\1"),
            nl.attribute(n._TXQLEN, nl.u32(1000)),
            nl.attribute(n._MASTER, nl.u32(4)),
            nl.attribute(n._LINK, nl.u32(9)),
        )
    )
    assert (link.carrier, link.txqueuelen, link.master, link.parent) == (True, 1000, 4, 9)


def test_a_parent_in_another_namespace_is_none_here():
    parts = [nl.attribute(n._LINK, nl.u32(9)), nl.attribute(n._LINK_NETNSID, nl.u32(0))]
    assert n._parse_link(message(*BASICS, *parts)).parent is None
