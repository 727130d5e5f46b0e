"""Where the API asks the data planes of other hosts, and by which name it knows each."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.data_planes import (
    certificate_name,
    data_planes,
    of_socket,
)


def test_the_inventory_says_where_each_is_asked():
    hosts = {
        "edge2": {"ansible_host": "192.0.2.2", "tripod_go_grpc_port": 50061, "tripod_config_dir": "/srv/tripod"},
        "2001:db8::3": {},
    }
    second, third = data_planes([{"name": "edge2", "address": ""}, {"name": "2001:db8::3"}], hosts)
    assert second == {
        "name": "edge2",
        "address": "192.0.2.2",
        "port": 50061,
        "secret": "policy_secret_edge2",
        "secret_source": "/srv/tripod/secrets/go-backend/policy_secret",
        "asked": {
            "name": "edge2",
            "target": "192.0.2.2:50061",
            "tls_name": "go-backend.edge2",
            "secret_file": "/run/secrets/policy_secret_edge2",
        },
    }
    assert (third["asked"]["target"], third["secret_source"]) == (
        "[2001:db8::3]:50051",
        "/etc/tripod/secrets/go-backend/policy_secret",
    )
    [elsewhere] = data_planes([{"name": "edge2", "address": "198.51.100.2"}], hosts)
    assert (elsewhere["address"], elsewhere["asked"]["target"]) == ("198.51.100.2", "198.51.100.2:50061")


def test_a_certificate_can_have_the_name_of_any_host():
    assert certificate_name("Edge_1.Example.com") == "go-backend.edge_1.example.com"
    assert certificate_name("2001:db8::3") == "go-backend.2001-db8--3"


def test_a_socket_is_written_as_programs_take_it():
    found = [of_socket({"address": address, "port": 50052}) for address in ("192.0.2.1", "2001:db8::1")]
    assert found == ["192.0.2.1:50052", "[2001:db8::1]:50052"]
