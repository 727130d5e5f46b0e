"""The filters that keep Jinja short."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.filter.firewall_networks import firewall_networks
from ansible_collections.tripod.baremetal.plugins.filter.image_builds import image_builds
from ansible_collections.tripod.baremetal.plugins.filter.network_aliases import network_aliases
from ansible_collections.tripod.baremetal.plugins.filter.network_gateway import network_gateway
from ansible_collections.tripod.baremetal.plugins.filter.network_subnet import network_subnet
from ansible_collections.tripod.baremetal.plugins.filter.secret_copies import secret_copies


def test_gateway_of_the_named_network():
    results = [
        {"network": {"Name": "db", "IPAM": {"Config": []}}},
        {"network": {"Name": "app", "IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Gateway": "172.18.0.1/16"}]}}},
    ]
    assert network_gateway(results, "app") == "172.18.0.1"
    assert network_gateway(results, "db") == ""


def test_gateway_is_empty_where_nothing_was_made():
    assert network_gateway([{"skipped": True}, {}], "app") == ""


def test_subnet_of_the_named_network():
    both = [{"Subnet": "fd00::/64"}, {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
    results = [{"network": {"Name": "app", "IPAM": {"Config": both}}}]
    assert network_subnet(results, "app") == "172.18.0.0/16"
    assert network_subnet([*results, {"skipped": True}], "db") == ""


def test_networks_with_an_alias():
    assert network_aliases(["a", "b"], "api") == [{"name": "a", "aliases": ["api"]}, {"name": "b", "aliases": ["api"]}]


def test_one_copy_for_each_reader():
    assert secret_copies([{"service": "api", "uid": "561"}], "/etc/x", "key") == [
        {"path": "/etc/x/secrets/api/key", "owner": 561, "group": 561}
    ]


def test_builds_come_in_the_order_they_need_each_other():
    base = {"name": "app/base:1", "image_id": "sha256:1"}
    builds = image_builds(["webui"], "app", "/files", "/cache", "/ca.pem", base)
    assert [build["name"] for build in builds] == ["app/build-base", "app/webui", "app/xdp-object"]
    assert all(build["inputs"] == ["sha256:1"] and build["args"] == {"BASE": "app/base:1"} for build in builds)
    assert builds[1]["args_from"] == {"BUILD_BASE": "app/build-base"}
    assert [build.get("target") for build in builds] == [None, "runtime", None]
    assert builds[2]["export_to"] == "/cache/tripod_xdp-{tag}.bpf.o"


def test_each_image_is_built_for_its_user():
    base = {"name": "app/base:1", "image_id": "sha256:1"}
    builds = image_builds(
        ["webui", "other"], "app", "/files", "/cache", "/ca.pem", base, {"webui": 563, "postgres": 564}
    )
    arguments = {build["name"]: build["args"].get("SERVICE_UID") for build in builds}
    assert arguments == {"app/build-base": None, "app/webui": "563", "app/other": None, "app/xdp-object": None}


def test_networks_as_the_packet_filter_is_to_know_them():
    rpc = {
        "Name": "rpc",
        "Id": "0123456789abcdef",
        "Internal": True,
        "Options": {"com.docker.network.bridge.name": "rpc0"},
        "IPAM": {"Config": [{"Subnet": "172.20.0.0/16", "Gateway": "172.20.0.1"}, {"Subnet": "fd00::/64"}]},
    }
    old = {"Name": "old", "Id": "0123456789abcdef", "Options": {}, "IPAM": {"Config": [{"Subnet": "172.21.0.0/16"}]}}
    assert firewall_networks([rpc, old], {"rpc": ["50051"], "db": [1]}) == [
        {
            "name": "rpc",
            "bridge": "rpc0",
            "subnets": ["172.20.0.0/16", "fd00::/64"],
            "published": False,
            "host_ports": [{"address": "172.20.0.1", "port": 50051}],
        },
        {"name": "old", "bridge": "br-0123456789ab", "subnets": ["172.21.0.0/16"], "published": True, "host_ports": []},
    ]
