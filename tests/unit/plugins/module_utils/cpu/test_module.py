"""What the module answers."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.module import OPTIONS, answer

from .lab import LAB, LINKS

DEFAULTS = {name: option.get("default") for name, option in OPTIONS.items()}


def test_what_is_probably_not_meant_is_a_fact_and_a_warning(machine):
    answered = answer({**DEFAULTS, "housekeeping": "0-1"}, machine(LAB, LINKS), True)
    assert answered.facts["boot_arguments"][-1] == "irqaffinity=0-1"
    assert answered.facts["reboot_required"]
    assert "node 1 has no housekeeping CPU" in answered.facts["advice"][0]
    assert answered.warnings == answered.facts["advice"]


def test_without_a_plan_there_is_nothing_to_report(machine):
    answered = answer({**DEFAULTS, "state": "absent"}, machine(LAB, LINKS), True)
    assert not answered.facts["changed"]
    assert (answered.facts["plan"], answered.facts["containers"], answered.facts["advice"]) == ([], {}, [])
