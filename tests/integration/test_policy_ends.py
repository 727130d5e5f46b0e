"""What the watch does for a policy by itself: entries end to the second, and another policy in its place is seen."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, map_in_map

from tests.integration.agent_site import NIC, PATIENCE, Site
from tests.support.machine import eventually
from tests.support.modules import run_module

ROUND = 5.0  # seconds between two rounds of the watch
LATE = 1.5  # seconds that an end may be late on a busy machine


def declare(site: Site, **policy: Any) -> None:
    options = {"name": "edge", "interfaces": [NIC], "pin_root": str(site.pins), "policy": policy}
    done = run_module("xdp_policy", options, within=site.within)
    assert done.changed, done.output


def in_force(site: Site) -> int | None:
    with bpf.pinned(f"{site.pins}/{NIC}/maps/policy") as outer:
        return map_in_map.held(outer)


def saved(site: Site) -> dict[str, Any]:
    return json.loads(site.run("cat", f"/etc/tripod/host.d/xdp_policy-{NIC}.json"))


def test_entries_end_to_the_second(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    ending = {"prefix": "203.0.113.0/24", "expires": "6s"}
    declare(site, lists=[{"name": "bogons", "prefixes": [ending, "198.51.100.0/24"]}])
    until, before = saved(site)["until"], in_force(site)
    while in_force(site) == before:
        assert time.time() < until + PATIENCE, "the entry does not end"
        time.sleep(0.02)
    late = time.time() - until
    print(f"{late * 1000:.0f} ms late")
    assert 0 <= late < LATE
    eventually(lambda: saved(site)["until"] is None, PATIENCE)
    eventually(lambda: "has a policy with entries that have ended" in site.log.read_text(), PATIENCE)
    assert site.tripod_host("status").returncode == 0


@pytest.mark.full
def test_another_policy_in_its_place_is_seen_within_a_round(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    declare(site, default="drop")
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)
    time.sleep(ROUND)  # it is patrolled by then
    with bpf.pinned(f"{site.pins}/{NIC}/maps/policy") as outer:
        with bpf.map_by_id(map_in_map.held(outer)) as held:
            size = bpf.map_info(held).layout.value_size
        # Meanwhile the watch can put nothing right, whenever its round comes.
        with map_in_map.made("other", size) as other, site.busy():
            map_in_map.exchange(outer, other)
            number = bpf.map_info(other).id
            assert site.tripod_host("status").returncode == 2
    eventually(lambda: in_force(site) != number, ROUND + PATIENCE)
    eventually(lambda: "changed without an event (the policy in force)" in site.log.read_text(), PATIENCE)
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)
