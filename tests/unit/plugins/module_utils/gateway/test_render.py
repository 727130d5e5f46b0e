"""From what hosts run to the files that the specification shows."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Gateway
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.render import (
    Instance,
    describe,
    render,
    to_json,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.validate import parse

from .sample import GOLDEN, MAPPINGS, METADATA, SAMPLE, SERVICES, with_service

# As a host describes what it runs: the sample without addresses.
OWN = [{key: value for key, value in service.items() if key != "ip_fqdn"} for service in SERVICES]


def rendered(document):
    return render(Gateway.of(document))


def described(*instances, services=(), mappings=MAPPINGS, **options):
    return describe(instances, services, mappings, METADATA, **options)


@pytest.mark.parametrize("name", ["services.json", "mappings.json"])
def test_the_specifications_samples_come_out_to_the_byte(name):
    assert rendered(SAMPLE)[name].encode() == (GOLDEN / name).read_bytes()


def test_the_import_file_comes_out_as_the_specifications_generator_writes_it():
    document = json.loads((GOLDEN / "import-config.json").read_text())
    assert rendered(document)["import-config.json"].encode() == (GOLDEN / "import-config.json").read_bytes()


def test_what_is_not_ascii_is_written_as_the_generator_writes_it():
    """It ends in ``json.dump(config, f, indent=2)``."""
    document = {"services": with_service(health_check_path="/größer")["services"], "metadata": METADATA}
    assert rendered(document)["import-config.json"] == json.dumps(document, indent=2)


def test_the_import_file_holds_all_three_parts():
    document = json.loads(rendered(SAMPLE)["import-config.json"])
    assert document == SAMPLE
    assert list(document) == ["services", "mappings", "metadata"]


def test_the_order_of_keys_is_the_specifications_whatever_came_in():
    turned = {**SAMPLE, "services": [dict(reversed(one.items())) for one in SERVICES]}
    assert rendered(turned) == rendered(SAMPLE)


def test_whether_certificates_are_verified_is_there_where_it_was_said():
    services = json.loads(rendered(with_service(1, tls_verify=False))["services.json"])["services"]
    assert [one.get("tls_verify") for one in services] == [None, False, None]
    assert "tls_verify" not in services[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        ({"a": []}, '{\n  "a": []\n}'),
        ({"a": ["x", 1]}, '{\n  "a": ["x", 1]\n}'),
        ([{"a": None}], '[\n  {\n    "a": null\n  }\n]'),
        ("größer", '"gr\\u00f6\\u00dfer"'),
    ],
)
def test_json_is_printed_as_in_the_specification(value, text):
    assert to_json(value) == text


def test_one_host_has_the_samples_names():
    found = described(Instance("node1", OWN, "192.0.2.11"))
    names = [one["name"] for one in SERVICES]
    assert [one["name"] for one in found.document["services"]] == names
    assert {one["ip_fqdn"] for one in found.document["services"]} == {"192.0.2.11"}
    assert found.document["mappings"] == MAPPINGS
    assert found.names == {"node1": names}
    parse(found.document)


def test_several_hosts_end_the_names_and_mappings_reach_all_of_them():
    hosts = [Instance(f"node{number}", OWN, f"192.0.2.{number}") for number in (1, 2)]
    found = described(*hosts, host_names=True)
    assert found.names["node2"] == ["myapp-flask-api-node2", "myapp-go-backend-node2", "myapp-webui-node2"]
    assert [one["ip_fqdn"] for one in found.document["services"]] == ["192.0.2.1"] * 3 + ["192.0.2.2"] * 3
    assert found.document["mappings"][0]["dest_services"] == ["myapp-flask-api-node1", "myapp-flask-api-node2"]
    assert found.document["mappings"][0]["source_services"] == ["external"]
    parse(found.document)


def test_a_host_that_comes_or_goes_changes_nothing_of_another():
    hosts = [Instance(f"node{number}", OWN, f"192.0.2.{number}") for number in range(4)]
    alone = {host.host: described(host, host_names=True).document["services"] for host in hosts}
    for some in (hosts, hosts[::-1], hosts[:1], hosts[1:3]):
        expected = [service for host in some for service in alone[host.host]]
        assert described(*some, host_names=True).document["services"] == expected


def test_several_hosts_without_their_names_are_refused():
    with pytest.raises(Invalid, match=r"node1, node2: .*: set host_names"):
        described(Instance("node1", OWN), Instance("node2", OWN))


def test_a_service_elsewhere_keeps_its_name_and_comes_once():
    elsewhere = {**SERVICES[0], "name": "myapp-cache", "ip_fqdn": "cache.example.net"}
    hosts = [Instance(name, [elsewhere, {**OWN[0]}]) for name in ("a.example.net", "b.example.net")]
    found = described(*hosts, services=[{**SERVICES[2], "ip_fqdn": "web.example.net"}], mappings=(), host_names=True)
    assert [one["name"] for one in found.document["services"]] == [
        "myapp-cache",
        "myapp-flask-api-a.example.net",
        "myapp-flask-api-b.example.net",
        "myapp-webui",
    ]
    assert "mappings" not in found.document
    assert found.names["a.example.net"] == ["myapp-flask-api-a.example.net"]


def test_a_service_elsewhere_that_hosts_describe_differently_is_there_twice_and_refused():
    hosts = [Instance(name, [{**SERVICES[0], "ip_fqdn": f"{name}.example.net"}]) for name in "ab"]
    with pytest.raises(Invalid, match=r"services\[1\] \(myapp-flask-api\): name is already that of services\[0\]"):
        parse(described(*hosts, mappings=(), host_names=True).document)


@pytest.mark.parametrize(
    ("published", "address", "fallback", "reached"),
    [
        ("127.0.0.1", "192.0.2.1", "", "127.0.0.1"),
        ("::1", "192.0.2.1", "", "::1"),
        ("198.51.100.7", "192.0.2.1", "node1.example.net", "192.0.2.1"),
        ("198.51.100.7", "", "node1.example.net", "198.51.100.7"),
        ("api.example.net", "", "node1.example.net", "api.example.net"),
        ("0.0.0.0", "", "node1.example.net", "node1.example.net"),
        ("::", "", "", "node1"),
        ("", "", "", "node1"),
        (None, "192.0.2.1", "", "192.0.2.1"),
    ],
)
def test_the_gateway_gets_the_address_that_it_reaches(published, address, fallback, reached):
    services = [{**OWN[0], "published": published, "ip_fqdn": ""}]
    (service,) = described(Instance("node1", services, address, fallback), mappings=()).document["services"]
    assert service["ip_fqdn"] == reached
    assert "published" not in service


def test_what_ansible_fills_with_nothing_is_not_described():
    service = {**SERVICES[0], "ip_fqdn": "api.example.net", "tls_verify": None, "published": None, "collection": None}
    (found,) = described(services=[service], mappings=()).document["services"]
    assert found == {**SERVICES[0], "ip_fqdn": "api.example.net", "collection": None}
