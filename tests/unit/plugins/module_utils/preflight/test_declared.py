"""What a host's state files declare, for runs that leave out the role that wrote them."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu import module as cpu_module
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.plan import facts
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired, Reservation
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.declared import declared

from tests.unit.plugins.module_utils.cpu.lab import LAB, LINKS
from tests.unit.plugins.module_utils.hugepages.nodes import files

DEFAULTS = {name: option.get("default") for name, option in cpu_module.OPTIONS.items()}
PLAN = {**DEFAULTS, "housekeeping": "0-1", "assignments": [{"name": "go-backend", "cpus": "3"}]}
PAGES = Desired(reservations=[Reservation(1, 1 << 30, 4)], default_size=2 << 20)


def test_nothing_is_declared_where_there_is_no_state_file(machine):
    assert declared(machine(LAB, LINKS)) == {
        "cpu_isolation": {"declared": False, "boot_arguments": [], "reboot_reasons": [], "containers": {}},
        "hugepages": {"declared": False, "boot_arguments": [], "reboot_reasons": []},
    }


def test_what_the_modules_returned_is_what_their_state_files_declare(machine):
    host = machine({**files(), **LAB}, LINKS)
    answered = cpu_module.answer(PLAN, host, False).facts
    assert "isolcpus=managed_irq,2-3" in answered["boot_arguments"]
    # More than the node has now: what the next boot reserves does not depend on it.
    pages = facts(PAGES, Hugepages(PAGES).read(host))
    assert "hugepages=1:4" in pages["boot_arguments"]
    state_file = state_store.StateFile("hugepages", "hugepages", {**PAGES.as_body(), "original": {}})
    state_store.store(host, state_file)
    found = declared(host)
    assert found["cpu_isolation"] == {
        "declared": True,
        **{name: answered[name] for name in ("boot_arguments", "reboot_reasons", "containers")},
    }
    assert found["hugepages"] == {
        "declared": True,
        **{name: pages[name] for name in ("boot_arguments", "reboot_reasons")},
    }


@pytest.mark.parametrize("name", ["cpu_isolation", "hugepages"])
@pytest.mark.parametrize("text", ['{"format": 1, "kind"', json.dumps({"format": 1, "kind": "x", "reservations": 3})])
def test_a_state_file_that_is_not_understood_does_not_pass_for_nothing(machine, name, text):
    host = machine({**files(), **LAB, f"/etc/tripod/host.d/{name}.json": text}, LINKS)
    with pytest.raises((Invalid, Impossible), match=f"{name}.json"):
        declared(host)
