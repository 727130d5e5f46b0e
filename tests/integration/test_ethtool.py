"""A driver's settings on a real kernel, with ethtool(8) and iproute2 as the second reader.

veth has split channels, features and nothing else, so that the rest shows how a refusal reads.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import ethtool, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count, FlowRule
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import recording
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState

from tests.integration import lab

NIC, PEER = "nic0", "peer0"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def _nic() -> Iterator[None]:
    """A NIC of four queues each way, in a network namespace in which the test works."""
    with lab.namespace() as namespace, lab.inside(namespace):
        queues = ("numrxqueues", "4", "numtxqueues", "4")
        run("ip", "link", "add", NIC, *queues, "type", "veth", "peer", "name", PEER, *queues)
        yield


def channels() -> dict[str, int]:
    """Return the current counts that ethtool(8) shows."""
    current = run("ethtool", "-l", NIC).partition("Current hardware settings:")[2]
    return {word.lower(): int(count) for word, count in re.findall(r"(\w+):\s+(\d+)", current)}


def features() -> dict[str, tuple[bool, bool]]:
    """Return (on, fixed) of the features that ethtool(8) shows by the kernel's name."""
    lines = re.findall(r"^\t?([\w-]+): (on|off)(.*)$", run("ethtool", "-k", NIC), re.MULTILINE)
    return {name: (state == "on", "[fixed]" in rest) for name, state, rest in lines}


def test_what_the_driver_has_and_what_it_lacks():
    settings = ethtool.read_settings(NIC)
    assert settings.driver == "veth"
    assert settings.channels == {"rx": Count(4, 4), "tx": Count(4, 4)}
    lacking = ("rings", "ring_options", "coalesce", "pause", "private_flags", "rss", "flow_rules")
    assert {name: getattr(settings, name) for name in lacking} == dict.fromkeys(lacking)
    assert settings.hash_fields == {}


def test_features_are_as_ethtool_shows_them():
    ours = ethtool.read_settings(NIC).features
    shown = {name: state for name, state in features().items() if name in ours}
    assert len(shown) > 30
    assert {name: (ours[name].active, not ours[name].changeable) for name in shown} == shown


def test_split_channels_are_set_in_one_request():
    ethtool.set_channels(NIC, {"rx": 2, "tx": 3})
    assert channels() == {"rx": 2, "tx": 3}
    assert ethtool.read_settings(NIC).channels == {"rx": Count(2, 4), "tx": Count(3, 4)}


def test_features_are_turned_on_and_off_in_one_request():
    ethtool.set_features(NIC, {"rx-gro": True, "tx-checksum-ip-generic": False})
    found = ethtool.read_settings(NIC).features
    assert (found["rx-gro"].active, found["tx-checksum-ip-generic"].active) == (True, False)
    assert features()["tx-checksum-ip-generic"] == (False, False)


def test_a_feature_that_hangs_on_another_stays_as_it_was_and_says_so():
    words = rf"^{NIC}: feature tx-tcp-segmentation stays off: the driver does not let it change, or another setting"
    with pytest.raises(ApplyFailed, match=words):
        ethtool.set_features(NIC, {"tx-checksum-ip-generic": False, "tx-tcp-segmentation": True})


RULE = FlowRule("udp4", {"dst_port": "4791"}, 1, 0, 3)


NO = "Operation not supported (EOPNOTSUPP)"
TOO_MANY = "requested channel count exceeds maximum (EINVAL)"


@pytest.mark.parametrize(
    ("set_it", "values", "words"),
    [
        (ethtool.set_channels, [{"rx": 2, "tx": 9}], f"channels tx 9: {TOO_MANY}"),
        (ethtool.set_channels, [{"combined": 1}], f"channels combined 1: {TOO_MANY}"),
        (ethtool.set_rings, [{"rx": 512}], f"ring rx 512: {NO}"),
        (ethtool.set_coalesce, [{"rx_usecs": 5, "tx_usecs": 5}], f"coalesce rx_usecs 5, tx_usecs 5: {NO}"),
        (ethtool.set_pause, [{"rx": True}], f"pause rx on: {NO}"),
        (ethtool.set_features, [{"rx-lro": True}], "feature rx-lro stays off: the driver does not let it change"),
        (ethtool.set_features, [{"rx-no": True}], "feature rx-no on: bit name not found (EOPNOTSUPP)"),
        (ethtool.set_private_flags, [{"x": True}], f"private flag x on: {NO}"),
        (ethtool.set_rss, ["default"], f"RSS table default: {NO}"),
        (ethtool.set_rss, [[0, 1]], f"RSS table of 2 entries up to queue 1: {NO}"),
        (ethtool.set_hash_fields, ["udp4", "sdfn"], f"hash fields udp4 sdfn: {NO}"),
        (
            ethtool.insert_flow_rule,
            [RULE],
            f"flow rule udp4 dst_port 4791 -> queue 1 at 3: {NO}: the driver has no such rules, or its feature "
            "rx-ntuple-filter is off",
        ),
        (ethtool.delete_flow_rule, [3], f"flow rule at 3: {NO}"),
    ],
)
def test_a_refusal_says_where_what_and_why(set_it: Callable[..., Any], values: list[Any], words: str):
    before = ethtool.read_settings(NIC)
    with pytest.raises(ApplyFailed) as raised:
        set_it(NIC, *values)
    assert str(raised.value).startswith(f"{NIC}: {words}")
    assert ethtool.read_settings(NIC) == before


def test_an_interface_that_left():
    run("ip", "link", "delete", NIC)
    with pytest.raises(Impossible, match=rf"^{NIC}: .*\(ENODEV\)$"):
        ethtool.read_settings(NIC)
    with pytest.raises(ApplyFailed, match=rf"^{NIC}: channels rx 1: no device matches name \(ENODEV\)$"):
        ethtool.set_channels(NIC, {"rx": 1})
    with pytest.raises(Impossible, match=rf"^{NIC}: there is no such interface; there are lo$"):
        recording.record(NIC, Host())


def shown_link() -> dict[str, Any]:
    [found] = json.loads(run("ip", "-j", "-d", "link", "show", NIC))
    return found


def test_a_links_mtu_queue_and_state_are_set_in_one_request():
    link = netlink.link(NIC)
    netlink.set_link(link.index, up=True, mtu=9000, txqueuelen=77)
    run("ip", "link", "set", PEER, "up")
    shown = shown_link()
    assert (shown["mtu"], shown["txqlen"], "UP" in shown["flags"]) == (9000, 77, True)
    link = netlink.link(NIC)
    assert (link.mtu, link.txqueuelen, link.up, link.carrier) == (9000, 77, True, True)
    netlink.set_link(link.index, up=False)
    assert "UP" not in shown_link()["flags"]
    assert shown_link()["mtu"] == 9000
    with pytest.raises(netlink.NetlinkError, match=r"mtu less than device minimum \(EINVAL\)"):
        netlink.set_link(link.index, mtu=1)


def test_a_vlan_and_a_bridge_are_what_a_link_carries():
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", NIC, "master", "br0")
    table = netlink.links()
    index = {link.name: link.index for link in table}
    assert netlink.uppers(index[NIC], table) == {index["br0"]}
    assert netlink.lowers(index["br0"], table) == {index[NIC]}
    assert netlink.uppers(index[PEER], table) == set()


def test_a_record_is_the_state_that_was_read():
    recorded = json.loads(json.dumps(recording.record(NIC, Host())))
    state = NicState.from_json(recorded["nic"])
    assert state.settings == ethtool.read_settings(NIC)
    assert state.link == netlink.link(NIC)
