"""The process of policies killed at moments all over a change: the policy before or the new one, whole."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing

import pytest

from tests.integration.policy_site import GUEST, OTHER, PolicySite, api

MOMENTS = 10
# Of each, one address; both are dropped by the first document, none by the second, so a mix would show.
SOURCES = (GUEST, OTHER)
CLOSED, OPEN = api("192.0.2.0/24", "198.51.100.0/24"), api("10.9.0.0/16")


@pytest.fixture(scope="module")
def site(tmp_path_factory, xdp_object):
    with closing(PolicySite(tmp_path_factory.mktemp("policy"), xdp_object)) as made:
        made.attach()
        made.declare()
        made.start("policy")
        yield made


def fates(site) -> set[tuple[str, str]]:
    return {site.fate(source) for source in SOURCES}


def begin(site, document) -> None:
    """Send a change and do not wait for what becomes of it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(site.socket)
        connection.sendall(json.dumps({"op": "put", "policy": "edge", "document": document}).encode() + b"\n")


def test_killed_at_ten_moments_of_a_change(site):
    site.put(OPEN)
    begun = time.monotonic()
    site.put(CLOSED)
    whole = time.monotonic() - begun
    seen = set()
    for moment in range(MOMENTS):
        document, before = (OPEN, CLOSED) if moment % 2 == 0 else (CLOSED, OPEN)
        begin(site, document)
        time.sleep(whole * moment / MOMENTS)
        site.kill("policy")
        found = fates(site)
        assert found in ({("drop", "list_drop")}, {("pass", "no_rule")}), "half of each"
        site.start("policy")
        done = site.put(document)
        seen.add(done["changed"])
        expected = {("drop", "list_drop")} if document is CLOSED else {("pass", "no_rule")}
        assert fates(site) == expected, f"after moment {moment}, before it was {before}"
        # One that was killed before it had its place in the history is found to be the earlier one again.
        [current] = [one for one in site.call("history", policy="edge")["revisions"] if one["state"] == "current"]
        assert current["digest"] == site.call("status")["policies"][0]["digest"]
        assert current["revision"] == done["revision"]
        assert [name for name in site.files() if name.startswith(".")] == []
    assert True in seen, "no moment was before the end"
