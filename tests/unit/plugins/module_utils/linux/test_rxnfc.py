"""RSS, hash fields and flow rules against a NIC in memory, which speaks the structures of linux/ethtool.h.

The NICs at hand have no classifier; RSS itself is tried on real drivers in tests/metal.
"""

from __future__ import annotations

import errno
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import rxnfc as r
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.flow_rules import FlowRule, FlowRules
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink_socket import NetlinkError
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.rxnfc import Rss

# Offsets in struct ethtool_rxnfc, as a C compiler gives them.
FLOW_SPEC, LOCATION, COUNT, LOCATIONS = 16, 176, 184, 188
RXFH_BYTES = 24
SYMMETRIC = 1


class Nic:
    """Eight buckets, a key of four bytes, four queues and a classifier of sixteen rules."""

    def __init__(self) -> None:
        self.table = [0, 1, 2, 3, 0, 1, 2, 3]
        self.key = b"\1\2\3\4"
        self.function = 1
        self.transformation = SYMMETRIC
        self.fields = {1: 0xF0, 2: 0x30}
        self.rules: dict[int, bytes] = {}
        self.comes_between: list[bytes] = []

    def call(self, name: str, command: bytes) -> bytes:
        assert name == "ens1"
        answer = bytearray(command)
        [number] = struct.unpack_from("=I", command)
        {
            0x1B: self.strings,
            0x29: self.get_fields,
            0x2A: self.set_fields,
            0x2D: lambda answer: struct.pack_into("=Q", answer, 8, 4),
            0x2E: self.count_rules,
            0x2F: self.get_rule,
            0x30: self.list_rules,
            0x31: self.delete_rule,
            0x32: self.insert_rule,
            0x37: lambda answer: (
                struct.pack_into("=I", answer, 16, 3) if len(answer) > 19 else self.refuse(errno.EFAULT)
            ),
            0x46: self.get_rss,
            0x47: self.set_rss,
        }[number](answer)
        return bytes(answer)

    def refuse(self, number: int) -> None:
        raise NetlinkError(number)

    def strings(self, answer: bytearray) -> None:
        assert struct.unpack_from("=II", answer, 4) == (5, 3)
        for place, name in enumerate((b"toeplitz", b"xor", b"crc32")):
            struct.pack_into("32s", answer, 12 + 32 * place, name)

    def get_rss(self, answer: bytearray) -> None:
        entries, key_bytes = struct.unpack_from("=II", answer, 8)
        struct.pack_into("=IIBB", answer, 8, len(self.table), len(self.key), self.function, self.transformation)
        if entries:
            struct.pack_into(f"={entries}I{key_bytes}s", answer, RXFH_BYTES, *self.table, self.key)

    def set_rss(self, answer: bytearray) -> None:
        entries, key_bytes, function, self.transformation = struct.unpack_from("=IIBB", answer, 8)
        if entries == 0:
            self.table = [0] * 8
        elif entries != 0xFFFFFFFF:
            if entries != 8:
                self.refuse(errno.EINVAL)
            self.table = list(struct.unpack_from("=8I", answer, RXFH_BYTES))
        start = RXFH_BYTES + (32 if entries == 8 else 0)
        self.key = bytes(answer[start : start + key_bytes]) or self.key
        self.function = function or self.function

    def get_fields(self, answer: bytearray) -> None:
        [flow_type] = struct.unpack_from("=I", answer, 4)
        if flow_type not in self.fields:
            self.refuse(errno.EINVAL)
        struct.pack_into("=Q", answer, 8, self.fields[flow_type])

    def set_fields(self, answer: bytearray) -> None:
        flow_type, bits = struct.unpack_from("=IQ", answer, 4)
        self.fields[flow_type] = bits

    def count_rules(self, answer: bytearray) -> None:
        struct.pack_into("=Q", answer, 8, 0x80000000)
        struct.pack_into("=I", answer, COUNT, len(self.rules))
        if self.comes_between:
            self.rules[15] = self.comes_between.pop()

    def list_rules(self, answer: bytearray) -> None:
        [room] = struct.unpack_from("=I", answer, COUNT)
        if room < len(self.rules):
            self.refuse(errno.EMSGSIZE)
        struct.pack_into("=Q", answer, 8, 16)
        struct.pack_into(f"=I{len(self.rules)}I", answer, COUNT, len(self.rules), *sorted(self.rules, reverse=True))

    def get_rule(self, answer: bytearray) -> None:
        [place] = struct.unpack_from("=I", answer, LOCATION)
        answer[FLOW_SPEC:COUNT] = self.rules[place]

    def insert_rule(self, answer: bytearray) -> None:
        [place] = struct.unpack_from("=I", answer, LOCATION)
        if place == 0xFFFFFFFF:
            place = max(set(range(16)) - set(self.rules), default=16)
        if place > 15:
            self.refuse(errno.ENOSPC)
        struct.pack_into("=I", answer, LOCATION, place)
        self.rules[place] = bytes(answer[FLOW_SPEC:COUNT])

    def delete_rule(self, answer: bytearray) -> None:
        [place] = struct.unpack_from("=I", answer, LOCATION)
        if self.rules.pop(place, None) is None:
            self.refuse(errno.ENOENT)


@pytest.fixture
def nic(monkeypatch) -> Nic:
    made = Nic()
    monkeypatch.setattr(r, "call", made.call)
    return made


def test_rss_is_read_whole(nic):
    assert r.read_rss("ens1") == Rss((0, 1, 2, 3) * 2, b"\1\2\3\4", "toeplitz", ("toeplitz", "xor", "crc32"), 4)


def test_a_driver_without_table_and_key_has_no_rss(nic):
    nic.table, nic.key = [], b""
    assert r.read_rss("ens1") is None


def test_a_function_that_the_driver_does_not_tell_is_none(nic):
    nic.function = 0
    assert r.read_rss("ens1").function is None


@pytest.mark.parametrize(
    ("given", "table", "key", "function"),
    [
        ({"table": [3, 2, 1, 0, 3, 2, 1, 0]}, [3, 2, 1, 0, 3, 2, 1, 0], b"\1\2\3\4", 1),
        ({"table": "default"}, [0] * 8, b"\1\2\3\4", 1),
        ({"key": b"\5\6\7\10"}, [0, 1, 2, 3] * 2, b"\5\6\7\10", 1),
        ({"function": "xor"}, [0, 1, 2, 3] * 2, b"\1\2\3\4", 2),
        ({"table": [1] * 8, "key": b"\5\6\7\10", "function": "crc32"}, [1] * 8, b"\5\6\7\10", 4),
    ],
)
def test_only_what_is_given_of_rss_changes(nic, given, table, key, function):
    r.set_rss("ens1", **given)
    assert (nic.table, nic.key, nic.function, nic.transformation) == (table, key, function, SYMMETRIC)


def test_a_table_that_the_driver_refuses_is_reported_in_short(nic):
    with pytest.raises(ApplyFailed, match=r"^ens1: RSS table of 4 entries up to queue 9: Invalid argument \(EINVAL\)$"):
        r.set_rss("ens1", table=[9, 1, 1, 1])


def test_hash_fields_of_the_types_that_the_driver_knows(nic):
    assert r.read_hash_fields("ens1") == {"tcp4": "sdfn", "udp4": "sd"}
    r.set_hash_fields("ens1", "udp4", "nsfd")
    assert r.read_hash_fields("ens1") == {"tcp4": "sdfn", "udp4": "sdfn"}


@pytest.mark.parametrize(("bits", "text"), [(0, ""), (0x30, "sd"), (0xF0, "sdfn"), (1 << 31 | 2, "mr"), (1 << 30, "")])
def test_hash_fields_in_letters(bits, text):
    assert r.letters(bits) == text


RULE = FlowRule("udp4", {"dst_port": "4791"}, 3, 0, 7)
FOREIGN = FlowRule("ether", {"ethertype": "0x88cc"}, None, 0, 2)


def test_rules_come_and_go_by_location(nic):
    assert r.read_flow_rules("ens1") == FlowRules(16, (), True)
    assert r.insert_flow_rule("ens1", RULE) == 7
    assert r.insert_flow_rule("ens1", FOREIGN) == 2
    assert r.read_flow_rules("ens1") == FlowRules(16, (FOREIGN, RULE), True)
    r.delete_flow_rule("ens1", 7)
    assert r.read_flow_rules("ens1").rules == (FOREIGN,)


def test_the_driver_may_choose_the_location(nic):
    assert r.insert_flow_rule("ens1", FlowRule("tcp4", {"src_ip": "192.0.2.1"}, 1)) == 15
    assert r.read_flow_rules("ens1").rules == (FlowRule("tcp4", {"src_ip": "192.0.2.1"}, 1, 0, 15),)


def test_a_rule_that_comes_between_two_questions_is_read_too(nic):
    other = FlowRule("tcp4", {"dst_port": "80"}, 0, 0, 15)
    r.insert_flow_rule("ens1", other)
    nic.comes_between = [nic.rules.pop(15)]
    assert r.read_flow_rules("ens1").rules == (other,)


def test_a_table_that_never_stands_still_is_an_error(nic, monkeypatch):
    monkeypatch.setattr(nic, "list_rules", lambda _answer: nic.refuse(errno.EMSGSIZE))
    with pytest.raises(NetlinkError, match="EMSGSIZE"):
        r.read_flow_rules("ens1")


def test_a_full_table_and_a_rule_that_is_not_there(nic):
    for place in range(16):
        r.insert_flow_rule("ens1", FlowRule("tcp4", {"dst_port": str(place)}, 0, 0, place))
    with pytest.raises(ApplyFailed, match=r"-> drop: No space left on device \(ENOSPC\): the table is full$"):
        r.insert_flow_rule("ens1", FlowRule("tcp4"))
    r.delete_flow_rule("ens1", 3)
    with pytest.raises(ApplyFailed, match=r"^ens1: flow rule at 3: .*\(ENOENT\): there is none$"):
        r.delete_flow_rule("ens1", 3)
