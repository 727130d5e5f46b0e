"""A change of policy, killed at every moment: the old one or the new one judges, whole, and the next run converges."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.merge import merge
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import (
    policy_assignment,
    policy_documents,
    policy_in_force,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_lists import Lists
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_requested import request

from tests.integration import lab
from tests.support import forked
from tests.support.bpf_object import hollow
from tests.support.sweep import sweep

NIC = lab.Cable.nic
OLD = {"lists": [{"name": "a", "prefixes": ["203.0.113.0/24"]}], "default": "pass"}
NEW = {"lists": [{"name": "b", "prefixes": ["198.51.100.0/24"], "expires": "2099-01-01T00:00:00Z"}], "default": "drop"}
# Few, and spread so far that they do not fit the program that runs: it is loaded anew.
LARGE = {"lists": [{"name": "a", "prefixes": [f"{4 * n:02x}00::/24" for n in range(1, 60)]}]}
LEAST = 20  # moments


class Bench:
    """A NIC with our program, whose instructions are left out, and the modules that change its policy."""

    def __init__(self, path: Path, root: Path, directory: Path) -> None:
        self.root, self.directory = root, directory
        self._places = {"pin_root": str(root), "state_dir": str(directory), "guard": "never"}
        for name in ("xdp_program", "xdp_policy"):
            forked.module(name)
        self._object = str(path)

    def attach(self, state: str = "attached") -> None:
        options = {"interface": NIC, "object": self._object, "state": state}
        forked.run("xdp_program", {**options, **self._places})

    def begin(self, document: Mapping[str, Any]) -> None:
        """Attach the program anew, as small as it begins."""
        for call in (lambda: self.attach("detached"), self.attach, lambda: self.apply(document)):
            forked.carry_out(call)

    def apply(self, document: Mapping[str, Any]) -> None:
        options = {"name": "edge", "interfaces": [NIC], "policy": document}
        forked.run("xdp_policy", {**options, **self._places})

    def digest(self) -> bytes | None:
        """Of the policy by which the program that is attached judges."""
        with bpf.program_by_id(netlink.link(NIC).xdp.programs["native"]) as program:
            for number in bpf.program_info(program).map_ids:
                with bpf.map_by_id(number) as descriptor:
                    if bpf.map_info(descriptor).name == policy_in_force.POLICY:
                        return policy_in_force.digest_of(descriptor)
        raise AssertionError("the program that is attached takes no policy")

    def expected(self, document: Mapping[str, Any]) -> bytes:
        """The digest of a document with the secret of the interface."""
        assignment = policy_assignment.load(Host(), NIC, str(self.directory))
        return request(assignment, merge({"inventory": document}), Lists(Host())).digest

    def document(self) -> Mapping[str, Any]:
        return policy_documents.load(Host(), "edge", "inventory", str(self.directory))

    def states(self) -> set[str]:
        return {one.state for one in agent.reapply(Host(), str(self.directory), check=True)}

    def reapply(self) -> None:
        results = agent.reapply(Host(), str(self.directory))
        assert not [one for one in results if one.error], results


@pytest.fixture
def bench(cable, pin_root, tmp_path, xdp_object) -> Bench:
    path = tmp_path / "hollow.bpf.o"
    path.write_bytes(hollow(xdp_object.read_bytes()))
    return Bench(path, pin_root, tmp_path / "host.d")


@pytest.mark.parametrize(
    ("following", "before", "after"),
    [
        pytest.param("modules", OLD, NEW, id="modules-exchanged"),
        pytest.param("modules", OLD, LARGE, id="modules-outgrown", marks=pytest.mark.full),
        pytest.param("modules", {}, OLD, id="modules-the first"),
        pytest.param("agent", OLD, NEW, id="agent-exchanged"),
        pytest.param("agent", OLD, LARGE, id="agent-outgrown", marks=pytest.mark.full),
        pytest.param("agent", {}, OLD, id="agent-the first", marks=pytest.mark.full),
    ],
)
def test_old_or_new_whole_and_the_next_run_converges(bench, before, after, following):
    bench.begin(before)
    seen = set()
    for moment in sweep(lambda: bench.apply(after), LEAST, most_apart=6):
        digests = {bench.expected(document): name for name, document in (("old", before), ("new", after))}
        found = bench.digest()
        assert found in digests, f"{moment}: neither the old nor the new policy judges"
        seen.add(digests[found])
        if following == "modules":  # as the role runs them
            forked.carry_out(bench.attach)
            forked.carry_out(lambda: bench.apply(after))
            assert bench.digest() == bench.expected(after), str(moment)
        else:
            forked.carry_out(bench.reapply)
            # Whose document is saved, it judges.
            assert bench.digest() == bench.expected(bench.document()), str(moment)
        assert bench.states() == {"converged"}, str(moment)
        assert not [name for name in os.listdir(bench.directory) if name.startswith(".")], str(moment)
        bench.begin(before)
    assert seen == {"old", "new"}
