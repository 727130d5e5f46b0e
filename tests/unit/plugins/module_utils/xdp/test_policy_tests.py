"""What is expected of packets, and what is said where something else becomes of them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_tests import failures, read_tests

FRAME = {"source": "203.0.113.9", "protocol": "tcp", "destination_port": 443}
SAID = {
    "verdict": "pass",
    "reason": "no_rule",
    "would": "drop",
    "trusted": False,
    "banned": False,
    "list": None,
    "observed_list": "scanners",
    "rule": "one",
    "observed_rule": None,
    "service": None,
    "limits": [{"name": "few", "outcome": "conformed"}, {"name": "many", "outcome": "conformed"}],
}


def said_of(expect: dict[str, object]) -> list[str]:
    return list(failures(read_tests([{"frame": FRAME, "expect": expect}]), lambda _frame: SAID))


@pytest.mark.parametrize(
    "expect",
    [
        {"verdict": "pass", "would": "drop", "list": "scanners"},
        {"rule": "one", "service": None, "trusted": False, "limit": "many"},
    ],
)
def test_what_is_as_expected_is_not_mentioned(expect):
    assert said_of(expect) == []


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"verdict": "drop"}, "tests[0]: verdict is pass, drop is expected; pass by reason no_rule"),
        ({"list": None}, "tests[0]: list is scanners, none is expected; pass by reason no_rule"),
        ({"list": "bogons", "trusted": True}, "tests[0]: list is scanners, bogons is expected, trusted is false, true"),
        ({"limit": "dns"}, "tests[0]: limit is few, dns is expected"),
    ],
)
def test_what_is_not_is_told_with_the_reason(expect, words):
    [line] = said_of(expect)
    assert line.startswith(words)


def test_what_is_no_test_is_refused_all_at_once():
    with pytest.raises(Invalid) as raised:
        read_tests(
            [
                {"frame": {"protocol": "tcp"}, "expect": {"verdict": "pass"}},
                {"frame": FRAME, "expect": {"outcome": "pass"}},
                {"frame": FRAME, "expect": {}},
            ]
        )
    reasons = raised.value.facts["reasons"]
    assert [one.split(":")[0].split(".")[0] for one in reasons] == ["tests[0]", "tests[1]", "tests[2]"]
