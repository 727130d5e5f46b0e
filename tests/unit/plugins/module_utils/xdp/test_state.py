"""What is reported of an attachment."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import facts

from .programs import BARE, DONE, NEW


def test_facts():
    assert facts(BARE) == {"mode": None, "program": None, "maps": [], "sha256": None, "extensions": {}}
    reported = facts(DONE)
    assert (reported["mode"], reported["sha256"]) == ("native", NEW)
    assert reported["program"] == {"id": 5, "name": "tripod_xdp", "tag": "0123"}
    assert [one["name"] for one in reported["maps"]] == ["acl_v4", "events"]
