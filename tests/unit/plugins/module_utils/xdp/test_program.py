"""What is planned, and what is refused with which words, on states as data."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, Refused, diff
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf import Map, MapLayout, Program, XdpLink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import Link, XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import attach, program
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import plan as xdp_plan
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.limits import LRO, Device
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import (
    Attachment,
    Desired,
    Source,
    State,
    XdpProgram,
    facts,
)

NEW, OLD = "a" * 64, "b" * 64
TRIE = MapLayout("lpm_trie", 8, 4, 131072, 1)
RING = MapLayout("ringbuf", 0, 0, 0, 0)
WANTED = Desired("ens1", object="/o", pin_root="/pins", state_directory="/state")
LINK = Link(7, "ens1", True, "02:00:00:00:00:01", 1500, 4, 4, XdpState(), bus="pci", bus_address="0000:81:00.0")
SOURCE = Source(NEW, ["tripod_xdp"], {"acl_v4": TRIE, "events": RING})
DEVICE = Device("ens1", "igb", xdp_features={"basic", "redirect"}, channels={"combined": 4}, most_channels=8)
BARE = State(LINK, {1: "lo", 7: "ens1"}, source=SOURCE, device=DEVICE)
SPOILT = replace(DEVICE, mtu=9000, merging={LRO: True})
OURS = Attachment("native", Program(5, "tripod_xdp", "0123", 6, (11, 12)), link_id=3, ours=True)
PERMISSIONS = {
    **dict.fromkeys(("/pins", "/pins/ens1", "/pins/ens1/maps"), (0, 0o750)),
    **dict.fromkeys(("/pins/ens1/link", "/pins/ens1/prog"), (0, 0o640)),
    **dict.fromkeys(("/pins/ens1/maps/acl_v4", "/pins/ens1/maps/events"), (0, 0o660)),
}
STATE_FILE = {**xdp_plan.request(WANTED, BARE), "loaded": {"id": 5, "tag": "0123"}}
DONE = replace(
    BARE,
    link=replace(LINK, xdp=XdpState("native", {"native": 5})),
    attachments=[OURS],
    pinned_link=XdpLink(3, 5, 7),
    maps={"acl_v4": Map(11, "acl_v4", TRIE), "events": Map(12, "events", replace(RING, max_entries=4096))},
    permissions=PERMISSIONS,
    state_file=STATE_FILE,
)
FOREIGN = Attachment("generic", Program(9, "someone", "4567", 6, ()))


def on(**device) -> State:
    """Return the bare interface with another device."""
    return replace(BARE, device=replace(DEVICE, **device))


def plan(desired: Desired, state: State) -> list[tuple[str, bool]]:
    resource = XdpProgram(desired)
    resource.validate(desired, state)
    return [(" ".join(change.path[1:]), change.disrupts) for change in resource.plan(desired, state)]


@pytest.mark.parametrize(
    ("desired", "state", "steps"),
    [
        pytest.param(
            WANTED,
            BARE,
            [("mode", True), ("object", False), ("program", False), ("maps acl_v4", False), ("maps events", False)],
            id="attach",
        ),
        pytest.param(WANTED, DONE, [], id="nothing to do"),
        pytest.param(
            WANTED, replace(DONE, state_file={**STATE_FILE, "sha256": OLD}), [("object", False)], id="another object"
        ),
        pytest.param(
            WANTED,
            replace(DONE, state_file={**STATE_FILE, "loaded": {"id": 4}}),
            [("object", False)],
            id="not what we loaded",
        ),
        pytest.param(WANTED, replace(DONE, state_file=None), [("object", False)], id="document lost"),
        pytest.param(WANTED, replace(DONE, state_file={}), [("object", False)], id="document damaged"),
        pytest.param(replace(WANTED, mode="generic"), DONE, [("mode", True)], id="other mode"),
        pytest.param(
            WANTED,
            replace(BARE, maps=DONE.maps, permissions=PERMISSIONS),
            [("mode", True), ("object", False), ("program", False)],
            id="attach with the maps of before",
        ),
        pytest.param(
            WANTED,
            replace(DONE, permissions={**PERMISSIONS, "/pins/ens1/maps/old": (0, 0o660)}),
            [("maps old", False)],
            id="a map that the object no longer has",
        ),
        pytest.param(
            WANTED,
            replace(DONE, permissions={p: one for p, one in PERMISSIONS.items() if not p.endswith(("prog", "acl_v4"))}),
            [("pins prog", False), ("pins maps/acl_v4", False)],
            id="pins lost",
        ),
        pytest.param(
            WANTED,
            replace(DONE, permissions={**PERMISSIONS, "/pins/ens1/prog": (0, 0o600)}),
            [("permissions /pins/ens1/prog", False)],
            id="permissions",
        ),
        pytest.param(
            replace(WANTED, object="/elsewhere/o"), DONE, [("state file", False)], id="the same object from elsewhere"
        ),
        pytest.param(
            replace(WANTED, replace_foreign=True, mode="generic"),
            replace(BARE, attachments=[FOREIGN], maps=DONE.maps, permissions=PERMISSIONS),
            [("foreign generic", True), ("mode", False), ("object", False), ("program", False)],
            id="replace a foreign program",
        ),
        pytest.param(
            replace(WANTED, present=False),
            DONE,
            [("program", True), ("pins", False), ("state file", False)],
            id="detach",
        ),
        pytest.param(
            replace(WANTED, present=False),
            replace(BARE, attachments=[FOREIGN], state_file=STATE_FILE),
            [("state file", False)],
            id="detach leaves a foreign program",
        ),
        pytest.param(replace(WANTED, present=False), State(None), [], id="detach what never was"),
    ],
)
def test_plan(desired, state, steps):
    assert plan(desired, state) == steps


@pytest.mark.parametrize(
    ("desired", "state", "kind", "words"),
    [
        (WANTED, replace(BARE, link=None), Invalid, "interface ens1 does not exist; there are lo, ens1"),
        (WANTED, replace(BARE, source=Source(error="object /o: gone")), Invalid, "object /o: gone"),
        (
            replace(WANTED, sha256=OLD),
            BARE,
            Invalid,
            f"object /o has SHA-256 {NEW}, {OLD} is expected: copy the right object, or correct sha256",
        ),
        (
            WANTED,
            replace(BARE, source=replace(SOURCE, programs=["a", "b"])),
            Invalid,
            "object /o holds the XDP programs a, b: name one with 'program'",
        ),
        (
            WANTED,
            replace(BARE, source=replace(SOURCE, programs=[])),
            Invalid,
            "object /o holds no XDP program: name one with 'program'",
        ),
        (
            WANTED,
            on(xdp_features=set()),
            Impossible,
            "driver igb without native XDP; needed: native XDP: choose mode generic",
        ),
        (WANTED, on(xdp_features=set(), kind="veth"), Impossible, "the same number of queues on both ends"),
        (WANTED, on(mtu=9000), Impossible, "MTU 9000; needed: at most 3046 for driver igb: "),
        (WANTED, on(driver="ena", most_channels=4), Impossible, "4 of 4 channels; needed: half of them for driver ena"),
        (WANTED, on(merging={LRO: True}), Impossible, "'ethtool -K ens1 lro off'"),
        (WANTED, replace(BARE, obstacles=["no BPF file system"]), Impossible, "no BPF file system"),
        (
            WANTED,
            replace(BARE, attachments=[FOREIGN]),
            Refused,
            "someone (id 9, generic, by netlink) is attached and not ours: detach it with "
            "'ip link set dev ens1 xdpgeneric off', or set 'replace_foreign: true'",
        ),
        (
            WANTED,
            replace(BARE, attachments=[replace(FOREIGN, link_id=8)]),
            Refused,
            "someone (id 9, generic, by bpf_link 8) is attached and not ours: detach it with its owner's tool, or "
            "'bpftool link detach id 8', or set 'replace_foreign: true'",
        ),
        (
            WANTED,
            replace(BARE, attachments=[replace(FOREIGN, program=Program(9, "xdp_dispatcher", "", 6, ()))]),
            Refused,
            "'xdp-loader unload ens1 --all'",
        ),
        (
            WANTED,
            replace(BARE, pinned_link=XdpLink(3, 5, 1)),
            Refused,
            "the pins in /pins/ens1 hold interface lo (renamed?)",
        ),
        (
            WANTED,
            replace(BARE, maps={"acl_v4": Map(11, "acl_v4", replace(TRIE, value_size=8, max_entries=9))}),
            Refused,
            "map acl_v4 does not fit the pinned one (value_size 8 -> 4, max_entries 9 -> 131072), whose entries would "
            "be lost: save them and set 'incompatible_maps: recreate', or keep the layout",
        ),
        (replace(WANTED, present=False), replace(DONE, obstacles=["no libbpf"]), Impossible, "no libbpf"),
    ],
)
def test_what_stands_in_the_way_is_told_with_its_remedy(desired, state, kind, words, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: 4096)
    with pytest.raises((Invalid, Impossible, Refused)) as raised:
        XdpProgram(desired).validate(desired, state)
    assert raised.type is kind
    assert words in str(raised.value)
    assert str(raised.value).startswith("ens1: nothing was changed: ")


def test_all_reasons_come_at_once():
    state = replace(
        BARE, obstacles=["no libbpf"], device=SPOILT, attachments=[FOREIGN], source=Source(error="no object")
    )
    with pytest.raises(Invalid) as raised:
        XdpProgram(WANTED).validate(WANTED, state)
    assert len(raised.value.facts["reasons"]) == 5


def test_what_runs_already_proves_that_it_can():
    XdpProgram(WANTED).validate(WANTED, replace(DONE, device=SPOILT))


@pytest.mark.parametrize("mode", ["generic", "offload"])
def test_limits_of_the_driver_do_not_bind_other_modes(mode):
    state = replace(BARE, device=replace(SPOILT, xdp_features={"hw-offload"}))
    desired = replace(WANTED, mode=mode)
    XdpProgram(desired).validate(desired, state)


@pytest.mark.parametrize(
    ("mounts", "path", "found"),
    [
        ("1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw shared:1 - bpf bpf rw", "/sys/fs/bpf/tripod", True),
        (
            "1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw - bpf bpf rw\n3 2 0:3 / /sys rw - sysfs s rw",
            "/sys/x",
            False,
        ),
        ("1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw - bpf bpf rw", "/sys/fs/bpfother", False),
        ("1 0 0:1 / / rw - bpf d rw", "/anything", True),
        ("", "/sys/fs/bpf", False),
    ],
)
def test_bpffs_is_found_in_the_mount_table(tmp_path, mounts, path, found):
    host = Host(tmp_path)
    host.write_atomically("/proc/self/mountinfo", mounts)
    assert program._on_bpffs(host, path) is found


def test_detaching_takes_the_policy_document_with_the_maps():
    gone = replace(WANTED, present=False)
    changes = XdpProgram(gone).plan(gone, replace(DONE, policy=True))
    assert diff(changes)["before"]["ens1"]["policy"] == "/state/xdp_map-ens1.json"


BODY = {key: value for key, value in STATE_FILE.items() if key != "loaded"}


def test_a_replay_leaves_out_what_it_is_not_about_and_what_is_absent(monkeypatch, tmp_path):
    monkeypatch.setattr(netlink, "links", lambda: [replace(LINK, bus_address="0000:82:00.0")])
    assert program.reapply(BODY, Host(tmp_path), only=["ens2"]).changes == []
    assert program.reapply(BODY, Host(tmp_path)).changes == [], "another NIC of the same name is not the one"


def test_a_replay_tells_of_a_nic_that_was_renamed(monkeypatch, tmp_path):
    monkeypatch.setattr(netlink, "links", lambda: [replace(LINK, name="eth5")])
    with pytest.raises(Impossible, match=r"the NIC at 0000:81:00.0, ens1 when .*, is now eth5: .*systemd.link"):
        program.reapply(BODY, Host(tmp_path))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(BODY, "ens1", id="by its place"),
        pytest.param({**BODY, "mac": "02:00:00:00:00:02"}, "ens1p1", id="one port of two"),
        pytest.param({**BODY, "mac": "02:00:00:00:00:09"}, "ens1", id="a MAC that was changed"),
        pytest.param({**BODY, "bus_address": None}, "ens1", id="by name"),
        pytest.param({**BODY, "bus_address": None, "interface": "veth9"}, None, id="absent"),
    ],
)
def test_the_link_that_a_document_means(body, found):
    table = [LINK, replace(LINK, name="ens1p1", mac="02:00:00:00:00:02")]
    link = program._find(body, table)
    assert (link and link.name) == found


def test_names_of_pins_and_documents():
    desired = Desired("eth0.100")
    assert desired.pins == "/sys/fs/bpf/tripod/eth0:100"
    assert desired.state_files == [f"/etc/tripod/host.d/{name}-eth0.100.json" for name in ("xdp", "xdp_map")]


def test_facts():
    assert facts(BARE) == {"mode": None, "program": None, "maps": [], "sha256": None}
    reported = facts(DONE)
    assert (reported["mode"], reported["sha256"]) == ("native", NEW)
    assert reported["program"] == {"id": 5, "name": "tripod_xdp", "tag": "0123"}
    assert [one["name"] for one in reported["maps"]] == ["acl_v4", "events"]


def test_undo_goes_backwards_and_tells_what_it_could_not():
    done = []

    def fail() -> None:
        raise OSError(16, "Device or resource busy")

    undo = attach.Undo()
    undo.add("first", lambda: done.append("first"))
    undo.add("second", fail)
    undo.add("third", lambda: done.append("third"))
    assert undo.run() == ["second ([Errno 16] Device or resource busy)"]
    assert done == ["third", "first"]
