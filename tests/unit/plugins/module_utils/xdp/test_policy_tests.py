"""What is expected of packets, and what is said where something else becomes of them."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.frame import build
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_documents, policy_lists
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_tests import (
    failing,
    lines,
    read_tests,
    saved_tests,
    store_tests,
)

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


def judged(tests, judge) -> list[str]:
    return list(lines(failing(tests, judge)))


def said_of(expect: dict[str, object]) -> list[str]:
    return judged(read_tests([{"frame": FRAME, "expect": expect}]), lambda _frame: SAID)


@pytest.fixture
def captured(tmp_path):
    """Writes a capture of so many frames, the last of which is for 66:..., and returns the option."""

    def write(count: int, **more: object) -> dict[str, object]:
        frames = [build(FRAME)] * (count - 1) + [b"\x66" + build(FRAME)[1:]] * bool(count)
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1)
        records = (struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in frames)
        path = tmp_path / "some.pcap"
        path.write_bytes(header + b"".join(records))
        return {"pcap": str(path), "expect": {"verdict": "pass"}, **more}

    return write


def judge_of_66(frame: bytes) -> dict[str, object]:
    return {**SAID, "verdict": "drop" if frame[0] == 0x66 else "pass"}


def test_all_frames_of_a_capture_are_tried_or_one_of_them(captured):
    [said] = judged(read_tests([captured(3)]), judge_of_66)
    assert said.startswith("tests[0], frame 3: verdict is drop, pass is expected")
    assert judged(read_tests([captured(3, number=2)]), judge_of_66) == []
    assert len(judged(read_tests([captured(3, number=3)]), judge_of_66)) == 1


def test_of_many_frames_that_fail_a_few_are_named(captured):
    said = judged(read_tests([captured(20, expect={"verdict": "drop"})]), lambda _frame: SAID)
    assert said[-1] == "tests[0]: 15 more of its frames"
    assert len(said) == 6


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"number": 4}, "it has the frames 1 to 3, and not number 4"),
        ({"number": 0}, "it has the frames 1 to 3, and not number 0"),
        ({"pcap": "/no/such.pcap"}, "tests[0].pcap: /no/such.pcap: "),
        ({"frame": FRAME}, "tests[0]: give either frame or pcap"),
        ({"pcap": None}, "tests[0]: give either frame or pcap"),
        ({"pcap": __file__}, "which neither pcap nor pcapng does"),
    ],
)
def test_a_capture_that_cannot_be_tried_is_refused(captured, more, words):
    with pytest.raises(Invalid) as raised:
        read_tests([captured(3, **more)])
    assert words in raised.value.facts["reasons"][0]


def test_captures_of_nothing_of_too_much_and_of_frames_that_cannot_be_tried_are_refused(captured, tmp_path):
    for count in (0, 10_001):
        with pytest.raises(Invalid, match=f"it has {count} frames, 1 to 10000 are tried"):
            read_tests([captured(count)])
    path = tmp_path / "long.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1)
    path.write_bytes(header + struct.pack("<IIII", 0, 0, 9000, 9000) + bytes(9000))
    with pytest.raises(Invalid, match="frame 1 has 9000 bytes, and 14 to 3498 are what can be tried"):
        read_tests([{"pcap": str(path), "expect": {"verdict": "pass"}}])


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


DOCUMENT = {"lists": [{"name": "scanners"}], "rules": [{"id": "one"}], "limits": "few", "services": [{"port": 1}]}


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"verdict": "burn"}, "verdict is never burn; it is one of aborted, drop, pass, tx, redirect"),
        ({"would": "x"}, "would is never x; it is one of aborted, drop, pass, tx, redirect, none"),
        ({"reason": "acl_drop"}, "reason is never acl_drop; it is one of no_rule, list_pass"),
        ({"trusted": "yes"}, "trusted is never yes; it is true or false"),
        ({"list": "scanner"}, "the policy declares no list scanner; its lists are scanners"),
        ({"rule": "two"}, "the policy declares no rule two; its rules are one"),
        ({"limit": "few"}, "the policy declares no limit few; its limits are none"),
        ({"service": ["web"]}, "the policy declares no service ['web']; its services are none"),
    ],
)
def test_what_is_never_answered_is_refused_before_anything_is_tried(expect, words):
    with pytest.raises(Invalid) as raised:
        read_tests([{"frame": FRAME, "expect": expect}] * 2, DOCUMENT)
    first, second = raised.value.facts["reasons"]
    assert first.startswith(f"tests[0].expect: {words}")
    assert second.startswith(f"tests[1].expect: {words}")


def test_tests_come_back_as_they_were_saved_and_captures_though_their_file_is_another(captured, tmp_path, monkeypatch):
    monkeypatch.setattr(policy_lists, "DIRECTORY", str(tmp_path / "lists"))
    host, directory, capture = Host(), str(tmp_path), captured(3)
    tests = read_tests([{"name": "a scan", "frame": FRAME, "expect": {"list": None}}, capture])
    store_tests(host, "edge", tests, directory)
    os.unlink(capture["pcap"])
    again = saved_tests(host, "edge", policy_lists.Lists(host), directory)
    assert [(one.place, one.frames, one.expect, one.saved) for one in again] == [
        (one.place, one.frames, one.expect, one.saved) for one in tests
    ]
    assert again[0].place == "tests[0] (a scan)"
    assert os.stat(policy_documents.tests_path("edge", directory)).st_mode & 0o777 == 0o600
    store_tests(host, "edge", [], directory)
    assert saved_tests(host, "edge", policy_lists.Lists(host), directory) == []
    assert not os.path.exists(policy_documents.tests_path("edge", directory))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is none of ours"),
        ('{"format": 1, "kind": "nic"}', "it is none of ours"),
        ('{"format": 1, "kind": "policy_tests", "policy": "edge", "tests": [{"frame": {}}]}', "expect is missing"),
        ('{"format": 1, "kind": "policy_tests", "policy": "edge", "test": []}', "'test' is no key"),
        (
            '{"format": 1, "kind": "policy_tests", "policy": "edge", "tests": [{"frame": {"source": "x"}, '
            '"expect": {"verdict": "pass"}}]}',
            "'x' is not an IPv4 or IPv6 address",
        ),
    ],
)
def test_what_is_saved_and_not_understood_is_named_with_the_way_out(tmp_path, text, words):
    path = tmp_path / "policy_tests-edge.json"
    path.write_text(text)
    with pytest.raises(Impossible, match=f"{path} cannot be understood.*{words}.*run the playbook"):
        saved_tests(Host(), "edge", policy_lists.Lists(Host()), str(tmp_path))
