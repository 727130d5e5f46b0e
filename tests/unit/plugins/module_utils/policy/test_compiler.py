"""The compiler's tables, read by the header alone and compared with what the document says."""

from __future__ import annotations

import hashlib
from itertools import islice
from random import Random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.digest import policy_digest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.support.policy_model_packet import Packet
from tests.support.policy_model_parts import Part
from tests.support.policy_model_prefixes import Prefixes
from tests.support.policy_model_random import Policies

from . import plain
from .header import CONSTANTS as C
from .reading import Reading

SEED = b"s" * 32


def compiled(document, **options):
    return compile_policy(parse(document), **{"hz": 250, "seed": SEED, **options})


def reading(document, **options):
    result = compiled(document, **options)
    return Reading(result.data, result.bounds)


@pytest.mark.parametrize("seed", range(40))
def test_every_address_is_said_of_what_the_document_says(seed):
    document = Policies(Random(seed)).draw()
    read = reading(document)
    for address in plain.edges(document):
        found = read.source(address)
        assert (found.list, found.observed, bool(found.trusted)) == plain.source(document, address), address


@pytest.mark.parametrize("seed", range(40))
def test_the_parts_that_match_are_those_of_the_reference_model(seed):
    random = Random(seed)
    document = Policies(random).draw()
    read = reading(document)
    members = {}
    for one in document.get("lists", ()):
        members[one["name"]] = Prefixes()
        for network in plain.networks(one):
            members[one["name"]].add(str(network), 0)
    kinds = {
        "rules": document.get("rules", []),
        "services": document.get("services", []),
        "trusted": [one for one in document.get("trusted", []) if "prefix" not in one],
    }
    parts = {kind: [Part(one, members) for one in given] for kind, given in kinds.items()}
    for packet in plain.packets(document, random, 200):
        if plain.source(document, plain.text(packet.family, packet.source))[2]:
            continue  # Nothing else is asked of what is trusted.
        matching = {kind: [at for at, one in enumerate(given) if one.matches(packet)] for kind, given in parts.items()}
        assert read.parts(packet) == matching


def test_a_policy_of_nothing_passes_everything():
    read = reading({})
    policy = read.policy
    assert (policy.abi, policy.features, policy.fields) == (C["POLICY_ABI"], 0, 0)
    assert policy.default_action == C["POLICY_PASS"]
    assert bytes(read.source("192.0.2.1")) == bytes(read.source("2001:db8::1")) == bytes(8)
    assert reading({"default": "drop"}).policy.default_action == C["POLICY_DROP"]


@pytest.mark.parametrize(
    ("document", "features", "fields"),
    [
        ({"lists": [{"name": "a", "prefixes": ["10.0.0.0/8"]}]}, ["SOURCES"], []),
        ({"lists": [{"name": "a"}]}, [], []),
        ({"trusted": [{"prefix": "10.0.0.0/8"}]}, ["SOURCES"], []),
        ({"trusted": [{"protocol": "gre"}]}, ["TRUSTED_FLOWS"], ["PROTOCOL", "DESTINATION_PORT"]),
        ({"rules": [{"id": "a", "action": "drop"}]}, ["RULES"], ["PROTOCOL"]),
        (
            {"rules": [{"id": "a", "action": "drop", "source": "10.0.0.0/8", "vlan": 1, "length": 60}]},
            ["RULES", "SOURCES"],
            ["PROTOCOL", "SOURCE", "VLAN", "LENGTH"],
        ),
        (
            {"services": [{"name": "a", "port": 1, "destination": "10.0.0.0/8"}]},
            ["SERVICES"],
            ["PROTOCOL", "DESTINATION_PORT", "DESTINATION"],
        ),
        (
            {"rules": [{"id": "a", "action": "drop", "tcp_flags": {"set": ["syn"]}, "source_port": 1}]},
            ["RULES"],
            ["PROTOCOL", "TCP_FLAGS", "SOURCE_PORT"],
        ),
        (
            {"rules": [{"id": "a", "action": "drop", "icmp_type": 8, "fragment": "first"}]},
            ["RULES"],
            ["PROTOCOL", "ICMP_TYPE", "FRAGMENT"],
        ),
    ],
)
def test_only_what_is_in_use_is_looked_at(document, features, fields):
    result = compiled(document)
    policy = Reading(result.data, result.bounds).policy
    assert policy.features == result.features == sum(C[f"FEATURE_{one}"] for one in features)
    assert policy.fields == sum(C[f"FIELD_{one}"] for one in fields)


def test_parts_have_their_counters_limits_and_actions():
    document = {
        "lists": [
            {"name": "none", "action": "none", "prefixes": ["10.0.0.0/8"]},
            {"name": "pass", "action": "pass", "prefixes": ["10.0.0.0/8"]},
            {"name": "limit", "action": "limit:b", "prefixes": ["11.0.0.0/8"]},
        ],
        "limits": [{"name": "a", "packets": "1/s", "bytes": "1k/s"}, {"name": "b", "packets": "1/s"}],
        "rules": [
            {"id": "drop", "action": "drop"},
            {"id": "limit", "limit": "a"},
            {"id": "pass", "action": "pass", "mode": "observe"},
        ],
        "services": [
            {"name": "cookie", "port": 1, "action": "syncookie", "limit": "b"},
            {"name": "worker", "port": 2, "action": "afxdp:w"},
            {"name": "bare", "port": 3},
        ],
    }
    result = compiled(document, slots={"rule:drop": 77, "list:gone": 5})
    policy = Reading(result.data, result.bounds).policy
    slots = result.slots
    assert slots["rule:drop"] == 77
    assert 5 not in slots.values(), "a slot that the policy before still counts in"
    assert "list:none" not in slots
    assert sorted(slots) == sorted(
        ["list:pass", "list:limit", "limit:a", "limit:b"]
        + [f"rule:{one}" for one in ("drop", "limit", "pass")]
        + [f"service:{one}" for one in ("cookie", "worker", "bare")]
    )
    assert len(set(slots.values())) == len(slots)
    assert [(one.counter, one.limit, one.action) for one in policy.lists[1:4]] == [
        (0, 0, C["POLICY_NONE"]),
        (slots["list:pass"], 0, C["POLICY_PASS"]),
        (slots["list:limit"], 3, C["POLICY_LIMIT"]),
    ]
    assert [(one.counter, one.limit, one.action) for one in policy.rules[:3]] == [
        (77, 0, C["POLICY_DROP"]),
        (slots["rule:limit"], 1, C["POLICY_NONE"]),
        (slots["rule:pass"], 0, C["POLICY_PASS"]),
    ]
    assert list(policy.observed_rules[:2]) == [4, 0]
    assert [(one.counter, one.limit, one.action) for one in policy.services[:3]] == [
        (slots["service:cookie"], 3, C["POLICY_SYNCOOKIE"]),
        (slots["service:worker"], 0, C["POLICY_AFXDP"]),
        (slots["service:bare"], 0, C["POLICY_NONE"]),
    ]


def test_all_parts_that_there_may_be_fit():
    document = {
        "lists": [{"name": f"l{n}", "action": f"limit:l{n}", "prefixes": [f"10.{n}.0.0/16"]} for n in range(255)],
        "limits": [{"name": f"l{n}", "packets": "1/s"} for n in range(255)],
        "rules": [
            {"id": f"r{n}", "source": f"l{n % 255}", "destination_port": n, "action": "drop", "mode": "observe"}
            for n in range(1024)
        ],
        "services": [{"name": f"s{n}", "protocol": "tcp", "port": n} for n in range(128)],
        "trusted": [{"protocol": "udp", "port": 60000 + n} for n in range(64)],
    }
    read = reading(document)
    assert read.source("10.254.0.1").list == 255
    packet = Packet(64, 64)
    packet.family, packet.source, packet.destination = 4, 0x0AFE0001, 0
    packet.protocol, packet.source_port, packet.destination_port, packet.tcp_flags = 6, 1, 1019, 0
    assert read.parts(packet)["rules"] == [1019]
    packet.destination_port = 127
    assert read.parts(packet)["services"] == [127]
    packet.protocol, packet.destination_port, packet.tcp_flags = 17, 60063, None
    assert read.parts(packet)["trusted"] == [63]
    assert list(read.policy.observed_rules) == [2**64 - 1] * 16


def test_more_kinds_of_sources_than_numbers_for_them_are_refused():
    # 66,000 addresses, each named by another pair of rules.
    names: dict[int, list[str]] = {bit: [] for bit in range(1024)}
    pairs = ((one, other) for one in range(1024) for other in range(one))
    for number, pair in enumerate(islice(pairs, 66_000)):
        for one in pair:
            names[one].append(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    rules = [{"id": f"r{n}", "source": given, "action": "drop"} for n, given in names.items() if given]
    with pytest.raises(Impossible) as caught:
        compiled({"rules": rules})
    assert str(caught.value) == (
        "the policy needs 66001 elements of results > the limit 65536: rules and lists part the sources into too many "
        "kinds: name lists in rules, rather than prefixes"
    )


def test_the_same_policy_has_the_same_digest_and_another_has_another():
    document = {"lists": [{"name": "a", "prefixes": ["10.0.0.0/8", "2001:db8::/32"], "comment": "x"}]}
    result = compiled(document)
    assert bytes(Reading(result.data, result.bounds).policy.digest) == result.digest
    assert policy_digest(parse(document), hz=250, seed=SEED) == result.digest
    same = {"lists": [{"prefixes": ["2001:db8::/32", "10.0.0.0/8", "10.0.0.0/8"], "name": "a", "owner": "api"}]}
    assert compiled(same).digest == result.digest
    others = [
        compiled({"lists": [{"name": "b", "prefixes": ["10.0.0.0/8", "2001:db8::/32"]}]}),
        compiled({"lists": [{"name": "a", "prefixes": ["10.0.0.0/8"]}]}),
        compiled({**document, "default": "drop"}),
        compiled(document, hz=1000),
        compiled(document, seed=b"other"),
    ]
    assert len({result.digest, *(one.digest for one in others)}) == 6
    # Which counters it has is not what it is.
    assert compiled(document, slots={"list:a": 9}).digest == result.digest


def test_a_lists_file_is_told_by_its_digest_and_not_read():
    class Unread(dict):
        def __getitem__(self, key):
            raise AssertionError("read")

    document = {"lists": [{"name": "a", "file": "f", "sha256": "0" * 64}]}
    one = policy_digest(parse(document, Unread({"0" * 64: None})), hz=250, seed=SEED)
    document["lists"][0]["sha256"] = "1" * 64
    assert policy_digest(parse(document, Unread({"1" * 64: None})), hz=250, seed=SEED) != one


def test_entries_of_a_file_and_of_the_document_are_one_list():
    text = b"10.0.0.0/8\n2001:db8::/32\n"
    digest = hashlib.sha256(text).hexdigest()
    document = {"lists": [{"name": "a", "file": "f", "sha256": digest, "prefixes": ["192.0.2.0/24", "10.0.0.0/8"]}]}
    result = compile_policy(parse(document, {digest: text}), hz=250, seed=SEED)
    read = Reading(result.data, result.bounds)
    assert [read.source(one).list for one in ("10.0.0.1", "192.0.2.1", "2001:db8::1", "11.0.0.0")] == [1, 1, 1, 0]


def test_a_policy_keeps_the_bounds_of_the_program_that_runs():
    large = compiled({"lists": [{"name": "a", "prefixes": [f"10.{n >> 8}.{n & 255}.1" for n in range(40_000)]}]})
    small = compiled({}, bounds=large.bounds)
    assert small.bounds == large.bounds
    assert small.bounds != compiled({}).bounds
