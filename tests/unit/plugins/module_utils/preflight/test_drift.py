"""What the drift check makes of the answers of several components."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.module import Answer
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight import drift
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.drift import Component, check_drift

AS_PLANNED = {"changed": False, "changes": []}


@pytest.fixture
def components(monkeypatch, tmp_path):
    """Return a way to check components that give the answers named, and what was requested of each."""

    def checked(answers, plan):
        requested = {}

        def component(name, answer):
            def respond(options, _host, check):
                assert check, "a drift check changes nothing"
                requested[name] = options
                if isinstance(answer, Exception):
                    raise answer
                return answer

            spec = {"arguments": {"type": "list", "elements": "str"}, "count": {"type": "int", "default": 7}}
            return Component(spec, respond)

        monkeypatch.setattr(drift, "COMPONENTS", {name: component(name, answer) for name, answer in answers.items()})
        return check_drift(plan, Host(root=str(tmp_path))), requested

    return checked


def test_options_are_completed_and_converted_as_for_the_module(components):
    found, requested = components({"sysctl": Answer(AS_PLANNED)}, {"sysctl": {"count": "3", "arguments": "a,b"}})
    assert requested == {"sysctl": {"count": 3, "arguments": ["a", "b"]}}
    assert not any(one.drifted for one in found.values())
    assert components({"sysctl": Answer(AS_PLANNED)}, {"sysctl": {}})[1]["sysctl"]["count"] == 7


def test_what_a_boot_is_to_bring_stands_behind_the_own_arguments(components):
    answers = {
        "cpu_isolation": Answer({**AS_PLANNED, "boot_arguments": ["nohz_full=2-3"]}),
        "hugepages": Answer({**AS_PLANNED, "boot_arguments": ["hugepages=1"]}),
        "kernel_args": Answer(AS_PLANNED),
    }
    plan = {"cpu_isolation": {}, "hugepages": {}, "kernel_args": {"arguments": ["skew_tick=1"]}}
    assert components(answers, plan)[1]["kernel_args"]["arguments"] == ["skew_tick=1", "nohz_full=2-3", "hugepages=1"]
    del plan["cpu_isolation"]
    assert components(answers, plan)[1]["kernel_args"]["arguments"] == ["skew_tick=1", "hugepages=1"]


@pytest.mark.parametrize(
    ("answer", "changes", "reasons"),
    [
        (Answer({"changed": True, "changes": ["mtu: 1 -> 2"]}), ["mtu: 1 -> 2"], []),
        (Answer({"changed": True}), ["changes something"], []),
        (Answer({**AS_PLANNED, "reboot_reasons": ["a boot brings it"]}), [], ["a boot brings it"]),
        (Answer({"passed": False}, failure="2 findings"), [], ["2 findings"]),
        (Impossible("ring 9 is too small"), [], ["ring 9 is too small"]),
    ],
)
def test_whatever_keeps_a_host_from_its_plan_is_drift(components, answer, changes, reasons):
    found = components({"nic": answer}, {"nic": {}})[0]["nic"]
    assert found.drifted
    assert (list(found.changes), list(found.reasons)) == (changes, reasons)


def test_malformed_options_are_drift_that_names_component_and_option(components):
    found, requested = components({"nic": Answer(AS_PLANNED)}, {"nic": {"count": "many", "ring": 1}})
    assert requested == {}
    assert found["nic"].drifted
    assert "nic: " in found["nic"].reasons[0]
    assert "count" in found["nic"].reasons[0]
