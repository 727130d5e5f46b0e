"""Samples, from the kernel's bytes to words."""

from __future__ import annotations

import json
import struct

from ansible_collections.tripod.baremetal.plugins.module_utils._samples.sample import SIZE, facts, in_words, parse

from tests.unit.plugins.module_utils.samples.made import FRAME, TIME, observed, sample

PARTS = {5: "rule:no-snmp", 9: "list:scanners"}


def record(slot: int = 0, would_slot: int = 0, numbers: tuple[int, ...] = (1, 7, 0, 0, 1)) -> bytes:
    frame = FRAME.ljust(128, b"\xaa")
    return struct.pack("=QIIHHHH5B3x128s", 1000, 7, 1514, len(FRAME), slot, would_slot, 3, *numbers, frame)


def test_a_record_is_a_sample():
    found, taps = parse(record(5), "ens1", PARTS, TIME - 1000)
    assert found == sample(length=1514)
    assert (found.dropped, taps) == (True, 1)
    assert len(record()) == SIZE


def test_a_record_of_a_packet_that_was_only_observed():
    found, taps = parse(record(0, 9, (2, 0, 1, 2, 3)), "ens1", PARTS, TIME - 1000)
    assert found == observed(length=1514)
    assert (found.dropped, taps) == (False, 3)


def test_a_part_without_a_name_and_a_number_of_a_newer_program_stay_numbers():
    found, _taps = parse(record(6, numbers=(1, 31, 0, 0, 1)), "ens1", PARTS, 0)
    assert (found.part, found.reason) == ("slot:6", "31")


def test_words_and_facts():
    assert in_words(sample()) == "verdict=drop reason=rule_drop part=rule:no-snmp"
    assert in_words(sample(reason="ban", part="")) == "verdict=drop reason=ban"
    assert in_words(observed()) == (
        "verdict=pass reason=no_rule would=drop would_reason=list_drop would_part=list:scanners"
    )
    found = json.loads(json.dumps(facts(observed())))
    assert found["source"] == "192.0.2.9"
    assert (found["part"], found["would_part"]) == (None, "list:scanners")
    assert found["frame"] == FRAME.hex()
