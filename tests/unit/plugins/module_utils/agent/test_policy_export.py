"""What the exporter makes of counters and options."""

from __future__ import annotations

import argparse

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import export_request, policy_export
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.export_request import Export
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.metrics import render
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
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


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    policy_export.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--ipfix", "collector.example.org"), "nobody waits for a name to be looked up"),
        (("--ipfix", "192.0.2.1:4739"), "no IP address"),
        (("--ipfix-port", "0"), "give a number from 1 to 65535"),
        (("--ipfix-domain", "4294967296"), "give a number from 0 to 4294967295"),
        (("--rate", "20001"), "give a number from 1 to 20000"),
    ],
)
def test_what_cannot_be_is_refused(words, fault):
    with pytest.raises(Invalid, match=fault):
        policy_export.run(options(*words))


def test_words_on_the_command_line_are_what_was_requested():
    requested = Export(7, "2001:db8::1", 2055, 9)
    assert export_request.from_options(options(*requested.arguments)) == requested
    assert export_request.from_options(options(*Export().arguments)) == Export()
