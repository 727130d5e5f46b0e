"""The compiler's tables, read by the header alone and compared with what the document says."""

from __future__ import annotations

from random import Random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.support.policy_model_parts import Part
from tests.support.policy_model_prefixes import Prefixes
from tests.support.policy_model_random import Policies

from . import plain
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
