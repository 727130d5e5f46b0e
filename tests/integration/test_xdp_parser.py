"""What the XDP program makes of whole, odd and broken packets (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.integration import frames as f
from tests.support.policy_run import REASONS, VERDICTS, Loaded

V4, V6 = "192.0.2.1", "2001:db8:1::1"
# Each in a list of its own, which is named after the prefix's length.
PREFIXES = {
    "203.0.113.0/24": "drop",
    "203.0.113.8/29": "pass",
    "203.0.113.9/32": "drop",
    "2001:db8:bad::/48": "drop",
    "2001:db8:bad:1::/64": "pass",
}
NEVER_ENDING = b"".join(f.extension(f.DESTINATION) for _header in range(12))


Run = Callable[[bytes], dict[str, Any]]


@pytest.fixture(scope="module")
def run(xdp_object) -> Iterator[Run]:
    """Says what becomes of a frame; ``prefix_length`` is that of the one that decided, 0 where none did."""
    lists = [
        {"name": f"l{prefix.rpartition('/')[2]}", "action": action, "prefixes": [prefix]}
        for prefix, action in PREFIXES.items()
    ]
    compiled = compile_policy(parse({"lists": lists}), hz=250, seed=b"")
    lengths = {slot: int(part.partition(":l")[2]) for part, slot in compiled.slots.items()}
    with Loaded(xdp_object.read_bytes(), compiled) as loaded:

        def said(frame: bytes) -> dict[str, Any]:
            record = loaded.run(frame)
            family, size = (socket.AF_INET, 4) if record.family == 4 else (socket.AF_INET6, 16)
            return {
                **record._asdict(),
                "verdict": VERDICTS[record.verdict],
                "reason": REASONS[record.reason],
                "source": socket.inet_ntop(family, record.source[:size]) if record.family else None,
                "prefix_length": lengths.get(record.list, 0),
            }

        yield said


@pytest.mark.parametrize(
    ("frame", "reason", "expected"),
    [
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4)), "no_rule", {"transport_offset": 34, "protocol": 17}, id="udp"),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER, f.TCP)),
            "no_rule",
            {"transport_offset": 34, "protocol": 6},
            id="tcp",
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, b"\x08" + b"\0" * 7, f.ICMP)), "no_rule", {"protocol": 1}, id="icmp"
        ),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4, b"", 132)), "no_rule", {"protocol": 132}, id="other protocol"),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, options=b"\x01" * 40)), "no_rule", {"transport_offset": 74}, id="options"
        ),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4) + b"\0" * 18), "no_rule", {}, id="padded to 60 bytes"),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, b"\0" * 4, fragment=100)),
            "no_rule",
            {"transport_offset": 0},
            id="later fragment",
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, fragment=0x2000)), "no_rule", {"transport_offset": 34}, id="1st fragment"
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4), (f.VLAN,)), "no_rule", {"vlan_tags": 1, "network_offset": 18}, id="vlan"
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6), (f.QINQ, f.VLAN)),
            "no_rule",
            {"vlan_tags": 2, "network_offset": 22},
            id="qinq",
        ),
        # The stack strips any number of priority tags, so the program steps over any number of them.
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4), (f.QINQ, f.VLAN, f.VLAN)),
            "no_rule",
            {"vlan_tags": 3, "network_offset": 26, "transport_offset": 46},
            id="3 tags",
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6), (f.VLAN, f.QINQ) * 20), "no_rule", {"network_offset": 174}, id="40 tags"
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4), (f.VLAN,) * 800), "no_rule", {"network_offset": 3214}, id="800 tags"
        ),
        pytest.param(f.ethernet(f.VLAN, b"\0\x07", (f.VLAN,) * 3), "malformed", {"family": 0}, id="half a 5th tag"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6("::ffff:192.0.2.1")), "no_rule", {"family": 6}, id="mapped source"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6("::ffff:203.0.113.10")), "no_rule", {"family": 6}, id="mapped, passed"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6("::fffe:203.0.113.9")), "no_rule", {"family": 6}, id="not mapped"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6("64:ff9b::203.0.113.9")), "no_rule", {"family": 6}, id="translated"),
        pytest.param(f.ethernet(f.ARP, b"\0" * 28, (f.VLAN,) * 5), "not_ip", {"family": 0}, id="arp behind 5 tags"),
        pytest.param(f.ethernet(f.VLAN, b"\0\x07"), "malformed", {"family": 0}, id="half a tag"),
        pytest.param(f.ethernet(f.ARP, b"\0" * 28), "not_ip", {"family": 0, "network_offset": 0}, id="arp"),
        pytest.param(f.ethernet(0x0026, b"\0" * 38), "not_ip", {"family": 0}, id="802.3 length"),
        pytest.param(f.ethernet(f.IPV4, b""), "malformed", {"family": 0}, id="no ip header"),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4)[:19]), "malformed", {"family": 0}, id="19 bytes of ip"),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4, version=6)), "malformed", {"family": 0}, id="wrong version"),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4, words=4)), "malformed", {"family": 4}, id="header of 16 bytes"),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, words=15)), "malformed", {"family": 4}, id="options beyond the length"
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, length=1500)), "malformed", {"family": 4}, id="length beyond the frame"
        ),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, length=19)), "malformed", {"family": 4}, id="length below the header"
        ),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4, f.UDP_HEADER[:7])), "malformed", {"family": 4}, id="7 bytes of udp"),
        pytest.param(
            f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER[:12] + b"\x40" + f.TCP_HEADER[13:], f.TCP)),
            "malformed",
            {"protocol": 6},
            id="tcp header of 16 bytes",
        ),
        pytest.param(f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER[:19], f.TCP)), "malformed", {}, id="19 bytes of tcp"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6(V6)), "no_rule", {"transport_offset": 54, "source": V6}, id="v6 udp"),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6, b"\x80" + b"\0" * 7, f.ICMPV6)), "no_rule", {"protocol": 58}, id="icmpv6"
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6, b"", f.NO_NEXT)), "no_rule", {"protocol": 59}, id="v6 no next header"
        ),
        pytest.param(
            f.ethernet(
                f.IPV6,
                f.ipv6(
                    V6,
                    f.extension(f.ROUTING)
                    + f.extension(f.DESTINATION, 2)
                    + f.extension(f.AUTH)
                    + f.auth(f.FRAGMENT)
                    + f.fragment(f.TCP)
                    + f.TCP_HEADER,
                    f.HOP_BY_HOP,
                ),
            ),
            "no_rule",
            {"protocol": 6, "transport_offset": 54 + 8 + 24 + 8 + 16 + 8},
            id="v6 extension headers",
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6, f.fragment(f.UDP, 100) + b"\0" * 4, f.FRAGMENT)),
            "no_rule",
            {"protocol": 17, "transport_offset": 0},
            id="v6 later fragment",
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6, NEVER_ENDING, f.DESTINATION)), "malformed", {"family": 6}, id="v6 chain"
        ),
        pytest.param(
            f.ethernet(f.IPV6, f.ipv6(V6, f.extension(f.UDP, 255)[:100], f.HOP_BY_HOP)),
            "malformed",
            {"family": 6},
            id="v6 extension beyond the end",
        ),
        pytest.param(f.ethernet(f.IPV6, f.ipv6(V6)[:39]), "malformed", {"family": 0}, id="39 bytes of v6"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6(V6, length=100)), "malformed", {"family": 6}, id="v6 length beyond"),
        pytest.param(f.ethernet(f.IPV6, f.ipv6(V6, version=4)), "malformed", {"family": 0}, id="v6 wrong version"),
    ],
)
def test_a_packet_in_no_list_passes_and_tells_why(run, frame, reason, expected):
    reported = run(frame)
    assert (reported["verdict"], reported["reason"]) == ("pass", reason)
    assert {name: reported[name] for name in expected} == expected
    assert (reported["prefix_length"], reported["slot"]) == (0, 0)


@pytest.mark.parametrize(
    ("frame", "verdict", "reason", "length"),
    [
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.1")), "drop", "list_drop", 24),
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.10")), "pass", "list_pass", 29),
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.9")), "drop", "list_drop", 32),
        (f.ethernet(f.IPV4, f.ipv4("203.0.112.255")), "pass", "no_rule", 0),
        (f.ethernet(f.IPV6, f.ipv6("2001:db8:bad:2::1")), "drop", "list_drop", 48),
        (f.ethernet(f.IPV6, f.ipv6("2001:db8:bad:1::1")), "pass", "list_pass", 64),
        (f.ethernet(f.IPV6, f.ipv6("2001:db8:bae::1")), "pass", "no_rule", 0),
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.1"), (f.QINQ, f.VLAN)), "drop", "list_drop", 24),
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.1"), (f.VLAN,) * 3), "drop", "list_drop", 24),
        (f.ethernet(f.IPV6, f.ipv6("2001:db8:bad:2::1"), (f.QINQ,) * 60), "drop", "list_drop", 48),
        # A blocked source does not get through by being odd.
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.1", b"\0")), "drop", "list_drop", 24),
        (f.ethernet(f.IPV6, f.ipv6("2001:db8:bad:2::1", NEVER_ENDING, f.DESTINATION)), "drop", "list_drop", 48),
        # Nor does a list that passes turn a broken packet into a whole one; it has no say in it.
        (f.ethernet(f.IPV4, f.ipv4("203.0.113.10", b"\0")), "pass", "malformed", 0),
    ],
)
def test_the_longest_prefix_decides(run, frame, verdict, reason, length):
    reported = run(frame)
    assert (reported["verdict"], reported["reason"], reported["prefix_length"]) == (verdict, reason, length)


def test_a_mapped_source_is_told_as_the_address_that_its_list_speaks_of(run):
    reported = run(f.ethernet(f.IPV6, f.ipv6("::ffff:203.0.113.9")))
    assert (reported["verdict"], reported["reason"], reported["prefix_length"]) == ("drop", "list_drop", 32)
    assert (reported["family"], reported["source"], reported["network_offset"]) == (4, "203.0.113.9", 14)


@pytest.mark.parametrize("version", [4, 6])
def test_every_truncation_of_a_packet_is_judged(run, version):
    whole = (
        f.ethernet(f.IPV4, f.ipv4(V4))
        if version == 4
        else f.ethernet(f.IPV6, f.ipv6(V6, f.extension(17) + f.UDP_HEADER, 0))
    )
    for size in range(14, len(whole)):
        reported = run(whole[:size])
        assert (reported["verdict"], reported["reason"]) == ("pass", "malformed"), size
    assert run(whole)["reason"] == "no_rule"
