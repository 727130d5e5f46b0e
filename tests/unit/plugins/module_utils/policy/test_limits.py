"""Limits as token buckets: costs, bursts, masks, chains and keys."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from .header import CONSTANTS as C
from .reading import Reading

JIFFY = 1 << C["TICK_BITS"]


def compiled(*limits, hz=250, seed=b"secret", **others):
    rules = [
        {"id": f"r{number}", "limit": one["name"]} for number, one in enumerate(limits) if one.get("per") != "service"
    ]
    services = [
        {"name": f"s{number}", "limit": one["name"]} for number, one in enumerate(limits) if one.get("per") == "service"
    ]
    document = {"limits": list(limits), "rules": rules, "services": services, **others}
    return compile_policy(parse(document), hz=hz, seed=seed)


def entries(*limits, **options):
    result = compiled(*limits, **options)
    return Reading(result.data, result.bounds).policy.limits


def passed(limit, arrivals, length=64):
    """Return how many of some packets a bucket lets through, by decision 36; arrivals in jiffies."""
    cost = limit.packet_cost + length * limit.byte_cost
    arrival, count = 0, 0
    for now in (jiffy * JIFFY for jiffy in arrivals):
        after = max(arrival, now) + cost
        if after - now <= limit.span:
            arrival, count = after, count + 1
    return count


@pytest.mark.parametrize("hz", [100, 250, 300, 1000])
@pytest.mark.parametrize(("rate", "per_second"), [("50/s", 50), ("3k/s", 3000), ("90/m", 1.5), ("1M/s", 1e6)])
def test_a_rate_is_kept(hz, rate, per_second):
    limit = entries({"name": "a", "packets": rate}, hz=hz)[1]
    assert limit.packet_cost == pytest.approx(hz * JIFFY / per_second, rel=1e-6)
    seconds = 40 if per_second < 100 else 1
    if per_second < 1e5:
        ticks = [tick for tick in range(hz * seconds) for _packet in range(2 * int(per_second / hz + 1))]
        assert passed(limit, ticks) == pytest.approx(per_second * seconds + limit.span / limit.packet_cost, rel=0.05)


def test_a_burst_passes_as_many_at_once():
    assert passed(entries({"name": "a", "packets": "50/s", "burst": 100})[1], [1000] * 500) == 100
    assert passed(entries({"name": "a", "bytes": "1M/s", "burst": "100k"})[1], [1000] * 500, length=1000) == 100


@pytest.mark.parametrize(
    ("limit", "burst"),
    [
        ({"packets": "50/s"}, 50),
        ({"packets": "10/h"}, 1),
        ({"bytes": "200M/s"}, 200_000_000),
        ({"bytes": "1k/s"}, 65536),
        ({"packets": "50/s", "burst": "2k"}, 2000),
    ],
)
def test_a_burst_that_is_not_given_is_of_a_second_and_holds_a_frame(limit, burst):
    one = entries({"name": "a", **limit})[1]
    assert one.span == burst * (one.packet_cost or one.byte_cost)


def test_packets_and_bytes_are_two_buckets_of_one_counter():
    result = compiled(
        {"name": "a", "packets": "1/s"},
        {"name": "b", "packets": "50/s", "bytes": "1M/s", "burst": {"packets": 7, "bytes": "70k"}, "mode": "observe"},
        {"name": "c", "per": "global", "bytes": "1M/s"},
        {"name": "d", "per": "service", "packets": "1/s"},
    )
    policy = Reading(result.data, result.bounds).policy
    _none, a, packets, octets, c, d = policy.limits[:6]
    assert [one.next for one in (a, packets, octets, c, d)] == [0, 3, 0, 0, 0]
    assert packets.counter == octets.counter == result.slots["limit:b"]
    assert (packets.byte_cost, octets.packet_cost) == (0, 0)
    assert (packets.span, octets.span) == (7 * packets.packet_cost, 70_000 * octets.byte_cost)
    assert [one.observe for one in (a, packets, octets, c)] == [0, 1, 1, 0]
    scopes = [C["LIMIT_SOURCE"]] * 3 + [C["LIMIT_GLOBAL"], C["LIMIT_SERVICE"]]
    assert [one.scope for one in (a, packets, octets, c, d)] == scopes
    # A rule or service names the first.
    assert [rule.limit for rule in policy.rules[:3]] == [1, 2, 4]
    assert policy.services[0].limit == 5
    assert bytes(policy.limits[6]) == bytes(64)


def test_sources_share_a_bucket_by_their_prefix():
    _none, one, other = entries(
        {"name": "a", "packets": "1/s"}, {"name": "b", "packets": "1/s", "ipv4_prefix": 20, "ipv6_prefix": 128}
    )[:3]
    assert (one.v4_mask, *one.v6_mask) == (0xFFFF_FFFF, 2**64 - 1, 0)
    assert (other.v4_mask, *other.v6_mask) == (0xFFFF_F000, 2**64 - 1, 2**64 - 1)


def test_keys_are_secret_and_stay_over_a_replacement():
    limits = {"name": "a", "packets": "1/s", "bytes": "1k/s"}, {"name": "b", "packets": "1/s"}
    first = [one.seed for one in entries(*limits)[1:4]]
    assert len(set(first)) == 3
    changed = {**limits[0], "packets": "2/s"}
    assert [one.seed for one in entries(limits[1], changed)[1:4]] == [first[2], first[0], first[1]]
    assert set(first).isdisjoint(one.seed for one in entries(*limits, seed=b"other")[1:4])


def test_every_packet_takes_those_that_say_so_in_order():
    result = compiled(
        {"name": "a", "packets": "1/s", "bytes": "1k/s", "every_packet": True},
        {"name": "b", "packets": "1/s"},
        {"name": "c", "packets": "1/s", "every_packet": True},
        rules=[{"id": "r", "limit": "b"}],
    )
    policy = Reading(result.data, result.bounds).policy
    assert policy.every_packet.to_bytes(8, "little") == bytes([1, 4, *[0] * 6])


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (
            {"packets": "1M/s", "burst": 3000},
            "limits[0] (a): a burst of 3000 packets < 4000, what the rate lets through in a tick of 1/250 s: give a "
            "burst of 4000 or more",
        ),
        (
            {"packets": "1/h", "burst": 100},
            "limits[0] (a): a burst of 100 packets takes 360000 s to accrue > the limit of 268435 s: give a burst of "
            "74 or less, or a higher rate",
        ),
    ],
)
def test_what_the_hosts_clock_cannot_keep_is_refused(limit, said):
    with pytest.raises(Invalid) as caught:
        compiled({"name": "a", **limit})
    assert caught.value.facts["reasons"] == [said]
