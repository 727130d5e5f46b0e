"""Samples in a pcapng file, read back by another reader."""

from __future__ import annotations

import io

from ansible_collections.tripod.baremetal.plugins.module_utils._samples.pcapng import Writer

from tests.support.exports import read_pcapng
from tests.unit.plugins.module_utils.samples.made import FRAME, TIME, observed, sample


def test_samples_of_two_nics_with_their_comments():
    file = io.BytesIO()
    writer = Writer(file, "tripod-host")
    writer.write(sample())
    writer.write(observed(interface="ens2", time=TIME + 1, frame=b"x" * 127, length=9000))
    writer.write(sample(time=TIME + 2))
    writer.lost("ens1", TIME + 3, 12)
    found = read_pcapng(file.getvalue())
    assert found.application == "tripod-host"
    assert found.interfaces == [("ens1", 10**9, 128), ("ens2", 10**9, 128)]
    assert found.packets[0] == {
        "interface": "ens1",
        "time": TIME,
        "frame": FRAME,
        "length": len(FRAME),
        "comments": ["verdict=drop reason=rule_drop part=rule:no-snmp"],
        "inbound": True,
        "queue": 3,
        "verdicts": [(2, 1)],
    }
    assert (found.packets[1]["frame"], found.packets[1]["length"]) == (b"x" * 127, 9000)
    assert "would_part=list:scanners" in found.packets[1]["comments"][0]
    assert [one["time"] - TIME for one in found.packets] == [0, 1, 2]
    assert found.lost == {"ens1": 12}


def test_a_file_without_a_sample_is_a_file_and_a_verdict_that_has_no_number_is_left_out():
    file = io.BytesIO()
    writer = Writer(file, "tripod-host")
    assert read_pcapng(file.getvalue()).packets == []
    writer.write(sample(verdict="9"))
    assert read_pcapng(file.getvalue()).packets[0]["verdicts"] == []
