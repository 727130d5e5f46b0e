"""What a program on a device of each kind would see, on tables of links as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import HARDWARE_LOOPBACK, Link, XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import Device, obstacles
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.placement import (
    lower_name,
    misplaced,
    unfiltered_ports,
    unfiltered_uppers,
)

NIC = Link(2, "ens1", True, "02:00:00:00:00:01", 1500, 1, 1, XdpState())
OTHER = replace(NIC, index=3, name="ens2")
RUNS = XdpState("native", {"native": 5})


def device(**attributes) -> Link:
    return replace(NIC, index=9, name="dev0", **attributes)


def on(link: Link, table: list[Link]) -> Device:
    return Device.of(link, Settings(), None, 1500, {}, lambda _feature: False, table)


@pytest.mark.parametrize(
    ("link", "ports", "found", "instead"),
    [
        (
            device(kind="tun", hardware_type=65534),
            [],
            "without an Ethernet header (type 65534",
            "the NIC that its packets",
        ),
        (device(kind="wireguard", hardware_type=65534), [], "dev0 (wireguard) has frames without", "the NIC that its"),
        (device(hardware_type=512), [], "(type 512, PPP)", "nftables on dev0: below it there is no IP header"),
        (device(kind="rmnet", hardware_type=519, parent=2), [], "(type 519, raw IP)", "nftables on dev0"),
        (
            device(kind="ipip", hardware_type=768, parent=2),
            [],
            "(type 768, IP in IP)",
            "ens1; the program sees",
        ),
        (device(kind="gre", hardware_type=778), [], "(type 778, GRE)", "the NIC that"),
        (device(kind="sit", hardware_type=776), [], "(type 776, IPv6 in IP (sit))", "the NIC that"),
        (device(kind="ip6tnl", hardware_type=769), [], "(type 769, IP in IPv6)", "the NIC that"),
        (device(kind="ip6gre", hardware_type=823), [], "(type 823, GRE over IPv6)", "the NIC that"),
        (device(kind="ipoib", hardware_type=32), [], "(type 32, InfiniBand)", "nftables on dev0"),
        (device(hardware_type=4711), [], "(type 4711, not Ethernet)", "nftables on dev0"),
        (device(kind="bridge"), [NIC, OTHER], "dev0 (bridge) does not see bridged frames", "each port: ens1, ens2"),
        (device(kind="bridge"), [], "dev0 (bridge) does not see bridged frames", "of which there are none yet"),
        (device(kind="openvswitch"), [NIC], "frames that Open vSwitch forwards", "each port: ens1"),
        (device(kind="vrf"), [NIC, OTHER], "behind the receive path of its members", "each of ens1, ens2"),
        (device(kind="ipvlan", ipvlan_mode="l3s", parent=2), [], "an ipvlan in mode l3s", "ens1"),
        (device(kind="ifb"), [], "go on as those of the device that they came from", "the NIC that"),
    ],
)
def test_a_device_that_does_not_see_what_arrives_is_named_with_the_one_to_use(link, ports, found, instead):
    table = [*(replace(port, master=9) for port in ports), *([] if ports else [NIC]), link]
    [one] = misplaced(link, table)
    assert found in one.found
    assert instead in one.remedy
    for mode in ("native", "generic", "offload"):
        assert any(found in obstacle.found and obstacle.blind for obstacle in obstacles(on(link, table), mode))


@pytest.mark.parametrize(
    "link",
    [
        NIC,
        device(kind="veth"),
        device(kind="tun"),  # tap
        device(kind="bond"),
        device(kind="team"),
        device(kind="vlan", parent=2),
        device(kind="macvlan", parent=2),
        device(kind="ipvlan", ipvlan_mode="l2", parent=2),
        device(kind="ipvlan", ipvlan_mode="l3", parent=2),
        device(kind="vxlan", parent=2),
        device(kind="gretap"),
        device(kind="dsa", parent=2),
        device(kind="hsr"),
        device(kind="batadv"),
        device(hardware_type=HARDWARE_LOOPBACK),
        device(master=3),
    ],
)
def test_devices_that_see_what_arrives(link):
    assert list(misplaced(link, [NIC, OTHER, link])) == []


def test_the_conduit_of_a_switch_sees_its_tags():
    ports = [replace(NIC, index=number, name=f"lan{number}", kind="dsa", parent=2) for number in (5, 6)]
    [one] = misplaced(NIC, [NIC, *ports])
    assert "ens1 is the conduit of a switch" in one.found
    assert "lan5, lan6" in one.remedy


def test_the_kernel_takes_none_below_a_bond_that_has_one():
    bond, port = device(kind="bond", xdp=RUNS), replace(NIC, master=9)
    [one] = misplaced(port, [port, bond])
    assert "dev0, which ens1 is part of, has a program" in one.found
    assert not one.blind, "a program that runs there all the same sees what arrives"


@pytest.mark.parametrize(("kind", "words"), [("hsr", "frames carry its tags"), ("batadv", "frames hold those of")])
def test_a_port_whose_frames_hold_others_names_the_device_they_come_up_through(kind, words):
    """The program on the port would find no IP in them, and pass all."""
    upper, port = device(kind=kind), replace(NIC, master=9)
    [one] = misplaced(port, [port, upper])
    assert f"ens1 is part of dev0 ({kind})" in one.found
    assert words in one.found
    assert one.remedy == "dev0, in mode generic"
    assert one.blind


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan"])
def test_what_is_carried_names_what_carries_it(kind):
    link = device(kind=kind, parent=2)
    assert lower_name(link, [NIC, link]) == "ens1"
    [one] = obstacles(replace(on(link, [NIC, link]), xdp_features=set()), "native")
    assert one.remedy == "choose mode generic, which is slower, or ens1"
    assert lower_name(device(kind="veth", parent=2), [NIC]) is None


def test_ports_of_a_bond_that_would_pass_unfiltered():
    bond, first, second = device(kind="bond"), replace(NIC, master=9), replace(OTHER, master=9)
    table = [bond, first, second]
    assert unfiltered_ports(first, table, ["ens1"]) == ["ens2"]
    assert unfiltered_ports(first, table, ["ens1", "ens2"]) == []
    assert unfiltered_ports(first, [bond, first, replace(second, xdp=RUNS)], ["ens1"]) == []
    assert unfiltered_ports(NIC, table, ["ens1"]) == []


def test_a_device_that_decrypts_behind_the_program_is_named():
    upper = device(kind="macsec", parent=2)
    assert unfiltered_uppers(NIC, [NIC, upper], ["ens1"]) == ["dev0"]
    assert unfiltered_uppers(NIC, [NIC, upper], ["ens1", "dev0"]) == []
    assert unfiltered_uppers(NIC, [NIC, replace(upper, xdp=RUNS)], ["ens1"]) == []
    assert unfiltered_uppers(OTHER, [NIC, upper], ["ens2"]) == []
    assert unfiltered_uppers(NIC, [NIC, device(kind="vlan", parent=2)], ["ens1"]) == []
