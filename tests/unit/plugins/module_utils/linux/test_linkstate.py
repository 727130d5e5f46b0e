"""Reading and rewriting the kernel's messages; that the kernel takes them back, tests/integration proves."""

from __future__ import annotations

import dataclasses
import json
import socket
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import linkstate as s
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink_socket import attribute, attributes, u32

HOP = bytes((192, 0, 2, 1))


def address(index: int, local: bytes = HOP) -> bytes:
    return s._ADDRESS_HEADER.pack(socket.AF_INET, 24, 0x80, 0, index) + attribute(s._IFA_LOCAL, local)


def route(*content: bytes, flags: int = 0, length: int = 0) -> bytes:
    return s._ROUTE_HEADER.pack(socket.AF_INET, length, 0, 0, 254, 3, 0, 1, flags) + b"".join(content)


def by(index: int) -> bytes:
    return attribute(s._RTA_OIF, u32(index))


def nexthop(index: int, flags: int = 0) -> bytes:
    gateway = attribute(s._RTA_GATEWAY, HOP)
    return struct.pack("=HBBi", 8 + len(gateway), flags, 0, index) + gateway


def test_an_address_moves_with_its_interface():
    assert s._rewrite_address(address(2), {2: 9}) == address(9)
    assert s._rewrite_address(address(2), {3: 3}) is None


def test_a_route_moves_with_its_interfaces():
    assert s._rewrite_route(route(by(2)), {2: 9}) == route(by(9))
    several = attribute(s._RTA_MULTIPATH, nexthop(2) + nexthop(3))
    assert s._route_indices(route(several)) == [2, 3]
    moved = attribute(s._RTA_MULTIPATH, nexthop(9) + nexthop(3))
    assert s._rewrite_route(route(several), {2: 9, 3: 3}) == route(moved)
    assert s._rewrite_route(route(several), {2: 9}) is None


def test_what_only_describes_the_state_of_a_route_is_left_out():
    dead_linkdown_onlink = 0x1 | 0x10 | 0x4
    seen = route(
        by(2),
        attribute(s._RTA_CACHEINFO, bytes(32)),
        attribute(s._RTA_NEXTHOP_ID, u32(7)),
        attribute(s._RTA_MULTIPATH, nexthop(3, dead_linkdown_onlink)),
        flags=dead_linkdown_onlink,
    )
    kept = route(by(2), attribute(s._RTA_MULTIPATH, nexthop(3, 0x4)), flags=0x4)
    assert s._rewrite_route(seen, None) == kept


def test_a_route_is_the_same_whatever_the_order_of_its_attributes():
    gateway = attribute(s._RTA_GATEWAY, HOP)
    assert s._route_key(route(by(2), gateway)) == s._route_key(route(gateway, by(2)))
    assert s._route_key(route(by(2), gateway)) != s._route_key(route(by(3), gateway))


@pytest.mark.parametrize("data", [b"", b"\0", b"\4\0\0\0\0\0\0\0"])
def test_a_damaged_next_hop_ends_the_list(data):
    assert list(s._nexthops(data)) == []


def test_a_snapshot_survives_json():
    snapshot = s.Snapshot(
        {"ens1": s.LinkState(True, 1500, "bond0")}, {2: "ens1"}, [address(2).hex()], [route(by(2)).hex()]
    )
    assert s.Snapshot.parse(json.loads(json.dumps(dataclasses.asdict(snapshot)))) == snapshot


def test_of_two_snapshots_the_first_knows_better():
    first = s.Snapshot({"ens1": s.LinkState(True, 1500)}, {2: "ens1", 3: "ens2"}, [address(2).hex()], [])
    later = s.Snapshot(
        {"ens1": s.LinkState(False, 9000), "ens2": s.LinkState(True, 1500)},
        {2: "ens1", 3: "ens2"},
        [address(2, b"\0\0\0\0").hex(), address(3).hex()],
        [route(by(2)).hex(), route(by(3)).hex()],
    )
    joined = first.joined(later)
    assert joined.links == {"ens1": s.LinkState(True, 1500), "ens2": s.LinkState(True, 1500)}
    assert joined.addresses == [address(2).hex(), address(3).hex()]
    assert joined.routes == [route(by(3)).hex()]


def test_the_loopback_address_as_this_machine_has_it():
    assert s.holders("127.0.0.1") == {"lo"}
    assert s.ways_to("127.0.0.1") == {"lo"}
    assert s.holders("203.0.113.99") == set()
    assert s.holders("fe80::1%ens1") == {"ens1"}
    taken = s.take(["lo"])
    assert taken.links["lo"].mtu == 65536
    assert any(s._own_address(bytes.fromhex(one)) == bytes((127, 0, 0, 1)) for one in taken.addresses)
    assert all(dict(attributes(bytes.fromhex(one)[s._ROUTE_HEADER.size :])) for one in taken.routes)
