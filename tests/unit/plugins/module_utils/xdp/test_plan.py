"""What is planned, on states as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import diff
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import State

from .programs import BARE, DESIRED, DONE, FOREIGN, OLD, PERMISSIONS, STATE_FILE


def plan(desired: Desired, state: State) -> list[tuple[str, bool]]:
    resource = XdpProgram(desired)
    resource.validate(desired, state)
    return [(" ".join(change.path[1:]), change.disrupts) for change in resource.plan(desired, state)]


@pytest.mark.parametrize(
    ("desired", "state", "steps"),
    [
        pytest.param(
            DESIRED,
            BARE,
            [("mode", True), ("object", False), ("program", False), ("maps acl_v4", False), ("maps events", False)],
            id="attach",
        ),
        pytest.param(DESIRED, DONE, [], id="nothing to do"),
        pytest.param(
            DESIRED, replace(DONE, state_file={**STATE_FILE, "sha256": OLD}), [("object", False)], id="another object"
        ),
        pytest.param(
            DESIRED,
            replace(DONE, state_file={**STATE_FILE, "loaded": {"id": 4}}),
            [("object", False)],
            id="not what we loaded",
        ),
        pytest.param(DESIRED, replace(DONE, state_file=None), [("object", False)], id="state file lost"),
        pytest.param(DESIRED, replace(DONE, state_file={}), [("object", False)], id="state file damaged"),
        pytest.param(replace(DESIRED, mode="generic"), DONE, [("mode", True)], id="other mode"),
        pytest.param(
            DESIRED,
            replace(BARE, maps=DONE.maps, permissions=PERMISSIONS),
            [("mode", True), ("object", False), ("program", False)],
            id="attach with the maps of before",
        ),
        pytest.param(
            DESIRED,
            replace(DONE, permissions={**PERMISSIONS, "/pins/ens1/maps/old": (0, 0o660)}),
            [("maps old", False)],
            id="a map that the object no longer has",
        ),
        pytest.param(
            DESIRED,
            replace(DONE, permissions={p: one for p, one in PERMISSIONS.items() if not p.endswith(("prog", "acl_v4"))}),
            [("pins prog", False), ("pins maps/acl_v4", False)],
            id="pins lost",
        ),
        pytest.param(
            DESIRED,
            replace(DONE, permissions={**PERMISSIONS, "/pins/ens1/prog": (0, 0o600)}),
            [("permissions /pins/ens1/prog", False)],
            id="permissions",
        ),
        pytest.param(
            DESIRED,
            replace(DONE, permissions={**PERMISSIONS, "/pins/ens1/maps/acl_v4": (0, 0o660)}),
            [("permissions /pins/ens1/maps/acl_v4", False)],
            id="a map that its group could write, as an earlier release left it",
        ),
        pytest.param(
            replace(DESIRED, object="/elsewhere/o"), DONE, [("state file", False)], id="the same object from elsewhere"
        ),
        pytest.param(
            replace(DESIRED, replace_foreign=True, mode="generic"),
            replace(BARE, attachments=[FOREIGN], maps=DONE.maps, permissions=PERMISSIONS),
            [("foreign generic", True), ("mode", False), ("object", False), ("program", False)],
            id="replace a foreign program",
        ),
        pytest.param(
            replace(DESIRED, present=False),
            DONE,
            [("program", True), ("pins", False), ("state file", False)],
            id="detach",
        ),
        pytest.param(
            replace(DESIRED, present=False),
            replace(BARE, attachments=[FOREIGN], state_file=STATE_FILE),
            [("state file", False)],
            id="detach leaves a foreign program",
        ),
        pytest.param(replace(DESIRED, present=False), State(None), [], id="detach what never was"),
    ],
)
def test_plan(desired, state, steps):
    assert plan(desired, state) == steps


def test_what_release_one_saved_goes_once_it_was_taken_over():
    files = ["/state/xdp_policy-ens1.json", "/state/xdp_map-ens1.json"]
    assert plan(DESIRED, replace(DONE, policy=files)) == [("policy xdp_map-ens1.json", False)]
    for one in files:
        assert plan(DESIRED, replace(DONE, policy=[one])) == []


def test_detaching_takes_the_policy_state_file_with_the_maps():
    gone = replace(DESIRED, present=False)
    files = ["/state/xdp_policy-ens1.json", "/state/policy-nic-ens1-inventory.json"]
    changes = XdpProgram(gone).plan(gone, replace(DONE, policy=files))
    assert sorted(diff(changes)["before"]["ens1"]["policy"].values()) == sorted(files)
