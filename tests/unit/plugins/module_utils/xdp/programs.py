"""An interface before and after our program is attached, for tests of what is planned and refused."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf import Map, MapLayout, Program, XdpLink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import Link, XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import LRO, Device
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.plan import state_file_body
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import Attachment, Source, State

NEW, OLD = "a" * 64, "b" * 64
TRIE = MapLayout("lpm_trie", 8, 4, 131072, 1)
RING = MapLayout("ringbuf", 0, 0, 0, 0)
DESIRED = Desired("ens1", object="/o", pin_root="/pins", state_directory="/state")
LINK = Link(7, "ens1", True, "02:00:00:00:00:01", 1500, 4, 4, XdpState(), bus="pci", bus_address="0000:81:00.0")
SOURCE = Source(NEW, ["tripod_xdp"], {"acl_v4": TRIE, "events": RING})
DEVICE = Device("ens1", "igb", xdp_features={"basic", "redirect"}, channels={"combined": 4}, most_channels=8)
BARE = State(LINK, {1: "lo", 7: "ens1"}, source=SOURCE, device=DEVICE)
SPOILT = replace(DEVICE, mtu=9000, merging={LRO: True})
OURS = Attachment("native", Program(5, "tripod_xdp", "0123", 6, (11, 12)), link_id=3, ours=True)
PERMISSIONS = {
    **dict.fromkeys(("/pins", "/pins/ens1", "/pins/ens1/maps"), (0, 0o750)),
    **dict.fromkeys(("/pins/ens1/link", "/pins/ens1/prog"), (0, 0o640)),
    **dict.fromkeys(("/pins/ens1/maps/acl_v4", "/pins/ens1/maps/events"), (0, 0o640)),
}
STATE_FILE = {**state_file_body(DESIRED, BARE), "loaded": {"id": 5, "tag": "0123"}}
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
