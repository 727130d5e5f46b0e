"""What is pinned and what runs, made to differ; modules and agent must say so, and mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.reapply import Result, exit_status, reapply
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Impossible,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap, parse_entries
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import facts

from tests.integration import frames, lab

NIC = lab.Cable.nic
SOURCE = "203.0.113.1"
PACKETS = 50


@pytest.fixture
def desired(cable, xdp_object, pin_root, tmp_path) -> Desired:
    return Desired(NIC, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path / "host.d"))


@pytest.fixture
def policy(desired) -> Policy:
    run(desired)
    entries = parse_entries([{"prefix": "203.0.113.0/24", "action": "drop"}])
    found = Policy(NIC, entries=entries, pin_root=desired.pin_root, state_directory=desired.state_directory)
    apply(found)
    return found


def run(desired: Desired, check: bool = False):
    return converge(XdpProgram(desired), desired, Host(), check=check)


def apply(policy: Policy, check: bool = False):
    return converge(XdpMap(policy), policy, Host(), check=check)


def status(desired: Desired) -> dict[str, Result]:
    found = {one.kind: one for one in reapply(Host(), desired.state_directory, check=True)}
    return {kind: found[kind] for kind in ("xdp", "xdp_policy")}


def dropped(cable: lab.Cable, desired: Desired) -> bool:
    """Whether every packet of a blocked source is dropped by the program that runs."""
    counters = next(one["id"] for one in facts(XdpProgram(desired).read(Host()))["maps"] if one["name"] == "counters")
    path = Path(desired.pin_root) / "probe"
    with bpf.map_by_id(counters) as descriptor:
        bpf.pin(descriptor, str(path))
    try:
        with cable.sender() as sender:
            return lab.fate(path, sender, frames.of(SOURCE), PACKETS) == ("drop", "list_drop")
    finally:
        path.unlink()


def identifier(path: str) -> int:
    kind = bpf.xdp_link_info if path.endswith("link") else bpf.program_info if path.endswith("prog") else bpf.map_info
    with bpf.pinned(path) as descriptor:
        return kind(descriptor).id


@pytest.fixture
def twin(hollow_object) -> Iterator[BpfObject]:
    """The same program with maps of its own, attached nowhere."""
    with BpfObject(hollow_object.read_bytes(), "twin.o") as opened:
        opened.load("tripod_xdp", {})
        yield opened


def replace_pin(path: str, descriptor: int) -> None:
    os.unlink(path)
    bpf.pin(descriptor, path)


def test_a_detached_link_is_said_by_all_and_mended(cable, desired, policy):
    assert [one.state for one in status(desired).values()] == ["converged", "converged"]
    with bpf.pinned(f"{desired.pins}/link") as link:
        bpf.detach_link(link)
    more = replace(policy, entries=parse_entries([{"prefix": "198.51.100.0/24", "action": "drop"}]))
    for check in (True, False):
        with pytest.raises(Impossible, match=r"policy is map \d+, and its program does not run: no program is att"):
            apply(more, check)
    assert [one.state for one in status(desired).values()] == ["differs", "differs"]
    run(desired)
    assert [one.state for one in status(desired).values()] == ["converged", "converged"]
    assert dropped(cable, desired)


def test_a_map_pinned_in_place_of_ours_is_said_by_all_and_mended(cable, desired, policy, twin):
    path = f"{desired.pins}/maps/policy"
    ours = identifier(path)
    replace_pin(path, twin.map("policy"))
    with pytest.raises(Impossible, match=rf"policy is map \d+, and tripod_xdp .*uses map {ours}: run xdp_program"):
        apply(policy)
    assert [one.state for one in status(desired).values()] == ["differs", "differs"]
    [change] = run(desired, check=True).changes
    assert (change.path, change.after) == ((NIC, "pins", "maps/policy"), f"map {ours}")
    run(desired)
    assert identifier(path) == ours
    assert [one.state for one in status(desired).values()] == ["converged", "converged"]
    assert dropped(cable, desired)


def test_a_map_pinned_under_anothers_name_is_not_taken_for_that(desired, policy):
    """Both belong to the program that runs; only the name says which is which."""
    with bpf.pinned(f"{desired.pins}/maps/policy") as other:
        replace_pin(f"{desired.pins}/maps/hits", other)
    with pytest.raises(Impossible, match=r"hits is map \d+.*run xdp_program first"):
        apply(policy)
    run(desired)
    assert not apply(policy).changed


@pytest.mark.parametrize("kind", ["program", "map"])
def test_what_is_pinned_in_place_of_the_program_is_mended(desired, policy, twin, kind):
    path = f"{desired.pins}/prog"
    replace_pin(path, twin.program("tripod_xdp") if kind == "program" else twin.map("policy"))
    assert status(desired)["xdp"].state == "differs"
    run(desired)
    assert identifier(path) == netlink.link(NIC).xdp.programs["native"]
    assert not apply(policy).changed


def test_the_maps_of_a_detached_program_are_not_taken_from_a_strangers_pin(cable, desired, policy, twin):
    ours = identifier(f"{desired.pins}/maps/policy")
    with bpf.pinned(f"{desired.pins}/link") as link:
        bpf.detach_link(link)
    replace_pin(f"{desired.pins}/maps/policy", twin.map("policy"))
    run(desired)
    assert identifier(f"{desired.pins}/maps/policy") == ours
    assert dropped(cable, desired)


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_dead_link_beside_a_program_attached_by_netlink_is_cleared(cable, desired, policy, mode):
    with bpf.pinned(f"{desired.pins}/link") as link, bpf.pinned(f"{desired.pins}/prog") as program:
        bpf.detach_link(link)
        netlink.set_xdp(netlink.link(NIC).index, program, "native")
    assert not XdpProgram(desired).read(Host()).foreign
    chosen = replace(desired, mode=mode)
    run(chosen)
    assert netlink.link(NIC).xdp.mode == mode
    assert os.path.exists(f"{desired.pins}/link") is (mode == "generic")
    assert not run(chosen).changed
    assert dropped(cable, chosen)


def test_half_a_replacement_is_finished(cable, desired, policy):
    """As a run leaves it that is killed between pinning a new link and giving it its name."""
    for name in ("link", "prog"):
        os.rename(f"{desired.pins}/{name}", f"{desired.pins}/{name}~")
    assert not XdpProgram(desired).read(Host()).foreign
    number = netlink.link(NIC).xdp.programs["native"]
    run(desired)
    assert not [name for name in os.listdir(desired.pins) if "~" in name]
    assert netlink.link(NIC).xdp.programs["native"] != 0 != number
    assert not run(desired).changed
    assert dropped(cable, desired)


def test_a_link_of_another_interface_under_our_pin_is_not_dropped(desired, policy, twin):
    lab.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    other = bpf.create_xdp_link(twin.program("tripod_xdp"), netlink.link("other0").index, "native")
    with bpf.pinned(f"{desired.pins}/link") as ours:
        replace_pin(f"{desired.pins}/link", other)
        os.close(other)
        with pytest.raises(Refused, match=rf"the pins in {desired.pins} hold interface other0"):
            run(desired)
        assert netlink.link("other0").xdp.mode == "native"
        # Where it is pinned in its own place too, nothing is lost.
        with bpf.pinned(f"{desired.pins}/link") as held:
            os.mkdir(f"{desired.pin_root}/other0")
            bpf.pin(held, f"{desired.pin_root}/other0/link")
        run(desired)
        assert identifier(f"{desired.pins}/link") == bpf.xdp_link_info(ours).id
    assert netlink.link("other0").xdp.mode == "native"
    assert not run(desired).changed


def test_an_absent_interface_is_absent_and_not_converged(desired, policy):
    lab.ip("link", "del", NIC)
    results = reapply(Host(), desired.state_directory, check=True)
    assert {one.kind: one.state for one in results} == {"xdp": "absent", "xdp_policy": "absent", "policy": "converged"}
    assert exit_status(results) == 2
    with pytest.raises(Impossible, match=r"interface xdp0 does not exist, so that nothing in .* is in force"):
        apply(policy)


@pytest.fixture(scope="session")
def renamed_object(xdp_object: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program, one field of whose hits has another name: the same sizes, another meaning."""
    content = xdp_object.read_bytes()
    assert content.count(b"\0observed_bytes\0") == 1
    path = tmp_path_factory.mktemp("renamed") / "tripod_xdp.bpf.o"
    path.write_bytes(content.replace(b"\0observed_bytes\0", b"\0measured_bytes\0"))
    return path


def test_maps_of_one_size_and_another_meaning_are_not_reused(cable, desired, policy, renamed_object):
    renamed = replace(desired, object=str(renamed_object))
    with pytest.raises(Refused, match=r"map hits .*\(value struct hit.*observed_bytes.* -> .*measured_bytes") as raised:
        run(renamed)
    assert "incompatible_maps: recreate" in str(raised.value)
    assert dropped(cable, desired)
    run(replace(renamed, recreate_maps=True))
    assert not apply(policy).changed
    assert dropped(cable, desired)


@pytest.fixture
def bystander(xdp_object, desired) -> Iterator[tuple[int, int]]:
    """Another namespace with an interface of the same index that runs our program by a link; gives both."""
    run(desired)
    index = netlink.link(NIC).index
    with bpf.pinned(f"{desired.pins}/prog") as program, lab.namespace() as other:
        with lab.inside(other):
            lab.ip("link", "add", "far0", "index", str(index), "type", "veth", "peer", "name", "far1")
            link = bpf.create_xdp_link(program, index, "native")
        try:
            yield other, link
        finally:
            os.close(link)


def test_a_link_in_another_namespace_is_not_taken_for_this_interfaces(desired, bystander):
    other, link = bystander
    number = bpf.xdp_link_info(link).id
    with bpf.pinned(f"{desired.pins}/prog") as program:
        run(replace(desired, present=False))
        # Nobody's now: attached here by netlink, and by a link there.
        netlink.set_xdp(netlink.link(NIC).index, program, "native")
    with pytest.raises(Refused, match="native, by netlink") as raised:
        run(desired)
    assert f"bpf_link {number}" not in str(raised.value)
    run(replace(desired, replace_foreign=True))
    assert bpf.xdp_link_info(link).index != 0
    with lab.inside(other):
        assert netlink.link("far0").xdp.mode == "native"


def test_two_links_that_cannot_be_told_apart_are_left_alone(desired, bystander):
    other, _link = bystander
    index = netlink.link(NIC).index
    with bpf.pinned(f"{desired.pins}/prog") as program:
        run(replace(desired, present=False))
        held = bpf.create_xdp_link(program, index, "native")
    try:
        with pytest.raises(Refused, match=r"by one of the bpf_links \d+, \d+\) cannot be taken off from here"):
            run(replace(desired, replace_foreign=True))
    finally:
        os.close(held)
    with lab.inside(other):
        assert netlink.link("far0").xdp.mode == "native"


@pytest.fixture
def moved(cable, desired) -> Iterator[int]:
    """The NIC with its program in another namespace, and a new one of its name here; gives the namespace."""
    run(desired)
    with lab.namespace() as other:
        lab.ip("link", "set", NIC, "netns", f"/proc/{os.getpid()}/fd/{other}")
        lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "other1")
        yield other


def test_a_nic_that_moved_to_another_namespace_keeps_its_program(desired, moved):
    with pytest.raises(Refused, match=r"whose interface is in another network namespace now") as raised:
        run(desired)
    assert "renamed" not in str(raised.value)
    with lab.inside(moved):
        assert netlink.link(NIC).xdp.mode == "native"
    # Detaching is requested of what was attached under this name.
    outcome = run(replace(desired, present=False))
    assert "another network namespace" in outcome.changes[0].before
    with lab.inside(moved):
        assert netlink.link(NIC).xdp.mode is None
    assert run(desired).changed


def test_a_renamed_interface_is_named(desired):
    run(desired)
    lab.ip("link", "set", NIC, "down")
    lab.ip("link", "set", NIC, "name", "renamed0")
    lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "other1")
    with pytest.raises(Refused, match=r"hold interface renamed0 \(renamed\?\)"):
        run(desired)
    assert netlink.link("renamed0").xdp.mode == "native"
