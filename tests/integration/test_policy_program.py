"""How the XDP program judges: each stage, each reason and each field, in the kernel (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map, map_in_map
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import ban_map

from tests.integration import frames as f
from tests.integration import lab
from tests.support.bpf_object import xdp_object as made_object
from tests.support.policy_run import REASONS, VERDICTS, Loaded, Record

V4, V6, BLOCKED, BLOCKED6 = "192.0.2.1", "2001:db8:1::1", "203.0.113.9", "2001:db8:bad::9"
UDP4, UDP6 = f.ethernet(f.IPV4, f.ipv4(V4)), f.ethernet(f.IPV6, f.ipv6(V6))
TCP4 = f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER, f.TCP))
FROM_BLOCKED = f.ethernet(f.IPV4, f.ipv4(BLOCKED))
BROKEN = f.ethernet(f.IPV4, f.ipv4(V4, b"\0"))
TINY_FIRST = f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER[:8], f.TCP, fragment=0x2000))
TINY_FIRST6 = f.ethernet(f.IPV6, f.ipv6(V6, struct.pack("!BBHI", f.TCP, 0, 1, 1) + f.TCP_HEADER[:8], f.FRAGMENT))
LATER4 = f.ethernet(f.IPV4, f.ipv4(V4, b"\0" * 8, f.UDP, fragment=100))
DROPS = {"name": "blocked", "action": "drop", "prefixes": ["203.0.113.0/24", "2001:db8:bad::/48"]}
BEFORE, OURS, AFTER = 0, 1, 2  # enum tripod_extension
XDP_DROP, XDP_PASS = 1, 2


@pytest.fixture(scope="module")
def content(xdp_object: Path) -> bytes:
    return xdp_object.read_bytes()


@contextmanager
def under(content: bytes, policy: Mapping[str, Any], program: str = "tripod_xdp") -> Iterator[tuple[Loaded, Compiled]]:
    """The program under a policy as an operator writes it."""
    compiled = compile_policy(parse(policy), hz=250, seed=bytes(16))
    with Loaded(content, compiled, program) as loaded:
        yield loaded, compiled


def said(record: Record) -> tuple[str, str]:
    return VERDICTS[record.verdict], REASONS[record.reason]


def rule(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"id": "r", "action": "drop", **fields}]}


ONCE = {"name": "once", "packets": "1/h", "burst": 1}


@pytest.mark.parametrize("program", ["tripod_xdp", "tripod_xdp_frags"])
@pytest.mark.parametrize(
    ("policy", "frames", "verdict", "reason", "part"),
    [
        pytest.param({}, [UDP4], "pass", "no_rule", None, id="nothing"),
        pytest.param({"default": "drop"}, [UDP4], "drop", "default", None, id="default"),
        pytest.param({"default": "drop"}, [f.ethernet(f.ARP, b"\0" * 28)], "pass", "not_ip", None, id="not ip"),
        pytest.param({"default": "drop"}, [BROKEN], "pass", "malformed", None, id="malformed"),
        pytest.param({"lists": [DROPS]}, [FROM_BLOCKED], "drop", "list_drop", "list:blocked", id="list"),
        pytest.param(
            {"lists": [{**DROPS, "action": "pass"}], "default": "drop"},
            [f.ethernet(f.IPV6, f.ipv6(BLOCKED6))],
            *("pass", "list_pass", "list:blocked"),
            id="list that passes",
        ),
        pytest.param(
            {"lists": [DROPS], "trusted": [{"prefix": "203.0.113.8/29"}]},
            [FROM_BLOCKED],
            *("pass", "trusted", None),
            id="trusted prefix",
        ),
        pytest.param(
            {"lists": [{**DROPS, "prefixes": ["0.0.0.0/0"]}], "trusted": [{"protocol": "tcp", "port": 4001}]},
            [TCP4],
            *("pass", "trusted", None),
            id="trusted flow",
        ),
        pytest.param(rule(protocol="udp"), [UDP4], "drop", "rule_drop", "rule:r", id="rule"),
        pytest.param(
            {**rule(protocol="udp", action="pass"), "default": "drop"},
            [UDP6],
            *("pass", "rule_pass", "rule:r"),
            id="rule that passes",
        ),
        pytest.param(
            {"limits": [{**ONCE, "every_packet": True}]}, [UDP4] * 2, "drop", "limit", "limit:once", id="limit"
        ),
        pytest.param(
            {"lists": [{**DROPS, "action": "limit:once"}], "limits": [ONCE]},
            [FROM_BLOCKED] * 2,
            *("drop", "limit", "limit:once"),
            id="limit of a list",
        ),
        pytest.param(
            {"rules": [{"id": "r", "protocol": "udp", "limit": "once"}], "limits": [ONCE]},
            [UDP4] * 2,
            *("drop", "limit", "limit:once"),
            id="limit of a rule",
        ),
        pytest.param(
            {"services": [{"name": "s", "protocol": "udp", "port": 4001, "action": "drop"}]},
            [UDP4],
            *("drop", "service_drop", "service:s"),
            id="service that drops",
        ),
        pytest.param(
            {"services": [{"name": "s", "protocol": "udp", "port": 4001}], "default": "drop"},
            [UDP6],
            *("pass", "service_pass", "service:s"),
            id="service",
        ),
        pytest.param(
            {"services": [{"name": "s", "protocol": "udp", "port": 4001, "action": "afxdp:w"}], "default": "drop"},
            [UDP4],
            *("pass", "afxdp", "service:s"),
            id="afxdp where nobody listens",
        ),
        pytest.param(
            {"services": [{"name": "s", "protocol": "tcp", "port": 4001, "action": "syncookie"}], "default": "drop"},
            [TCP4],
            *("pass", "service_pass", "service:s"),
            id="syn cookie where nobody listens",
        ),
    ],
)
def test_each_stage_gives_its_reason(content, program, policy, frames, verdict, reason, part):
    with under(content, policy, program) as (loaded, compiled):
        record = [loaded.run(frame) for frame in frames][-1]
        assert said(record) == (verdict, reason)
        assert record.slot == (compiled.slots[part] if part else 0)
        assert loaded.counters()[verdict, reason] == 1
        hits = loaded.hits()
        assert part is None or hits[compiled.slots[part]][:2] == (1, len(frames[-1]))
        assert part is not None or not hits


def test_a_program_without_a_policy_passes_everything(content):
    with BpfObject(content, "tripod_xdp.bpf.o") as opened, map_in_map.made("template", 1 << 20) as template:
        opened.set_template("policy", template)
        bounds = bytearray(opened.constants()["bounds"].size)
        place = opened.fields("bounds")["sets_count"]
        bounds[place.offset : place.offset + place.size] = (1).to_bytes(place.size, "little")
        opened.set_constants({"bounds": bytes(bounds)})
        opened.load("tripod_xdp", {})
        for frame in (UDP4, UDP6, FROM_BLOCKED, BROKEN, TINY_FIRST):
            assert lab.run_program(opened.program("tripod_xdp"), frame) == XDP_PASS


TAGGED = f.ethernet(f.IPV4, f.ipv4(V4), (f.VLAN,))
PING = f.ethernet(f.IPV4, f.ipv4(V4, b"\x08" + b"\0" * 7, f.ICMP))
PING6 = f.ethernet(f.IPV6, f.ipv6(V6, b"\x80" + b"\0" * 7, f.ICMPV6))
FIRST4 = f.ethernet(f.IPV4, f.ipv4(V4, f.UDP_HEADER, fragment=0x2000))
LATER6 = f.ethernet(f.IPV6, f.ipv6(V6, f.fragment(f.UDP, 100) + b"\0" * 8, f.FRAGMENT))
PORT_OF_UDP = {"protocol": "udp", "destination_port": 4001}


@pytest.mark.parametrize(
    ("fields", "matched", "others"),
    [
        ({"source": "192.0.2.0/24"}, [UDP4, TCP4], [FROM_BLOCKED, UDP6]),
        ({"source": "2001:db8:1::/64"}, [UDP6], [UDP4, f.ethernet(f.IPV6, f.ipv6("2001:db8:1:1::1"))]),
        ({"source": "2001:db8:1::1"}, [UDP6], [f.ethernet(f.IPV6, f.ipv6("2001:db8:1::2"))]),
        ({"destination": "198.51.100.1"}, [UDP4, LATER4], [UDP6]),
        ({"destination": "2001:db8::1"}, [UDP6, LATER6], [UDP4]),
        ({"protocol": "tcp"}, [TCP4], [UDP4, PING, LATER4]),
        ({"source_port": "3999-4000"}, [UDP4, UDP6, TCP4], [PING, LATER4]),
        ({"destination_port": [1, 4001]}, [UDP4, UDP6, TCP4, FIRST4], [PING6, LATER6]),
        ({"destination_port": 4000}, [], [UDP4, UDP6, TCP4]),
        ({"tcp_flags": {"set": ["syn"], "clear": ["ack"]}}, [TCP4], [UDP4, f.ethernet(
            f.IPV4, f.ipv4(V4, f.TCP_HEADER[:13] + b"\x12" + f.TCP_HEADER[14:], f.TCP))]),
        ({"protocol": "icmp", "icmp_type": 8}, [PING], [PING6, UDP4]),
        ({"protocol": "icmpv6", "icmp_type": 128}, [PING6], [PING, UDP6]),
        ({"vlan": 7}, [TAGGED, f.ethernet(f.IPV6, f.ipv6(V6), (f.QINQ, f.VLAN, f.VLAN))], [UDP4]),
        ({"vlan": "none"}, [UDP4, UDP6], [TAGGED]),
        ({"fragment": "first"}, [FIRST4], [UDP4, LATER4, LATER6]),
        ({"fragment": "later"}, [LATER4, LATER6], [UDP4, FIRST4]),
        ({"length": "62-70"}, [UDP6], [UDP4, f.ethernet(f.IPV6, f.ipv6(V6) + b"\0" * 9)]),
        ({**PORT_OF_UDP, "later_fragments": "match"}, [UDP4, LATER4, LATER6], [TCP4, PING]),
    ],
)  # fmt: skip
def test_a_rule_matches_by_each_field(content, fields, matched, others):
    with under(content, rule(**fields)) as (loaded, _compiled):
        assert [said(loaded.run(frame)) for frame in matched] == [("drop", "rule_drop")] * len(matched)
        assert [said(loaded.run(frame)) for frame in others] == [("pass", "no_rule")] * len(others)


@pytest.mark.parametrize(
    ("policy", "frames", "would", "part"),
    [
        ({"lists": [{**DROPS, "mode": "observe"}]}, [FROM_BLOCKED], "list_drop", "list:blocked"),
        (rule(protocol="udp", mode="observe"), [UDP4], "rule_drop", "rule:r"),
        ({"limits": [{**ONCE, "every_packet": True, "mode": "observe"}]}, [UDP4] * 2, "limit", "limit:once"),
        ({"lists": [{**DROPS, "mode": "observe"}], "trusted": []}, [f.ethernet(f.IPV4, f.ipv4(BLOCKED, b"\0"))],
         "list_drop", "list:blocked"),
    ],
)  # fmt: skip
def test_what_is_observed_is_counted_and_passed(content, policy, frames, would, part):
    with under(content, policy) as (loaded, compiled):
        record = [loaded.run(frame) for frame in frames][-1]
        assert (VERDICTS[record.verdict], record.slot) == ("pass", 0)
        assert (VERDICTS[record.would], REASONS[record.would_reason]) == ("drop", would)
        assert record.would_slot == compiled.slots[part]
        assert loaded.hits() == {compiled.slots[part]: (0, 0, 1, len(frames[-1]))}


def test_a_list_that_passes_skips_rules_and_limits_but_not_services(content):
    policy = {
        "lists": [{**DROPS, "action": "pass"}],
        "rules": [{"id": "all", "protocol": "udp", "destination_port": 4001, "action": "drop"}],
        "limits": [{**ONCE, "every_packet": True}],
        "services": [{"name": "s", "protocol": "udp", "port": 4001, "action": "drop"}],
    }
    with under(content, policy) as (loaded, _compiled):
        assert said(loaded.run(FROM_BLOCKED)) == ("drop", "service_drop")
        assert said(loaded.run(UDP4)) == ("drop", "rule_drop")
        assert [said(loaded.run(f.ethernet(f.IPV4, f.ipv4(BLOCKED, f.TCP_HEADER, f.TCP)))) for _time in range(3)] == [
            ("pass", "list_pass")
        ] * 3


@pytest.mark.parametrize("frame", [TINY_FIRST, TINY_FIRST6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("policy", "verdict", "reason"),
    [
        ({}, "drop", "malformed"),
        ({"trusted": [{"prefix": "192.0.2.0/24"}, {"prefix": "2001:db8:1::/48"}]}, "pass", "trusted"),
        ({"lists": [{**DROPS, "prefixes": ["192.0.2.0/24", "2001:db8:1::/48"]}]}, "drop", "list_drop"),
    ],
)
def test_a_first_fragment_that_hides_its_flags_is_dropped(content, frame, policy, verdict, reason):
    with under(content, policy) as (loaded, _compiled):
        assert said(loaded.run(frame)) == (verdict, reason)


@pytest.mark.parametrize("tags", [200, 5000], ids=["tags that are followed", "tags that no honest sender makes"])
def test_headers_that_are_out_of_reach_hide_nothing(content, tags):
    with under(content, {"lists": [DROPS]}, "tripod_xdp_frags") as (loaded, _compiled):
        [passed, dropped] = [loaded.run(f.ethernet(f.IPV4, f.ipv4(each), (f.VLAN,) * tags)) for each in (V4, BLOCKED)]
        assert said(passed) == (("pass", "no_rule") if tags == 200 else ("drop", "malformed"))
        assert said(dropped) == ("drop", "list_drop")


def test_any_number_of_extension_headers_is_followed(content):
    chain = f.extension(f.DESTINATION) * 150 + f.extension(f.UDP) + f.UDP_HEADER
    with under(content, rule(protocol="udp", destination_port=4001)) as (loaded, _compiled):
        assert said(loaded.run(f.ethernet(f.IPV6, f.ipv6(V6, chain, f.DESTINATION)))) == ("drop", "rule_drop")


def test_a_ban_holds_for_either_form_of_an_address_until_it_ends(content):
    with under(content, {"trusted": [{"prefix": "192.0.2.64/26"}]}) as (loaded, _compiled):
        loaded.ban([V4, "192.0.2.65", V6])
        mapped = f.ethernet(f.IPV6, f.ipv6(f"::ffff:{V4}"))
        assert [said(loaded.run(frame)) for frame in (UDP4, UDP6, mapped, BROKEN)] == [("drop", "ban")] * 4
        assert said(loaded.run(f.ethernet(f.IPV4, f.ipv4("192.0.2.65")))) == ("pass", "trusted")
        assert said(loaded.run(f.ethernet(f.IPV4, f.ipv4("192.0.2.2")))) == ("pass", "no_rule")
        bans = loaded.map("bans")
        key = ban_map.key(V4)
        value = bpf_map.items(bans, bpf.map_info(bans).layout)[key]
        assert bpf_map.update(bans, [(key, struct.pack("=Q", 1) + value[8:])]) == 1
        assert [said(loaded.run(frame)) for frame in (UDP4, UDP6)] == [("pass", "no_rule"), ("drop", "ban")]


@pytest.mark.parametrize(
    ("slot", "verdict_of_theirs", "frame", "verdict"),
    [(BEFORE, XDP_DROP, UDP4, "drop"), (AFTER, XDP_DROP, UDP4, "drop"), (AFTER, XDP_PASS, FROM_BLOCKED, "drop")],
    ids=["before", "after what ours passes", "not after what ours drops"],
)
def test_programs_of_others_come_before_and_after(content, slot, verdict_of_theirs, frame, verdict):
    compiled = compile_policy(parse({"lists": [DROPS]}), hz=250, seed=bytes(16))
    with ExitStack() as stack:
        ours = stack.enter_context(BpfObject(content, "tripod_xdp.bpf.o"))
        entry = stack.enter_context(BpfObject(content, "tripod_xdp.bpf.o"))
        theirs = stack.enter_context(BpfObject(made_object(verdict_of_theirs, "theirs"), "theirs"))
        packed = bytearray(ours.constants()["bounds"].size)
        for name, place in ours.fields("bounds").items():
            packed[place.offset : place.offset + place.size] = compiled.bounds[name].to_bytes(place.size, "little")
        template = stack.enter_context(map_in_map.made("policy", compiled.bounds["size"], compiled.data))
        ours.set_constants({"bounds": bytes(packed), "extended": b"\1"})
        ours.set_template("policy", template)
        ours.load("tripod_xdp", {})
        map_in_map.exchange(ours.map("policy"), template)
        entry.set_template("policy", template)
        entry.load("tripod_entry", {"extensions": ours.map("extensions")})
        theirs.load("theirs", {})
        run = entry.program("tripod_entry")
        for number, program in ((OURS, ours.program("tripod_xdp")), (slot, theirs.program("theirs"))):
            key = struct.pack("=I", number)
            assert bpf_map.update(ours.map("extensions"), [(key, struct.pack("=I", program))]) == 1
        assert VERDICTS[lab.run_program(run, frame)] == verdict


# What is called, and why the path of an IPv4 packet without options, tags and fragments does not come there.
CALLS = {
    "bpf_xdp_load_bytes": "headers of any number; samples; SYN cookies",
    "step_over_tag": "more than two VLAN tags",
    "step_over_extension": "IPv6 extension headers",
    "__htab_map_lookup_elem": "bans, while there are any",
    "bpf_ktime_get_boot_ns": "an address that is banned",
    "bpf_ktime_get_ns": "samples",
    "bpf_ringbuf_reserve": "samples",
    "bpf_ringbuf_submit": "samples",
    "xsk_map_redirect": "services that redirect",
    "answer_v4": "SYN cookies",
    "answer_v6": "SYN cookies",
    "bpf_xdp_skc_lookup_tcp": "SYN cookies",
    "bpf_tcp_gen_syncookie": "SYN cookies",
    "bpf_sk_release": "SYN cookies",
    "bpf_csum_diff": "SYN cookies",
    "bpf_xdp_adjust_tail": "SYN cookies",
    "bpf_xdp_store_bytes": "SYN cookies",
}


@pytest.mark.skipif(
    tuple(map(int, Path("/proc/sys/kernel/osrelease").read_text().split(".")[:2])) < (6, 10),
    reason="kernels before 6.10 call a function for each lookup in a per-CPU array",
)
def test_the_path_of_an_ipv4_packet_calls_nothing(content):
    compiled = compile_policy(parse({"lists": [DROPS]}), hz=250, seed=bytes(16))
    with Loaded(content, compiled, tracing=False) as loaded:
        number = bpf.program_info(loaded.program).id
        command = ["bpftool", "prog", "dump", "xlated", "id", str(number)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    called = {
        re.sub(r"^(pc[+-]\d+#)?(bpf_prog_[0-9a-f]+_)?|#\d+$", "", name) for name in re.findall(r"call (\S+)", text)
    }
    assert called == set(CALLS)
