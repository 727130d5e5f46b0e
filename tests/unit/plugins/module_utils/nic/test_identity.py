"""Which NIC is meant, and the key it is saved under."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import Link, XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import identity
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Request


def link(index, name, mac, permanent=None, kind=None):
    return Link(index, name, True, mac, 1500, 1, 1, XdpState(), permanent_mac=permanent, kind=kind)


A, B, C, D = (f"52:54:00:00:00:0{digit}" for digit in "abcd")
# ens1 and ens2 make a bond, which lends them the MAC of the first; p0 and p1 are ports of one PCI function.
TABLE = [
    link(1, "lo", "00:00:00:00:00:00"),
    link(2, "ens1", A, A),
    link(3, "ens2", A, B),
    link(4, "bond0", A, kind="bond"),
    link(5, "bond0.7", A, kind="vlan"),
    link(6, "p0", C, C),
    link(7, "p1", D, D),
    link(8, "veth0", "0a:00:00:00:00:01", kind="veth"),
]
PCI = {"ens1": "0000:81:00.0", "ens2": "0000:82:00.0", "p0": "0000:03:00.0", "p1": "0000:03:00.0"}
ADDRESSES = {one.name: PCI.get(one.name) for one in TABLE}


def names(found):
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(name="ens1"), ["ens1"]),
        (Request(pci="0000:82:00.0"), ["ens2"]),
        (Request(mac=A), ["ens1"]),
        (Request(mac=B), ["ens2"]),
        (Request(name="bond0", mac=A), ["bond0"]),
        (Request(name="ens1", pci="0000:81:00.0", mac=A), ["ens1"]),
        (Request(pci="0000:03:00.0"), ["p0", "p1"]),
        (Request(pci="0000:03:00.0", mac=D), ["p1"]),
        (Request(name="ens1", pci="0000:82:00.0"), []),
        (Request(name="ens9"), []),
    ],
)
def test_all_that_is_given_must_agree(request_, expected):
    assert names(identity._find(request_, TABLE, ADDRESSES)) == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(Request(name="eth7", pci="0000:81:00.0", mac=A), ["ens1"], id="renamed by its driver"),
        pytest.param(Request(name="ens1", pci="0000:90:00.0", mac=B), ["ens2"], id="moved to another slot"),
        pytest.param(Request(name="ens1", pci="0000:81:00.0", mac=D), ["ens1"], id="another card in the slot"),
        pytest.param(Request(name="p0", pci="0000:03:00.0", mac=D), ["p1"], id="a port of a function"),
        pytest.param(Request(name="veth0"), ["veth0"], id="virtual: only its name outlives it"),
        pytest.param(Request(name="ens1", pci="0000:90:00.0", mac="52:54:00:00:00:ff"), [], id="gone"),
    ],
)
def test_a_saved_nic_is_found_again(request_, expected):
    assert names(identity._find_saved(request_, TABLE, ADDRESSES)) == expected


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(pci="0000:03:00.0"), "pci 0000:03:00.0 fits p0, p1: give the name too"),
        (
            Request(name="ens1", pci="0000:82:00.0"),
            "name ens1, pci 0000:82:00.0 are not one NIC: name ens1 is ens1, but pci 0000:82:00.0 is ens2",
        ),
        (Request(name="ens9"), "there is no NIC of name ens9; there are lo (00:00:00:00:00:00), ens1 (0000:81:00.0), "),
    ],
)
def test_why_a_nic_is_not_found(request_, words):
    found = identity._find(request_, TABLE, ADDRESSES)
    assert identity._why_not_found(request_, found, TABLE, ADDRESSES).startswith(words)


@pytest.mark.parametrize(
    ("name", "key"),
    [("ens1", "0000:81:00.0"), ("p1", f"0000:03:00.0 {D}"), ("bond0", "bond0"), ("veth0", "veth0")],
)
def test_the_key_that_a_nic_is_saved_under(name, key):
    [one] = [link for link in TABLE if link.name == name]
    assert identity.key_of(one, ADDRESSES) == key
