"""Requests of huge pages, to a state file and back."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount

from .nodes import G, M, desired


def test_a_body_holds_a_request_whole():
    requested = desired((1, M, 64), default_size=G, mounts=(Mount("/srv", M),), transparent={"defrag": "defer"}, keep=5)
    assert Desired.from_body(requested.as_body()) == requested
