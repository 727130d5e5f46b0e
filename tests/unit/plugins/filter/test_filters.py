"""The filters that keep Jinja short."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.filter.image_builds import image_builds
from ansible_collections.tripod.baremetal.plugins.filter.network_aliases import network_aliases
from ansible_collections.tripod.baremetal.plugins.filter.network_gateway import network_gateway
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


def test_networks_with_an_alias():
    assert network_aliases(["a", "b"], "api") == [{"name": "a", "aliases": ["api"]}, {"name": "b", "aliases": ["api"]}]


def test_one_copy_for_each_reader():
    assert secret_copies([{"service": "api", "uid": "10001"}], "/etc/x", "key") == [
        {"path": "/etc/x/secrets/api/key", "owner": 10001, "group": 10001}
    ]


def test_builds_come_in_the_order_they_need_each_other():
    base = {"name": "app/base:1", "image_id": "sha256:1"}
    builds = image_builds(["webui"], "app", "/files", "/cache", "/ca.pem", base)
    assert [build["name"] for build in builds] == ["app/build-base", "app/webui", "app/xdp-object"]
    assert all(build["inputs"] == ["sha256:1"] and build["args"] == {"BASE": "app/base:1"} for build in builds)
    assert builds[1]["args_from"] == {"BUILD_BASE": "app/build-base"}
    assert [build.get("target") for build in builds] == [None, "runtime", None]
    assert builds[2]["export_to"] == "/cache/tripod_xdp-{tag}.bpf.o"
