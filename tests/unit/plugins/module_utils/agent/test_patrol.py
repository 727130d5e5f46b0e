"""What the patrol makes of the kernel's count of changes to tables of the packet filter."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._agent.patrol import Patrol
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.reapply import REAPPLIERS, SUBJECTS
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.names import interface_fault
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import nftables


def test_tables_are_looked_at_where_one_is_requested_and_any_changed(machine, monkeypatch):
    host, counts = machine(), iter([7, 7, 9, 9])
    monkeypatch.setattr(nftables, "generation", lambda: next(counts))
    patrol = Patrol(host)
    # Nothing is requested, so the kernel is not even asked.
    assert not patrol.tables_changed()
    state_store.store(host, state_store.StateFile("firewall", "firewall", {"networks": []}))
    assert [patrol.tables_changed() for _round in range(4)] == [True, False, True, False]
    state_store.discard(host, "firewall")
    assert not patrol.tables_changed()


def test_what_the_watch_checks_by_itself_has_a_name_that_no_interface_has():
    assert set(SUBJECTS.values()) <= set(REAPPLIERS)
    assert all(interface_fault(subject) for subject in SUBJECTS)
