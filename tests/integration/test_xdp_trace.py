"""The tracer's promise: a twin is the same program under the same policy, names who decided, and touches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_twin import Twin
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab

BLOCKED, WATCHED, OTHER = "203.0.113.1", "198.51.100.1", "192.0.2.1"
POLICY = {
    "trusted": [{"prefix": "203.0.113.7"}],
    "lists": [
        {"name": "bogons", "prefixes": ["203.0.113.0/24"]},
        {"name": "scanners", "mode": "observe", "prefixes": ["198.51.100.0/24"]},
    ],
    "limits": [{"name": "few", "packets": "1/s", "burst": 1, "every_packet": True}],
}


def frame(source: str) -> bytes:
    return frames.ethernet(frames.IPV4, frames.ipv4(source))


@pytest.fixture
def desired(cable, xdp_object, pin_root, tmp_path) -> Desired:
    found = Desired(cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path))
    converge(XdpProgram(found), found, Host())
    policy = DesiredPolicy("edge", [cable.nic], POLICY, pin_root=str(pin_root), state_directory=str(tmp_path))
    converge(PolicySet(policy), policy, Host())
    return found


def trace(desired: Desired, *sources: str, merged=None) -> list[dict]:
    made = [frame(source) for source in sources]
    with Twin(Host(), desired.interface, desired.pin_root, merged, desired.state_directory) as twin:
        return [twin.judge(one) for one in made]


def charged(desired: Desired) -> dict[bytes, bytes]:
    """What is in the map of buckets, which a twin shares and a packet would change."""
    with bpf.pinned(f"{desired.pins}/maps/buckets") as descriptor:
        return bpf_map.items(descriptor, bpf.map_info(descriptor).layout)


def counted(desired: Desired) -> int:
    return sum(lab.read_counters(Path(desired.pins, "maps", "counters")).values())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (BLOCKED, {"verdict": "drop", "reason": "list_drop", "list": "bogons", "trusted": False}),
        ("203.0.113.7", {"verdict": "pass", "reason": "trusted", "trusted": True, "limits": []}),
        (WATCHED, {"verdict": "pass", "would": "drop", "would_reason": "list_drop", "observed_list": "scanners"}),
        (
            OTHER,
            {
                "verdict": "pass",
                "reason": "no_rule",
                "would": None,
                "list": None,
                "limits": [{"name": "few", "outcome": "conformed"}],
            },
        ),
    ],
)
def test_the_twin_says_what_becomes_of_a_frame_and_who_decides(desired, source, says):
    [found] = trace(desired, source)
    assert {key: found[key] for key in says} == says


def test_the_twin_touches_nothing(cable, desired):
    with lab.inside(cable.far):
        lab.ip("link", "set", cable.peer, "down")  # the kernel's own packets are charged too
    before, packets = charged(desired), counted(desired)
    with Twin(Host(), desired.interface, desired.pin_root, None, desired.state_directory) as twin:
        # A limit of one packet that was charged once would be exceeded.
        said = [twin.judge(frame(OTHER))["verdict"] for _time in range(50)]
        twin.judge(frame(BLOCKED))
    assert said == ["pass"] * 50
    assert counted(desired) == packets
    assert charged(desired) == before


def test_a_policy_can_be_tried_before_it_is_in_force(cable, desired):
    assert [one["reason"] for one in trace(desired, OTHER, BLOCKED, merged={"default": "drop"})] == [
        "default",
        "default",
    ]
    many = {"lists": [{"name": "many", "prefixes": [f"10.{n >> 8}.{n & 255}.0/25" for n in range(60_000)]}]}
    assert [one["list"] for one in trace(desired, "10.9.9.1", OTHER, merged=many)] == ["many", None]
    assert trace(desired, BLOCKED)[0]["list"] == "bogons"


def test_a_frame_that_the_kernel_does_not_take_is_an_error_in_words(desired):
    with (
        Twin(Host(), desired.interface, desired.pin_root, None, desired.state_directory) as twin,
        pytest.raises(Impossible, match="a frame of 5 bytes cannot be tried"),
    ):
        twin.judge(bytes(5))


def test_without_a_program_it_says_what_to_do(cable, pin_root, tmp_path):
    with pytest.raises(Impossible, match="attach the program to xdp0 with xdp_program first"):
        Twin(Host(), cable.nic, str(pin_root), None, str(tmp_path))
