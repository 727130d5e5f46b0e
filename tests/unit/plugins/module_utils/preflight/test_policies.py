"""Policies before any host is met, and the way in that they leave."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.policies import (
    check_policies,
    check_tests,
    compiled,
    unassigned,
)

PEER = "192.0.2.7"
NICS = [{"name": "a", "policy": "edge"}, {"name": "b"}, {"name": "c", "policy": "gone", "state": "detached"}]


def no_file(path: str) -> bytes:
    raise AssertionError(f"{path} is read")


def test_a_policy_is_compiled_with_its_files():
    document = {"lists": [{"name": "bogons", "file": "bogons.txt"}, {"name": "few", "prefixes": ["::1"]}]}
    found = compiled("edge", document, {"bogons.txt": b"10.0.0.0/8\n"}.__getitem__)
    assert found.slots.keys() == {"list:bogons", "list:few"}
    assert "sha256" not in document["lists"][0]


@pytest.mark.parametrize(
    ("name", "document", "words"),
    [
        ("no name", {}, "is no name of 1 to 32 letters"),
        ("edge", {"lists": "bogons"}, "lists"),
        ("edge", {"rules": [{"id": "r", "action": "drop", "source": "nosuch"}]}, "nosuch"),
        ("edge", {"lists": [{"name": "bogons", "file": "bogons.txt"}]}, "line 2"),
    ],
)
def test_what_is_wrong_is_named(name, document, words):
    with pytest.raises(CoreError, match=words):
        compiled(name, document, lambda _path: b"10.0.0.0/8\nnonsense\n")


@pytest.mark.parametrize("document", [[], [{"lists": []}], "drop", "", 5, False])
def test_what_is_no_mapping_is_no_policy(document):
    with pytest.raises(CoreError, match=r"is not a mapping: .*trusted, lists, rules, limits, services, default"):
        compiled("edge", document, no_file)
    [finding] = check_policies({"edge": document, "core": None}, 250)
    assert finding.severity == "error"
    assert "edge" in finding.subject
    assert "is not a mapping" in finding.found


def test_each_interface_names_a_policy_that_there_is():
    assert list(unassigned(NICS, {"edge": {}}, short=True)) == []
    [said] = unassigned(NICS, {"core": {}}, short=False)
    assert said == "xdp_interfaces (a): policy edge is not in xdp_policies, where there are core"


def test_a_test_is_of_a_policy_that_there_is_and_of_a_packet():
    frame, expect = {"source": "203.0.113.9"}, {"verdict": "pass"}
    assert list(check_tests([{"policy": "edge", "frame": frame, "expect": expect}], {"edge": {}})) == []
    wrong = [{"policy": "gone", "frame": frame, "expect": expect}, {"policy": "edge", "frame": {}, "expect": expect}]
    first, second = check_tests(wrong, {"edge": {}})
    assert first == "xdp_policy_tests[0]: policy gone is not in xdp_policies"
    assert second.startswith("xdp_policy_tests[1].frame")


def test_what_is_expected_by_a_name_that_the_policy_does_not_declare_is_wrong():
    frame, policies = {"source": "203.0.113.9"}, {"edge": {"lists": [{"name": "scanners"}]}}
    tests = [{"policy": "edge", "frame": frame, "expect": expect} for expect in ({"list": "scanner"}, {"verdict": "x"})]
    first, second = check_tests(tests, policies)
    assert first == "xdp_policy_tests[0].expect: the policy declares no list scanner; its lists are scanners"
    assert second.startswith("xdp_policy_tests[1].expect: verdict is never x; it is one of aborted, drop, pass")


def test_a_capture_is_read_where_it_is_and_not_where_it_is_on_the_host_already(tmp_path):
    tests = [{"policy": "edge", "pcap": "some.pcap", "expect": {"verdict": "pass"}}]
    (tmp_path / "some.pcap").write_bytes(b"GIF89a")
    assert list(check_tests(tests, {"edge": {}})) == []
    [said] = check_tests(tests, {"edge": {}}, lambda name: str(tmp_path / name))
    assert said.startswith(f"xdp_policy_tests[0].pcap: {tmp_path}/some.pcap: it begins with 47 49 46 38")
    [said] = check_tests(tests, {"edge": {}}, lambda name: name)
    assert said.startswith("xdp_policy_tests[0].pcap: some.pcap: No such file")


@pytest.mark.parametrize(("policies", "faults"), [({"edge": {}}, 0), ({"edge": {}, "default": {}}, 1)])
def test_a_short_form_that_nobody_has_is_a_mistake(policies, faults):
    assert len(list(unassigned(NICS, policies, short=True))) == faults
    assert list(unassigned(NICS, policies, short=False)) == []


@pytest.mark.parametrize(
    ("trusted", "warned"),
    [
        ([], True),
        ([{"prefix": "192.0.2.0/28"}], False),
        ([{"prefix": "192.0.2.8/29"}, {"prefix": "::/0"}], True),
        ([{"protocol": "tcp", "port": 22}], False),
        ([{"protocol": "tcp", "port": "20-30"}], False),
        ([{"protocol": "udp", "port": 22}, {"protocol": "tcp", "port": 2222}], True),
    ],
)
def test_an_operator_whom_nothing_lets_in_for_sure_is_warned(trusted, warned):
    findings = list(check_policies({"edge": {"trusted": trusted}}, 250, PEER, 22))
    assert [(one.severity, one.subject) for one in findings] == [("warning", "XDP policy edge")] * warned
    assert list(check_policies({"edge": {"trusted": trusted}}, 250)) == []


@pytest.mark.parametrize(("hz", "faults"), [(1000, 0), (250, 1), (100, 1)])
def test_a_limit_is_held_against_the_clock_of_the_host(hz, faults):
    limit = {"name": "many", "packets": "1000000/s", "burst": 2000, "every_packet": True}
    findings = list(check_policies({"edge": {"limits": [limit]}}, hz))
    assert [one.severity for one in findings] == ["error"] * faults


def test_files_of_lists_are_left_to_the_control_node():
    document = {"lists": [{"name": "bogons", "file": "bogons.txt"}]}
    assert list(check_policies({"edge": document}, 250)) == []
    assert compiled("edge", {}, no_file).slots == {}
