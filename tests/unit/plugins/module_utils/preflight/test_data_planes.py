"""Hosts whose data planes the API of another one is to serve, before any of them is met."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.data_planes import MOST, refusals, unreachable

OPEN = {"ansible_host": "192.0.2.2", "go_backend_grpc_address": "0.0.0.0"}
HOSTS = {"edge2": OPEN, "edge3": {**OPEN, "ansible_host": "edge3.example.com"}, "EDGE2": OPEN, "edge1": OPEN}


def test_hosts_that_can_be_reached_are_let_through():
    requested = [{"name": "edge2"}, {"name": "edge3", "address": "2001:db8::3"}]
    assert list(refusals("edge1", requested, HOSTS)) == []
    # Who serves no other may go by any name.
    assert list(refusals("2001:db8::1", [], {})) == []


@pytest.mark.parametrize(
    ("requested", "hosts", "words"),
    [
        ([{"name": "edge9"}], {"edge9": None}, "[0] (edge9): the inventory has no such host"),
        ([{"name": "edge3"}], HOSTS, "edge3.example.com is no IP address, which the packet filter of edge1 needs"),
        ([{"name": "edge2"}, {"name": "EDGE2"}], HOSTS, "[1] (EDGE2): edge2 goes by that name already"),
        ([{"name": "edge1"}], HOSTS, "[0] (edge1): edge1 goes by that name already; an API serves its own host"),
        ([{"name": "edge2"}], {"edge2": {"ansible_host": "192.0.2.2"}}, "set go_backend_grpc_address of edge2 to"),
        ([{"name": "a b", "address": "192.0.2.2"}], {"a b": OPEN}, "it cannot be named in a query"),
    ],
)
def test_each_that_could_not_be_served_is_named_with_the_way_out(requested, hosts, words):
    [reason] = refusals("edge1", requested, hosts)
    assert words in reason


def test_one_api_serves_so_many():
    requested = [{"name": f"edge{number}", "address": "192.0.2.2"} for number in range(2, MOST + 2)]
    hosts = {one["name"]: OPEN for one in requested}
    [reason] = refusals("edge1", requested, hosts)
    assert f"with edge1 itself there are {MOST + 1} hosts, and {MOST} are the limit" in reason
    assert list(refusals("edge1", requested[1:], hosts)) == []


def test_apis_of_other_hosts_that_can_be_called_are_let_through():
    assert list(unreachable([{"address": "192.0.2.1", "port": 50052}, {"address": "2001:db8::1", "port": 50052}])) == []


@pytest.mark.parametrize(
    ("apis", "words"),
    [
        ([{"address": "api.example.com", "port": 50052}], "[0]: api.example.com is no IP address"),
        ([{"address": "127.0.0.1", "port": 50052}], "[0]: 127.0.0.1 is no other host's"),
        ([{"address": "0.0.0.0", "port": 50052}], "[0]: 0.0.0.0 is no other host's"),
        ([{"address": "192.0.2.1", "port": 70000}], "[0]: port 70000 is outside 1 to 65535"),
        ([{"address": "192.0.2.1", "port": 50052}] * 2, "[1]: 192.0.2.1 port 50052 is there already"),
    ],
)
def test_each_api_that_could_not_be_called_is_named(apis, words):
    [reason] = unreachable(apis)
    assert words in reason
