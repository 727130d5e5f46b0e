"""The filters that keep Jinja short."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tripod.baremetal.plugins.filter.firewall_networks import firewall_networks
from ansible_collections.tripod.baremetal.plugins.filter.image_builds import image_builds
from ansible_collections.tripod.baremetal.plugins.filter.network_aliases import network_aliases
from ansible_collections.tripod.baremetal.plugins.filter.network_gateway import network_gateway
from ansible_collections.tripod.baremetal.plugins.filter.network_subnet import network_subnet
from ansible_collections.tripod.baremetal.plugins.filter.policy_interfaces import policy_interfaces
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


POLICIES = {
    "edge": {"lists": [{"name": "bogons", "file": "bogons.txt"}, {"name": "few", "prefixes": ["::1"]}]},
    "core": {"default": "drop"},
}


def test_interfaces_are_grouped_by_the_policy_that_they_name():
    interfaces = [{"name": "a", "policy": "core"}, {"name": "b", "policy": "edge"}, {"name": "c", "policy": "core"}]
    core, edge = policy_interfaces(interfaces, POLICIES, "/etc/tripod/lists")
    assert core == {"name": "core", "interfaces": ["a", "c"], "policy": {"default": "drop"}, "files": [], "tests": []}
    assert (edge["name"], edge["interfaces"]) == ("edge", ["b"])


def test_files_of_lists_are_named_where_they_are_on_the_host():
    interfaces = [{"name": "b", "policy": "edge"}]
    [edge] = policy_interfaces(interfaces, POLICIES, "/etc/tripod/lists")
    assert edge["files"] == [{"src": "bogons.txt", "dest": "/etc/tripod/lists/edge-bogons"}]
    assert [one.get("file") for one in edge["policy"]["lists"]] == ["/etc/tripod/lists/edge-bogons", None]
    [remote] = policy_interfaces(interfaces, POLICIES, "/etc/tripod/lists", True)
    assert (remote["files"], remote["policy"]) == ([], POLICIES["edge"])


def test_an_interface_that_names_no_policy_has_the_default_one_or_none():
    interfaces = [{"name": "a"}, {"name": "b", "policy": ""}]
    assert policy_interfaces(interfaces, POLICIES, "/lists") == []
    [default] = policy_interfaces(interfaces, {"default": {}}, "/lists")
    assert (default["name"], default["interfaces"]) == ("default", ["a", "b"])


def test_a_policy_that_there_is_not_is_named():
    with pytest.raises(AnsibleFilterError, match="interface a names policy nosuch, and there are edge, core"):
        policy_interfaces([{"name": "a", "policy": "nosuch"}], POLICIES, "/lists")


def test_each_policy_has_its_tests():
    tests = [{"policy": name, "frame": {"source": "::1"}, "expect": {"verdict": name}} for name in ("edge", "core")]
    [edge] = policy_interfaces([{"name": "b", "policy": "edge"}], POLICIES, "/lists", tests=tests)
    assert edge["tests"] == [{"frame": {"source": "::1"}, "expect": {"verdict": "edge"}}]
