"""What an operator reads of a sample, and may ask for."""

from __future__ import annotations

import argparse
import time

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_watch
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_watch import duration

from tests.integration import frames as f
from tests.unit.plugins.module_utils.samples.made import TIME, observed, sample

AT = f"{time.strftime('%H:%M:%S', time.localtime(TIME // 10**9))}.123456789 ens1"


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (sample(), "drop rule_drop rule:no-snmp 192.0.2.9:4000 > 198.51.100.1:4001 tcp length 54"),
        (
            observed(f.ethernet(f.IPV6, f.ipv6("2001:db8::7"), tags=(f.VLAN,))),
            "pass no_rule (would drop: list_drop list:scanners) [2001:db8::7]:4000 > [2001:db8::1]:4001 "
            "udp vlan 7 length 66",
        ),
        (
            sample(f.ethernet(f.IPV4, f.ipv4("192.0.2.1", protocol=89, fragment=5)), reason="ban", part=""),
            "drop ban 192.0.2.1 > 198.51.100.1 protocol 89 fragment length 42",
        ),
        (sample(f.ethernet(f.IPV4, b""), reason="malformed", part=""), "drop malformed ethertype 0x0800 length 14"),
    ],
)
def test_a_line(one, line):
    assert policy_watch._line(one) == f"{AT} {line}"


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("500ms", 0.5), ("90m", 5400), ("2h", 7200), ("1d", 86400)])
def test_a_duration(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "10", "0s", "0ms", "-1s", "10 s", "1.5m", "soon", "1y"])
def test_no_duration(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no duration such as"):
        duration(text)
