"""Flow rules between words and the kernel's bytes."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import flow_rules as r
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.flow_rules import FlowRule


@pytest.mark.parametrize(
    ("flow_type", "given", "canonical"),
    [
        ("udp4", {"dst_port": 4791}, {"dst_port": "4791"}),
        ("udp4", {"dst_port": "0x12b7"}, {"dst_port": "4791"}),
        ("udp4", {"dst_port": "0x1234/0xf000"}, {"dst_port": "0x1000/0xf000"}),
        ("udp4", {"dst_port": "4791/0"}, {}),
        ("tcp4", {"src_ip": "192.0.2.7/24"}, {"src_ip": "192.0.2.0/24"}),
        ("tcp4", {"src_ip": "192.0.2.7/255.255.255.0"}, {"src_ip": "192.0.2.0/24"}),
        ("tcp4", {"src_ip": "192.0.2.7/255.255.0.255"}, {"src_ip": "192.0.0.7/255.255.0.255"}),
        ("tcp4", {"src_ip": "192.0.2.7/32"}, {"src_ip": "192.0.2.7"}),
        ("tcp4", {"src_ip": "192.0.2.7/0"}, {}),
        ("tcp6", {"dst_ip": "2001:DB8:0::1"}, {"dst_ip": "2001:db8::1"}),
        ("tcp6", {"dst_ip": "2001:db8::1/64"}, {"dst_ip": "2001:db8::/64"}),
        ("ether", {"ethertype": 0x800}, {"ethertype": "0x0800"}),
        ("ether", {"src_mac": "02:00:00:00:00:01"}, {"src_mac": "02:00:00:00:00:01"}),
        (
            "ip4",
            {"dst_mac": "02:00:00:00:00:01/ff:ff:ff:00:00:00"},
            {"dst_mac": "02:00:00:00:00:00/ff:ff:ff:00:00:00"},
        ),
        ("esp6", {"spi": "16"}, {"spi": "0x00000010"}),
        ("udp4", {"vlan": "7", "user_def": 1}, {"vlan": "7", "user_def": "0x0000000000000001"}),
    ],
)
def test_a_match_has_one_form(flow_type, given, canonical):
    assert r.canonical(flow_type, given) == canonical
    assert r.canonical(flow_type, canonical) == canonical


@pytest.mark.parametrize(
    ("flow_type", "given", "words"),
    [
        ("udp5", {}, "flow type udp5 is unknown; known are tcp4, udp4, "),
        ("udp4", {"tclass": 1}, "flow type udp4 has no field tclass; it has src_ip, "),
        ("udp4", {"dst_port": 65536}, "dst_port 65536 does not fit its 16 bits"),
        ("udp4", {"dst_port": "http"}, "dst_port http is not a number"),
        ("udp4", {"dst_port": -1}, "dst_port -1 is not a number"),
        ("udp4", {"src_ip": "2001:db8::1"}, "src_ip 2001:db8::1 is not an address"),
        ("udp4", {"src_ip": "192.0.2.1/33"}, "src_ip 192.0.2.1/33 is not an address, nor one with a mask"),
        ("ether", {"src_mac": "02:00"}, "src_mac 02:00 is not a MAC address"),
    ],
)
def test_a_match_that_cannot_be(flow_type, given, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        r.canonical(flow_type, given)


@pytest.mark.parametrize(
    "rule",
    [
        FlowRule("udp4", {"src_ip": "192.0.2.0/24", "dst_port": "4791"}, 3, 0, 7),
        FlowRule("tcp6", {"dst_ip": "2001:db8::1", "src_port": "0x1000/0xf000", "tclass": "8"}, None, 0, 8),
        FlowRule("ip4", {"l4proto": "17", "l4data": "0x00010002", "dst_mac": "02:00:00:00:00:01"}, 1, 2, 9),
        FlowRule("ip6", {"l4proto": "58"}, 1, 0, 9),
        FlowRule("ether", {"dst_mac": "02:00:00:00:00:01", "ethertype": "0x88cc", "vlan": "7"}, 0, 0, 10),
        FlowRule("esp4", {"spi": "0x00000010", "user_def": "0x0000000000000001"}, 0, 0, 11, 1),
        FlowRule("sctp4", {"vlan_etype": "0x8100"}, 0, 0, 12),
    ],
)
def test_a_rule_survives_the_kernels_form(rule):
    spec = r.encode_rule(rule)
    assert len(spec) == 168
    assert r.decode_rule(spec, rule.rss_context) == rule


@pytest.mark.parametrize(
    ("rule", "laid_out"),
    [
        (
            FlowRule("udp4", {"src_ip": "192.0.2.0/24", "dst_port": "4791", "vlan": "7"}, 3, 2, 7),
            "02000080"
            "c000020000000000000012b700000000000000000000000000000000000000000000000000000000000000000000000000000000"
            "0000000000000000000000070000000000000000"
            "ffffff00000000000000ffff00000000000000000000000000000000000000000000000000000000000000000000000000000000"
            "00000000000000000000ffff0000000000000000"
            "0000000003000000020000000700000000000000",
        ),
        (
            FlowRule(
                "ip6",
                {
                    "dst_ip": "2001:db8::/32",
                    "tclass": "0x8/0xfc",
                    "l4proto": "58",
                    "dst_mac": "02:00:00:00:00:01",
                },
                rss_context=1,
            ),
            "0e000060"
            "0000000000000000000000000000000020010db800000000000000000000000000000000083a0000000000000000000000000000"
            "0000020000000001000000000000000000000000"
            "00000000000000000000000000000000ffffffff00000000000000000000000000000000fcff0000000000000000000000000000"
            "0000ffffffffffff000000000000000000000000"
            "00000000ffffffffffffffffffffffff00000000",
        ),
    ],
)
def test_a_rule_is_laid_out_as_a_c_compiler_does(rule, laid_out):
    """On little-endian machines; the bytes are those of linux/ethtool.h's struct ethtool_rx_flow_spec."""
    assert r.encode_rule(rule).hex() == laid_out
    assert r.decode_rule(bytes.fromhex(laid_out), 1) == replace(rule, location=rule.location or 0xFFFFFFFF)


def test_a_rule_that_drops_or_leaves_the_place_to_the_driver():
    spec = r.encode_rule(FlowRule("ip4", {"src_ip": "192.0.2.1"}))
    assert struct.unpack_from("=QI", spec, 152) == ((1 << 64) - 1, 0xFFFFFFFF)
    assert spec[4 + 13] == 1  # ETH_RX_NFC_IP4


def test_a_foreign_rule_of_an_unknown_type_is_still_one():
    spec = bytearray(r.encode_rule(FlowRule("ip4", {}, 1, 0, 5)))
    spec[0:4] = struct.pack("=I", 0x13)
    assert r.decode_rule(bytes(spec)) == FlowRule("type 0x13", {}, 1, 0, 5)


def test_rules_are_shown_in_words():
    assert str(FlowRule("udp4", {"dst_port": "4791"}, 3, 0, 7)) == "udp4 dst_port 4791 -> queue 3 at 7"
    assert str(FlowRule("tcp4", {}, 1, 2)) == "tcp4 -> queue 1 of VF 2"
    assert str(FlowRule("tcp4", {})) == "tcp4 -> drop"
