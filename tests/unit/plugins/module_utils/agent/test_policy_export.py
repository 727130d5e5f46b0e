"""What the exporter makes of counters and options."""

from __future__ import annotations

import argparse

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_export
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.metrics import render
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_export import collector_address
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.collector import Collector
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.hits import Hits


def test_parts_are_series_by_nic_kind_and_id():
    found = {
        "ens2": [Hits("rule:no-snmp", 0, 0, 0, 0, None)],
        "ens1": [Hits("rule:no-snmp", 3, 126, 0, 0, 1_764_000_000.12345), Hits("list:a:b", 0, 0, 2, 84, 1.0)],
    }
    lines = [line for line in render(policy_export.part_families(found)).splitlines() if not line.startswith("#")]
    assert lines[:3] == [
        'tripod_policy_packets_total{interface="ens1",part="rule",id="no-snmp"} 3',
        'tripod_policy_packets_total{interface="ens1",part="list",id="a:b"} 0',
        'tripod_policy_packets_total{interface="ens2",part="rule",id="no-snmp"} 0',
    ]
    assert len([line for line in lines if "_total{" in line]) == 12
    assert 'tripod_policy_observed_bytes_total{interface="ens1",part="list",id="a:b"} 84' in lines
    assert lines[-2:] == [
        'tripod_policy_last_hit_timestamp_seconds{interface="ens1",part="rule",id="no-snmp"} 1764000000.123',
        'tripod_policy_last_hit_timestamp_seconds{interface="ens1",part="list",id="a:b"} 1.0',
    ]


def test_what_a_collector_was_sent_is_counted_where_there_is_one():
    without = render(policy_export.sample_families({"ens1": 7}, {"ens1": 0}, 0, None))
    assert 'tripod_samples_taken_total{interface="ens1"} 7' in without
    assert "ipfix" not in without
    collector = Collector("192.0.2.1", 4739, 0)
    collector.unsent = 5
    lines = render(policy_export.sample_families({}, {}, 2, collector)).splitlines()
    assert "tripod_ipfix_unsent_total 5" in lines
    assert "tripod_ipfix_left_out_total 2" in lines


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.1", ("192.0.2.1", 4739)),
        ("192.0.2.1:2055", ("192.0.2.1", 2055)),
        ("[2001:db8::1]", ("2001:db8::1", 4739)),
        ("[2001:db8::1]:2055", ("2001:db8::1", 2055)),
    ],
)
def test_the_address_of_a_collector(text, place):
    assert collector_address(text) == place


@pytest.mark.parametrize(
    "text", ["", "collector:4739", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1", "[x]", "1.2.3"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"such as 192|give its address"):
        collector_address(text)
