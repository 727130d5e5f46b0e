"""Original values, which stay whatever is seen later."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import state_file


@pytest.mark.parametrize(
    ("held", "seen", "expected"),
    [
        ({}, {"mtu": 1500}, {"mtu": 1500}),
        ({"mtu": 1500}, {"mtu": 9000, "up": True}, {"mtu": 1500, "up": True}),
        ({"rings": {"rx": 256}}, {"rings": {"rx": 512, "tx": 128}}, {"rings": {"rx": 256, "tx": 128}}),
        ({"rss": {"default": True}}, {"rss": {"table": [0, 0], "key": "00"}}, {"rss": {"default": True, "key": "00"}}),
        ({"rss": {"table": [0, 0]}}, {"rss": {"default": True}}, {"rss": {"table": [0, 0]}}),
    ],
)
def test_what_was_seen_first_stays(held, seen, expected):
    assert state_file._original(held, seen) == expected
