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
    assert [build["name"] for build in builds] == [
        "app/runtime-base",
        "app/build-base",
        "app/webui",
        "app/xdp-object",
    ]
    assert all(build["inputs"] == ["sha256:1"] for build in builds)
    assert [build.get("args") for build in builds] == [{"BASE": "app/base:1"}, {"BASE": "app/base:1"}, {}, None]
    assert builds[2]["args_from"] == {"BASE": "app/runtime-base", "BUILD_BASE": "app/build-base"}
    # Another way to make the base gives the services other names; other certificates do not.
    assert builds[2]["inputs_from"] == ["app/runtime-base"]
    assert [build.get("target") for build in builds] == [None, None, "runtime", None]
    assert builds[3]["export_to"] == "/cache/tripod_xdp-{tag}.bpf.o"


def test_each_image_is_built_for_its_user():
    base = {"name": "app/base:1", "image_id": "sha256:1"}
    builds = image_builds(
        ["webui", "other"], "app", "/files", "/cache", "/ca.pem", base, {"webui": 563, "postgres": 564}
    )
    arguments = {
        build["name"]: build["args"].get("SERVICE_UID") for build in builds if "args_from" in build and "args" in build
    }
    assert arguments == {"app/webui": "563", "app/other": None}


def test_networks_as_the_packet_filter_is_to_know_them():
    rpc = {
        "Name": "rpc",
        "Id": "0123456789abcdef",
        "Internal": True,
        "Options": {"com.docker.network.bridge.name": "rpc0"},
        "IPAM": {"Config": [{"Subnet": "172.20.0.0/16", "Gateway": "172.20.0.1"}, {"Subnet": "fd00::/64"}]},
    }
    old = {"Name": "old", "Id": "0123456789abcdef", "Options": {}, "IPAM": {"Config": [{"Subnet": "172.21.0.0/16"}]}}
    outside = [{"address": "192.0.2.2", "port": 50051}]
    others = {"old": [{**outside[0], "name": "edge2"}]}
    assert firewall_networks([rpc, old], {"rpc": ["50051"], "db": [1]}, others) == [
        {
            "name": "rpc",
            "bridge": "rpc0",
            "subnets": ["172.20.0.0/16", "fd00::/64"],
            "published": False,
            "host_ports": [{"address": "172.20.0.1", "port": 50051}],
            "outside_ports": [],
        },
        {
            "name": "old",
            "bridge": "br-0123456789ab",
            "subnets": ["172.21.0.0/16"],
            "published": True,
            "host_ports": [],
            "outside_ports": outside,
        },
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
    assert edge["files"] == [{"src": "bogons.txt", "dest": "/etc/tripod/lists/edge.bogons"}]
    assert [one.get("file") for one in edge["policy"]["lists"]] == ["/etc/tripod/lists/edge.bogons", None]
    [remote] = policy_interfaces(interfaces, POLICIES, "/etc/tripod/lists", True)
    assert (remote["files"], remote["policy"]) == ([], POLICIES["edge"])


def test_no_two_policies_share_a_file():
    def with_list(name):
        return {"lists": [{"name": name, "file": f"{name}.txt"}]}

    policies = {"edge": with_list("dmz-bogons"), "edge-dmz": with_list("bogons"), "edge-1": with_list("pcap")}
    interfaces = [{"name": f"eth{number}", "policy": policy} for number, policy in enumerate(policies)]
    tests = [{"policy": policy, "pcap": "a.pcap", "expect": {}} for policy in policies]
    judged = policy_interfaces(interfaces, policies, "/lists", tests=tests)
    places = [file["dest"] for one in judged for file in one["files"]]
    assert len(places) == 6
    assert len(set(places)) == 6, places


def test_captures_of_tests_are_shipped_as_lists_are():
    interfaces = [{"name": "b", "policy": "edge"}]
    frame = {"policy": "edge", "frame": {"source": "192.0.2.1"}, "expect": {"verdict": "pass"}}
    captured = {"policy": "edge", "pcap": "customers.pcap", "number": 3, "expect": {"verdict": "pass"}}
    tests = [{"policy": "other", "pcap": "x"}, frame, captured]
    [edge] = policy_interfaces(interfaces, POLICIES, "/lists", tests=tests)
    assert edge["files"][-1] == {"src": "customers.pcap", "dest": "/lists/edge.1.pcap"}
    assert edge["tests"] == [
        {"frame": {"source": "192.0.2.1"}, "expect": {"verdict": "pass"}},
        {"pcap": "/lists/edge.1.pcap", "number": 3, "expect": {"verdict": "pass"}},
    ]
    [remote] = policy_interfaces(interfaces, POLICIES, "/lists", True, tests)
    assert (remote["files"], remote["tests"][1]["pcap"]) == ([], "customers.pcap")


def test_an_interface_that_names_no_policy_has_the_default_one_or_none():
    interfaces = [{"name": "a"}, {"name": "b", "policy": ""}]
    assert policy_interfaces(interfaces, POLICIES, "/lists") == []
    [default] = policy_interfaces(interfaces, {"default": {}}, "/lists")
    assert (default["name"], default["interfaces"]) == ("default", ["a", "b"])


def test_a_policy_that_there_is_not_is_named():
    with pytest.raises(AnsibleFilterError, match="interface a names policy nosuch, and there are edge, core"):
        policy_interfaces([{"name": "a", "policy": "nosuch"}], POLICIES, "/lists")


@pytest.mark.parametrize("policy", [[], [{"lists": []}], "drop", "", 5, False])
def test_a_policy_that_is_no_mapping_is_named(policy):
    with pytest.raises(AnsibleFilterError, match=r"policy edge is .*, and must be a mapping of trusted, lists"):
        policy_interfaces([{"name": "a", "policy": "edge"}], {"edge": policy}, "/lists")
    [empty] = policy_interfaces([{"name": "a", "policy": "edge"}], {"edge": None}, "/lists")
    assert empty["policy"] == {}


def test_each_policy_has_its_tests():
    tests = [{"policy": name, "frame": {"source": "::1"}, "expect": {"verdict": name}} for name in ("edge", "core")]
    [edge] = policy_interfaces([{"name": "b", "policy": "edge"}], POLICIES, "/lists", tests=tests)
    assert edge["tests"] == [{"frame": {"source": "::1"}, "expect": {"verdict": "edge"}}]
