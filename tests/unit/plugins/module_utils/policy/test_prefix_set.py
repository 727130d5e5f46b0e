"""Very many prefixes at once are the same as one after the other."""

from __future__ import annotations

import re
from random import Random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix_set import (
    PrefixSet,
    gather,
    parse_prefixes,
)

WORDS = [
    "10.0.0.0/8",
    "192.0.2.1",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "2001:DB8::1",
    "::ffff:192.0.2.1",
    "fe80::/10",
]


@pytest.mark.parametrize("words", [WORDS, WORDS[:3], WORDS[3:], WORDS + WORDS, [*WORDS, "10.0.0.0/08"], []])
def test_words_become_what_each_of_them_is(words):
    parsed = parse_prefixes(words)
    assert not parsed.faults
    assert parsed.prefixes == gather(map(parse_prefix, words))
    assert sorted(map(str, parsed.prefixes)) == sorted({str(parse_prefix(word)) for word in words})


@pytest.mark.parametrize(
    "wrong",
    ["10.0.0.1/8", "10.0.0.0/33", "2001:db8::1/64", "::/129", "10.0.0/8", "10.0.0.0/8/8", "x", "/", "10.0.0.0/-1", "é"],
)
def test_a_wrong_word_is_told_with_its_place_and_hides_no_other(wrong):
    parsed = parse_prefixes([*WORDS, wrong, "172.16.0.0/12"])
    [(place, fault)] = parsed.faults
    assert place == len(WORDS)
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        parse_prefix(wrong)
    assert parsed.prefixes == gather(map(parse_prefix, [*WORDS, "172.16.0.0/12"]))


def test_slashes_that_are_one_too_many_here_and_one_too_few_there_are_seen():
    assert [place for place, _fault in parse_prefixes(["10.0.0.0", "8/11.0.0.0/8"]).faults] == [1]


def test_sets_are_joined_and_parted():
    every = parse_prefixes(WORDS).prefixes
    some, others = parse_prefixes(WORDS[::2]).prefixes, parse_prefixes(WORDS[1::2]).prefixes
    assert some.union(others) == others.union(some) == every
    assert every.without(some) == others
    assert every.union(PrefixSet()) is every
    assert len(every) == len(WORDS)


def test_a_digest_is_of_the_prefixes_and_not_of_their_order():
    words = WORDS[:]
    Random(1).shuffle(words)
    digest = parse_prefixes(WORDS).prefixes.sha256()
    assert parse_prefixes(words).prefixes.sha256() == digest
    assert parse_prefixes(words[1:]).prefixes.sha256() != digest
    # Of both versions: neither looks like the other.
    assert parse_prefixes(["0.0.0.0/0"]).prefixes.sha256() != parse_prefixes(["::/0"]).prefixes.sha256()
