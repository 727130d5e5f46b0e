"""Tables of addresses: trees of every depth, deep tables, pages, and seams between blocks."""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.model import Policy, PolicyList
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix_set import parse_prefixes

from .header import CONSTANTS as C
from .plain import text
from .reading import Reading


def read(*lists):
    """Return a policy of lists, each of prefixes as text."""
    prefixes = [parse_prefixes(list(one)).prefixes for one in lists]
    policy = Policy(lists=tuple(PolicyList(f"l{number}", prefixes=one) for number, one in enumerate(prefixes)))
    compiled = compile_policy(policy, hz=250, seed=b"")
    return Reading(compiled.data, compiled.bounds)


def numbers(reading, *addresses):
    return [reading.source(address).list for address in addresses]


@pytest.mark.parametrize(
    ("prefixes", "inside", "outside"),
    [
        (["0.0.0.0/0"], ["0.0.0.0", "10.0.0.1", "255.255.255.255"], ["::", "ffff::"]),
        (["::/0"], ["::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], ["0.0.0.0"]),
        (["10.0.0.0/16"], ["10.0.0.0", "10.0.255.255"], ["9.255.255.255", "10.1.0.0"]),
        (["10.0.0.0/15"], ["10.0.0.0", "10.1.255.255"], ["9.255.255.255", "10.2.0.0"]),
        (["255.255.255.255"], ["255.255.255.255"], ["255.255.255.254", "0.0.0.0"]),
        (["0.0.0.0"], ["0.0.0.0"], ["0.0.0.1"]),
        (["10.0.0.0/25", "10.0.0.128/25"], ["10.0.0.0", "10.0.0.127", "10.0.0.128"], ["10.0.1.0", "9.255.255.255"]),
        (["2001:c00::/22"], ["2001:c00::", "2001:fff:ffff::"], ["2001:bff:ffff::", "2001:1000::"]),
        (["2000::/6"], ["2000::", "23ff::1"], ["1fff::", "2400::"]),
        (["fc00::/7"], ["fc00::", "fdff:ffff::"], ["fbff::", "fe00::"]),
        (["2001:db8::/64"], ["2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"], ["2001:db7:ffff::", "2001:db8:0:1::"]),
        (
            ["2001:db8::/65"],
            ["2001:db8::", "2001:db8::7fff:ffff:ffff:ffff"],
            ["2001:db8::8000:0:0:0", "2001:db8:1::"],
        ),
        (["2001:db8::1"], ["2001:db8::1"], ["2001:db8::", "2001:db8::2", "2001:db8:0:1::1"]),
        (["ffff:ffff:ffff:ffff::/128"], ["ffff:ffff:ffff:ffff::"], ["ffff:ffff:ffff:ffff::1", "ffff:ffff:ffff:fffe::"]),
        (
            ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
            ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
            ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:fffe:ffff:ffff:ffff:ffff"],
        ),
        (["::1", "::3:0:0:0:1"], ["::1", "::3:0:0:0:1"], ["::", "::2", "::3:0:0:0:0", "0:0:0:1::", "0:0:0:4::1"]),
        (["::1", "0:0:0:1::1"], ["::1", "0:0:0:1::1"], ["::", "0:0:0:1::", "0:0:0:1::2", "0:0:0:2::1"]),
    ],
)
def test_a_prefix_ends_where_it_ends(prefixes, inside, outside):
    reading = read(prefixes)
    assert numbers(reading, *inside) == [1] * len(inside)
    assert numbers(reading, *outside) == [0] * len(outside)


def test_a_longer_prefix_decides_whatever_the_order_of_lists():
    reading = read(["10.0.0.0/8", "2001:db8::/32"], ["10.1.0.0/16", "2001:db8::1"], ["10.0.0.0/8", "10.1.1.0/24"])
    found = numbers(reading, "10.0.0.1", "10.1.0.1", "10.1.1.1", "10.1.2.1", "10.2.0.1", "2001:db8::", "2001:db8::1")
    assert found == [1, 2, 3, 2, 1, 1, 2]


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (3, 1), (4, 2), (31, 2), (32, 3), (255, 3), (256, 4), (2100, 5)])
def test_a_tree_has_as_many_levels_as_its_ranges_need(count, depth):
    # Each prefix begins a range and what is behind it another; the first range is of what is before them.
    random = Random(count)
    places = sorted(random.sample(range(1, 1 << 26, 2), count))
    reading = read([f"2001:{0xC00 + (place >> 16):x}:{place & 0xFFFF:x}::/48" for place in places])
    assert reading.index6_of("2001:c00::") >> C["NODE_SHIFT"] == depth
    held = set(places)
    for place in [*places, *(place + 1 for place in places), *random.sample(range(1 << 26), 500)]:
        address = f"2001:{0xC00 + (place >> 16):x}:{place & 0xFFFF:x}:8000::1"
        assert numbers(reading, address) == [int(place in held)]


@pytest.mark.parametrize("seed", range(6))
def test_many_prefixes_close_to_each_other(seed):
    random = Random(seed)
    kinds = {
        4: (random.choice((0, 10 << 24, 255 << 24)), 32, (8, 32), random.choice((8, 16, 24))),
        6: (random.choice((0, 0x20010DB8 << 96, 0xFF << 120)), 128, (8, 128), random.choice((20, 60, 90, 120))),
    }
    lists: list[list[str]] = [[], [], []]
    changes: dict[int, set[int]] = {4: {0}, 6: {0}}
    for family, (base, width, (shortest, longest), spread) in kinds.items():
        for _prefix in range(400):
            length = random.randint(shortest, longest)
            address = (base | random.getrandbits(spread) << random.choice((0, max(0, width - spread - 8)))) % (
                1 << width
            )
            first = address >> width - length << width - length
            random.choice(lists).append(f"{text(family, first)}/{length}")
            changes[family] |= {first, (first + (1 << width - length)) % (1 << width)}
    # Longest prefix by trying all lengths, ties to the list that comes first.
    best: dict[tuple[int, int, int], int] = {}
    for number, one in enumerate(lists, 1):
        for word in one:
            best.setdefault(leading_bits(word), number)
    reading = read(*lists)
    for family, (_base, width, _lengths, _spread) in kinds.items():
        for change in sorted(changes[family]):
            for address in (change, (change - 1) % (1 << width)):
                expected = next(
                    (
                        best[family, length, address >> width - length]
                        for length in range(width, -1, -1)
                        if (family, length, address >> width - length) in best
                    ),
                    0,
                )
                assert numbers(reading, text(family, address)) == [expected], text(family, address)


def leading_bits(word):
    """Return family, length and leading bits of a prefix."""
    network = ip_network(word)
    bits = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> bits
