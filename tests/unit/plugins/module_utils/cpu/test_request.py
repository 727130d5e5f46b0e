"""Requests of CPUs that are malformed, whatever the host."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.request import parse_request


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give housekeeping or housekeeping_cores, or list the isolated CPUs"),
        ({"isolated": "rest"}, "give housekeeping or housekeeping_cores, or list the isolated CPUs"),
        ({"housekeeping": "0", "housekeeping_cores": 1}, "two ways to say one thing"),
        ({"housekeeping_cores": 0}, "housekeeping_cores 0 is less than 1"),
        ({"housekeeping": "zero"}, "housekeeping: 'zero'"),
        ({"isolated": "3-1"}, "isolated: '3-1'"),
        ({"isolated": "1", "assignments": [{"name": "a"}]}, "a needs either cpus or cores"),
        ({"isolated": "1", "assignments": [{"name": "a", "cpus": "1", "cores": 1}]}, "a needs either cpus or cores"),
        ({"isolated": "1", "assignments": [{"name": "a", "cpus": "x"}]}, "assignments: a: 'x'"),
        ({"isolated": "1", "assignments": [{"name": "a", "cores": 0}]}, "a cannot have 0 cores"),
        ({"isolated": "1", "assignments": [{"name": "a", "cpus": "1", "node": 0}]}, "a may say node or nic, one of"),
        ({"isolated": "1", "assignments": [{"name": "a", "cores": 1, "node": 0, "nic": "x"}]}, "a may say node or nic"),
        ({"isolated": "1", "assignments": [{"name": "default", "cpus": "1"}]}, "'default' is for all others"),
        ({"isolated": "1", "assignments": [{"name": "a", "cpus": "1"}] * 2}, "'a' is there twice"),
    ],
)
def test_a_malformed_request_is_named(options, words):
    with pytest.raises(Invalid) as caught:
        parse_request(options)
    assert [reason for reason in caught.value.facts["reasons"] if words in reason]
