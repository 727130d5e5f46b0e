"""Rates between two states of the counters, and the packets that a person sees."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_preview import in_steps
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_top import Rate, rates, table
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_flips import in_short


def met(packets=0, bytes_=0, observed=0, last=None):
    return {"packets": packets, "bytes": bytes_, "observed_packets": observed, "last": last}


def test_what_matches_most_comes_first():
    before = {("ens1", "rule:a"): met(10, 1000), ("ens1", "list:b"): met(5, 500)}
    after = {
        ("ens1", "rule:a"): met(20, 2000, last="2026-11-28T19:00:00.000Z"),
        ("ens1", "list:b"): met(105, 10500),
        ("ens2", "limit:c"): met(0, 0, 30),
        ("ens2", "rule:d"): met(),
    }
    found = rates(before, after, 2.0)
    assert [(one.interface, one.part) for one in found] == [
        ("ens1", "list:b"),
        ("ens2", "limit:c"),
        ("ens1", "rule:a"),
        ("ens2", "rule:d"),
    ]
    assert found[0] == Rate("ens1", "list:b", 50.0, 40000.0, 0.0, 105, None)
    assert (found[1].packets, found[1].would, found[1].total) == (0.0, 15.0, 30)
    assert found[2].last == "2026-11-28T19:00:00.000Z"


def test_counters_that_went_back_began_anew():
    [one] = rates({("ens1", "rule:a"): met(100, 1000)}, {("ens1", "rule:a"): met(6, 60)}, 1.0)
    assert (one.packets, one.bits) == (6.0, 480.0)


def test_a_screen_has_the_first_and_says_how_many_never_matched():
    found = [Rate("ens1", f"rule:{n}", 10.0 - n, 12_500.0, 0.0, 10 - n, None) for n in range(11)]
    lines = table(found, 3).splitlines()
    assert lines[1].split() == ["10", "12k", "0", "10", "ens1", "rule:0"]
    assert len(lines) == 1 + 3 + 1
    assert lines[-1] == "1 of 11 parts never matched"


NOTHING: dict[str, Any] = {
    **{"verdict": "pass", "reason": "no_rule", "would": None, "would_reason": None, "trusted": False, "banned": False},
    **dict.fromkeys(("list", "observed_list", "rule", "observed_rule", "service")),
    "limits": [],
}


@pytest.mark.parametrize(
    ("path", "short", "steps"),
    [
        ({}, "pass no_rule", ["pass, no_rule"]),
        (
            {"verdict": "drop", "reason": "list_drop", "list": "bogons"},
            "drop list_drop list:bogons",
            ["drop, list_drop", "  list: bogons"],
        ),
        (
            {
                **{"verdict": "drop", "reason": "limit", "rule": "syn", "would": "drop", "would_reason": "list_drop"},
                "observed_list": "scanners",
                "limits": [{"name": "all", "outcome": "conformed"}, {"name": "new", "outcome": "exceeded"}],
            },
            "drop limit rule:syn limit:new (would drop: list_drop)",
            [
                *("drop, limit", "  observed list: scanners", "  rule: syn", "  limit: all, conformed"),
                *("  limit: new, exceeded", "  observed: would drop, list_drop"),
            ],
        ),
        ({"trusted": True, "reason": "trusted"}, "pass trusted", ["pass, trusted", "  trusted: yes"]),
        (
            {"verdict": "drop", "reason": "ban", "banned": True},
            "drop ban",
            ["drop, ban", "  banned: yes"],
        ),
    ],
)
def test_the_way_to_a_verdict_in_words(path, short, steps):
    assert in_short({**NOTHING, **path}) == short
    assert list(in_steps({**NOTHING, **path})) == steps
