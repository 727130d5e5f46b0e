"""Samples as flows, and flows as IPFIX messages, read back by another reader."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.flows import Flows
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.ipfix import Encoder
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.sample import Sample

from tests.integration import frames as f
from tests.support.exports import Collector
from tests.unit.plugins.module_utils.samples.made import TIME, observed, sample


def collected(samples: list[Sample], size: int = 1400) -> Collector:
    flows = Flows(1000)
    for one in samples:
        flows.add(one)
    collector = Collector()
    for message, _count in Encoder(4).messages(flows.take(), 1_764_000_000, True, size):
        assert len(message) <= size
        assert collector.take(message) == 1_764_000_000
    assert collector.unknown == 0
    return collector


def test_a_dropped_packet():
    [record] = collected([sample(length=1514)]).records
    assert record == {
        "sourceIPv4Address": "192.0.2.9",
        "destinationIPv4Address": "198.51.100.1",
        "protocolIdentifier": 6,
        "sourceTransportPort": 4000,
        "destinationTransportPort": 4001,
        "tcpControlBits": 2,
        "icmpTypeCodeIPv4": 0,
        "flowStartMilliseconds": TIME // 10**6,
        "flowEndMilliseconds": TIME // 10**6,
        "ingressInterface": 7,
        "vlanId": 0,
        "packetDeltaCount": 1,
        "octetDeltaCount": 40,
        "firewallEvent": 3,
        "forwardingStatus": 130,
        "interfaceName": "ens1",
        "selectorName": "rule_drop rule:no-snmp",
    }


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (observed(), {"firewallEvent": 4, "forwardingStatus": 64, "selectorName": "list_drop list:scanners"}),
        (sample(reason="limit", part="limit:dns"), {"forwardingStatus": 138, "selectorName": "limit limit:dns"}),
        (sample(reason="ban", part=""), {"forwardingStatus": 130, "selectorName": "ban"}),
        (sample(verdict="aborted", reason="malformed", part=""), {"firewallEvent": 3, "forwardingStatus": 128}),
        (
            sample(f.ethernet(f.IPV6, f.ipv6("2001:db8::7"), tags=(f.VLAN,))),
            {"sourceIPv6Address": "2001:db8::7", "protocolIdentifier": 17, "vlanId": 7, "octetDeltaCount": 48},
        ),
        (
            sample(f.ethernet(f.IPV4, f.ipv4("192.0.2.1", bytes((3, 4)) + bytes(6), f.ICMP))),
            {"icmpTypeCodeIPv4": 0x0304, "sourceTransportPort": 0},
        ),
        # Its length claims more than came.
        (sample(f.ethernet(f.IPV4, f.ipv4("192.0.2.1", length=60000))), {"octetDeltaCount": 28}),
        (
            sample(f.ethernet(f.IPV4, b"\x45"), length=60),
            {
                "destinationMacAddress": "02:00:00:00:00:00",
                "sourceMacAddress": "02:00:00:00:00:01",
                "ethernetType": 0x0800,
                "octetDeltaCount": 46,
            },
        ),
        (sample(b"", length=10), {"sourceMacAddress": "00:00:00:00:00:00", "octetDeltaCount": 0}),
    ],
)
def test_what_a_packet_becomes(one, expected):
    [record] = collected([one]).records
    assert {name: record[name] for name in expected} == expected


def test_packets_of_a_flow_are_one_record_and_those_of_another_fate_are_not():
    syn = f.ethernet(f.IPV4, f.ipv4("192.0.2.9", f.TCP_HEADER, f.TCP))
    reset = f.ethernet(f.IPV4, f.ipv4("192.0.2.9", f.TCP_HEADER[:13] + b"\x04" + f.TCP_HEADER[14:] + b"abcd", f.TCP))
    records = collected(
        [sample(syn, time=TIME + 5 * 10**6), sample(reset, time=TIME), observed(syn), sample(syn, interface="ens2")]
    ).records
    assert len(records) == 3
    assert (records[0]["packetDeltaCount"], records[0]["octetDeltaCount"]) == (2, 84)
    assert records[0]["tcpControlBits"] == 0x06
    assert records[0]["flowEndMilliseconds"] - records[0]["flowStartMilliseconds"] == 5


def test_flows_that_find_no_room_are_counted():
    flows = Flows(2)
    for number in range(5):
        flows.add(sample(f.ethernet(f.IPV4, f.ipv4(f"192.0.2.{number}"))))
    flows.add(sample(f.ethernet(f.IPV4, f.ipv4("192.0.2.0"))))
    assert [flow.packets for flow in flows.take()] == [2, 1]
    assert flows.left_out == 3
    flows.add(sample())
    assert len(flows.take()) == 1


@pytest.mark.parametrize("size", [512, 700, 1400])
def test_many_flows_of_both_families_fill_messages_of_any_size(size):
    mixed = [
        sample(
            f.ethernet(f.IPV4, f.ipv4(f"192.0.2.{number}"))
            if number % 3
            else f.ethernet(f.IPV6, f.ipv6(f"2001:db8::{number}")),
            interface="n" * 15,
            part="rule:" + "é" * 200,
        )
        for number in range(100)
    ]
    collector = collected(mixed, size)
    assert len(collector.records) == 100
    assert collector.lost == {4: 0}
    assert len(collector.templates) == 3


def test_sequence_numbers_tell_of_a_message_that_was_lost_and_templates_come_when_requested():
    encoder, collector = Encoder(4), Collector()
    for round_ in range(4):
        flows = Flows(10)
        flows.add(sample(f.ethernet(f.IPV4, f.ipv4(f"192.0.2.{round_}"))))
        flows.add(sample(f.ethernet(f.IPV4, f.ipv4(f"192.0.3.{round_}"))))
        [(message, count)] = encoder.messages(flows.take(), 0, round_ in (0, 2), 1400)
        assert count == 2
        if round_ != 1:
            collector.take(message)
    assert len(collector.records) == 6
    assert collector.lost == {4: 2}
    assert [message for message, _count in encoder.messages([], 0, False, 1400)] == []
    [(message, count)] = encoder.messages([], 0, True, 1400)
    assert count == 0


def test_a_sequence_number_begins_again_after_the_last():
    encoder = Encoder(4)
    encoder.sequence = 2**32 - 1
    for expected in (2**32 - 1, 0):
        flows = Flows(1)
        flows.add(sample())
        [(message, _count)] = encoder.messages(flows.take(), 0, False, 1400)
        assert int.from_bytes(message[8:12], "big") == expected
