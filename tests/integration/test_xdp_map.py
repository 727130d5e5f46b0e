"""Policy entries in real maps, judged by real packets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Refused, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import (
    Policy,
    XdpMap,
    counts,
    parse_entries,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab


def attach(path: Path, pin_root: Path, directory: Path) -> Desired:
    desired = Desired(lab.Cable.nic, object=str(path), pin_root=str(pin_root), state_directory=str(directory))
    converge(XdpProgram(desired), desired, Host())
    return desired


@pytest.fixture
def policy(cable, xdp_object, pin_root, tmp_path) -> Policy:
    attach(xdp_object, pin_root, tmp_path)
    return Policy(lab.Cable.nic, pin_root=str(pin_root), state_directory=str(tmp_path))


def apply(policy: Policy, *entries: str, check: bool = False, **options) -> dict[str, int]:
    """Apply entries such as "192.0.2.0/24 drop" and return what was counted."""
    parsed = parse_entries([dict(zip(("prefix", "action"), entry.split(), strict=True)) for entry in entries])
    desired = replace(policy, entries=parsed, **options)
    return counts(converge(XdpMap(desired), desired, Host(), check=check).changes)


def rules(policy: Policy) -> dict[str, tuple[str, str]]:
    return {str(prefix): rule for prefix, rule in XdpMap(policy).read(Host()).rules.items()}


def test_packets_of_listed_sources_are_dropped_and_no_others(cable, policy):
    apply(policy, "203.0.113.0/24 drop", "203.0.113.9/32 pass", "2001:db8:bad::/48 drop", "2001:db8:bad:1::/64 pass")
    path = Path(policy.pin_root, policy.interface, "maps", "counters")
    sources = {
        "203.0.113.1": ("drop", "list_drop"),
        "203.0.113.255": ("drop", "list_drop"),
        "203.0.113.9": ("pass", "list_pass"),
        "203.0.114.0": ("pass", "no_rule"),
        "203.0.112.255": ("pass", "no_rule"),
        "2001:db8:bad::1": ("drop", "list_drop"),
        "2001:db8:bad:1::1": ("pass", "list_pass"),
        "2001:db8:bae::1": ("pass", "no_rule"),
    }
    with cable.sender() as sender:
        for source, slot in sources.items():
            assert lab.fate(path, sender, frames.of(source), 50) == slot, source


def test_exact_present_and_absent(policy):
    assert apply(policy, "10.0.0.0/8 drop", "2001:db8::/32 drop") == {"added": 2, "removed": 0, "modified": 0}
    assert apply(policy, "10.0.0.0/8 drop", "2001:db8::/32 drop") == {"added": 0, "removed": 0, "modified": 0}
    assert apply(policy, "10.0.0.0/8 pass", "0.0.0.0/0 drop", check=True) == {"added": 1, "removed": 1, "modified": 1}
    assert set(rules(policy)) == {"10.0.0.0/8", "2001:db8::/32"}
    assert apply(policy, "10.0.0.0/8 pass", "0.0.0.0/0 drop") == {"added": 1, "removed": 1, "modified": 1}
    assert apply(policy, "::/0 drop", mode="present") == {"added": 1, "removed": 0, "modified": 0}
    assert rules(policy) == {
        "0.0.0.0/0": ("inventory", "drop"),
        "10.0.0.0/8": ("inventory", "pass"),
        "::/0": ("inventory", "drop"),
    }
    assert apply(policy, "::/0 pass", "192.0.2.0/24 drop", mode="absent") == {"added": 0, "removed": 1, "modified": 0}
    assert apply(policy) == {"added": 0, "removed": 2, "modified": 0}
    assert rules(policy) == {}


def test_another_owners_entries_are_left_alone_and_its_prefixes_refused(policy):
    apply(policy, "10.0.0.0/8 drop", "2001:db8::/32 drop", owner="api")
    assert apply(policy, "192.0.2.0/24 drop") == {"added": 1, "removed": 0, "modified": 0}
    with pytest.raises(Refused, match=r"10\.0\.0\.0/8 \(drop\) belongs to owner api, not inventory: remove it there"):
        apply(policy, "198.51.100.0/24 drop", "10.0.0.0/8 drop")
    assert apply(policy) == {"added": 0, "removed": 1, "modified": 0}
    assert rules(policy) == {"10.0.0.0/8": ("api", "drop"), "2001:db8::/32": ("api", "drop")}


def test_ten_thousand_prefixes(policy):
    entries = [f"10.{number >> 8}.{number & 255}.0/24 drop" for number in range(10000)]
    assert apply(policy, *entries)["added"] == 10000
    assert apply(policy, *entries) == {"added": 0, "removed": 0, "modified": 0}
    assert len(rules(policy)) == 10000
    assert apply(policy)["removed"] == 10000


def test_what_a_kernel_without_batches_gives_is_the_same(policy):
    apply(policy, "203.0.113.0/24 drop")
    with bpf.pinned(f"{policy.pin_root}/{policy.interface}/maps/bans") as descriptor:
        layout = bpf.map_info(descriptor).layout
        entries = [(number.to_bytes(layout.key_size, "big"), bytes(layout.value_size)) for number in range(5000)]
        assert bpf_map.update(descriptor, entries) == len(entries)
        assert bpf_map._items_one_by_one(descriptor, layout) == bpf_map._items_by_batch(descriptor, layout)
        bpf_map.delete(descriptor, [key for key, _value in entries])


def test_without_a_program_it_says_what_to_do(cable, pin_root, tmp_path):
    policy = Policy(lab.Cable.nic, pin_root=str(pin_root), state_directory=str(tmp_path))
    with pytest.raises(
        Impossible, match=r"maps/policy does not exist: attach the program to xdp0 with xdp_program first"
    ):
        apply(policy, "10.0.0.0/8 drop")
