"""What may be requested of the packet filter, and what would take hold of more than containers."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall.request import parse

DB = {"name": "db", "bridge": "db0", "subnets": ["172.31.1.0/24", "fd31::/64"]}
PORT = {"address": "172.31.1.1", "port": 50051}
OUTSIDE = {"published": True, "outside_ports": [{"address": "192.0.2.2", "port": 50051}]}
GO = {"name": "go", "uid": 562, "local_ports": [8080]}


def test_a_request_comes_back_from_its_state_file():
    request = parse({"networks": [{**DB, "host_ports": [PORT], **OUTSIDE}], "processes": [GO]})
    assert parse(request.to_body()) == request
    assert request.bridges == ("db0",)


def test_addresses_are_written_as_the_kernel_writes_them():
    request = parse(
        {"networks": [{**DB, "subnets": ["FD31:0::/64"], "host_ports": [{"address": "fd31:0:0::1", "port": 1}]}]}
    )
    assert request.networks[0].subnets == ("fd31::/64",)
    assert request.networks[0].host_ports[0].address == "fd31::1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"networks": [DB, DB]}, "network db is given 2 times"),
        ({"networks": [{**DB, "bridge": "lo"}]}, "'lo' is no name of a bridge"),
        ({"networks": [{**DB, "bridge": "eth*"}]}, r"'eth\*' is no name of a bridge"),
        ({"networks": [{**DB, "bridge": "a-name-of-sixteen"}]}, "is no name of a bridge"),
        ({"networks": [{**DB, "subnets": []}]}, "db has no subnet"),
        ({"networks": [{**DB, "subnets": ["172.31.1.5/24"]}]}, "has host bits set"),
        ({"networks": [{**DB, "subnets": ["0.0.0.0/0"]}]}, "0.0.0.0/0 is no subnet of containers"),
        ({"networks": [{**DB, "subnets": ["127.0.0.0/8"]}]}, "127.0.0.0/8 is no subnet of containers"),
        ({"networks": [{**DB, "subnets": ["224.0.0.0/24"]}]}, "224.0.0.0/24 is no subnet of containers"),
        ({"networks": [{**DB, "host_ports": [{**PORT, "address": "10.0.0.1"}]}]}, "10.0.0.1 is not in 172.31.1.0/24"),
        ({"networks": [{**DB, "host_ports": [{**PORT, "address": "x"}]}]}, "host port address 'x'"),
        ({"networks": [{**DB, "host_ports": [{**PORT, "port": 0}]}]}, "port 0 is outside 1 to 65535"),
        ({"networks": [{**DB, "host_ports": [{**PORT, "protocol": "sctp"}]}]}, "give one of tcp, udp"),
        ({"networks": [{**DB, **OUTSIDE, "published": False}]}, "no way leads outside from an internal network"),
        ({"networks": [{**DB, **OUTSIDE, "outside_ports": [PORT]}]}, "outside port address 172.31.1.1 is in 172.31"),
        ({"networks": [{**DB, "name": 'a"b'}]}, "is no name"),
        ({"processes": [{**GO, "uid": 0}]}, "root's own connections cannot be held"),
        ({"processes": [GO, {**GO, "name": "other"}]}, "uid 562 is given 2 times"),
        ({"processes": [{**GO, "local_ports": [70000]}]}, "port 70000 is outside 1 to 65535"),
        (
            {"processes": [{**GO, "outside_ports": [{"address": "api", "port": 50052}]}]},
            "go: outside port address 'api': ",
        ),
        (
            {"processes": [{**GO, "outside_ports": [{"address": "127.0.0.1", "port": 50052}]}]},
            "go: outside port address 127.0.0.1 is no other machine's",
        ),
        (
            {"processes": [{**GO, "outside_ports": [{"address": "192.0.2.1", "port": 0}]}]},
            "go: port 0 is outside 1 to 65535",
        ),
    ],
)
def test_what_is_malformed_is_named(options, words):
    with pytest.raises(Invalid, match=words):
        parse(options)


def test_all_of_it_is_named_at_once():
    with pytest.raises(Invalid) as caught:
        parse({"networks": [{**DB, "bridge": "lo", "subnets": []}], "processes": [{**GO, "uid": 0}]})
    assert len(caught.value.facts["reasons"]) == 3
