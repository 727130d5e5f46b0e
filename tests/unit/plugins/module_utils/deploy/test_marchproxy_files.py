"""The gateway's import files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.marchproxy_files import (
    FILES,
    Gateway,
    ImportFiles,
    render,
    to_json,
)

GOLDEN = Path(__file__).with_name("golden")
SERVICES = json.loads((GOLDEN / "services.json").read_text())["services"]
MAPPINGS = json.loads((GOLDEN / "mappings.json").read_text())["mappings"]
METADATA = {"app_name": "myapp", "generated_by": "project-template", "version": "0.0.0"}
SAMPLE = Gateway(SERVICES, MAPPINGS, METADATA)
FOLDER = "/srv/config/marchproxy"


def with_service(index=0, **fields):
    services = [dict(service) for service in SERVICES]
    services[index].update(fields)
    return Gateway(services, MAPPINGS, METADATA)


def with_mapping(index=0, **fields):
    mappings = [dict(mapping) for mapping in MAPPINGS]
    mappings[index].update(fields)
    return Gateway(SERVICES, mappings, METADATA)


def reasons(gateway):
    with pytest.raises(Invalid) as caught:
        ImportFiles(FOLDER).validate(gateway, {})
    return caught.value.facts["reasons"]


@pytest.mark.parametrize("name", ["services.json", "mappings.json"])
def test_the_specifications_samples_come_out_to_the_byte(name):
    assert render(SAMPLE)[name].encode() == (GOLDEN / name).read_bytes()


def test_the_import_file_holds_all_three_parts():
    state_file = json.loads(render(SAMPLE)["import-config.json"])
    assert state_file == {"services": SERVICES, "mappings": MAPPINGS, "metadata": METADATA}
    assert list(state_file) == ["services", "mappings", "metadata"]


def test_the_order_of_keys_is_the_specifications_whatever_came_in():
    turned = Gateway([dict(reversed(one.items())) for one in SERVICES], MAPPINGS, METADATA)
    assert render(turned) == render(SAMPLE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        ({"a": []}, '{\n  "a": []\n}'),
        ({"a": ["x", 1]}, '{\n  "a": ["x", 1]\n}'),
        ([{"a": None}], '[\n  {\n    "a": null\n  }\n]'),
        ("größer", '"größer"'),
    ],
)
def test_json_is_printed_as_in_the_specification(value, text):
    assert to_json(value) == text


def test_the_sample_is_within_all_limits():
    ImportFiles(FOLDER).validate(SAMPLE, {})


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        (with_service(name=""), "services[0] (): name has 0 characters, 1 to 100 are accepted"),
        (with_service(name="x" * 101), "name has 101 characters"),
        (with_service(name="a\0b"), "name holds a control character"),
        (with_service(1, name="myapp-webui"), "services[2] (myapp-webui): name is already that of services[1]"),
        (with_service(ip_fqdn="x" * 256), "ip_fqdn has 256 characters, 1 to 255"),
        (with_service(port=0), "services[0] (myapp-flask-api): port 0 is outside 1 to 65535"),
        (with_service(port=65536), "port 65536"),
        (with_service(protocol="HTTP"), "protocol 'HTTP' is none of http, https, grpc, tcp, udp"),
        (with_service(auth_type="api_key"), "auth_type 'api_key' is none of none, jwt, base64"),
        (with_service(collection="x" * 101), "collection has 101 characters"),
        (with_service(health_check_interval=4), "health_check_interval 4 is outside 5 to 2147483647"),
        (with_service(health_check_interval=2**31), "health_check_interval 2147483648"),
        (with_service(health_check_path="healthz"), "health_check_path 'healthz' does not start with '/'"),
        (with_service(health_check_path="/" + "x" * 255), "health_check_path has 256 characters"),
        (with_service(health_check_path=None), "health_check_enabled is true without a health_check_path"),
        (with_mapping(name="y" * 101), "mappings[0]"),
        (with_mapping(1, name="myapp-external-api"), "mappings[1] (myapp-external-api): name is already that"),
        (with_mapping(listen_port=70000), "listen_port 70000"),
        (with_mapping(protocol="quic"), "protocol 'quic'"),
        (with_mapping(source_services=[]), "source_services is empty"),
        (with_mapping(dest_services=["nobody"]), "dest_services names 'nobody', which is neither external nor one of"),
        (with_mapping(path_prefix="api"), "path_prefix 'api' does not start with '/'"),
        (with_mapping(path_prefix="/"), "path_prefix are those of mappings[0]"),
        (Gateway(SERVICES, MAPPINGS, {**METADATA, "version": ""}), "metadata: version has 0 characters"),
    ],
)
def test_a_field_out_of_its_limits_is_named(gateway, reason):
    assert any(reason in found for found in reasons(gateway))


def test_every_field_is_reported_at_once():
    services = [{**SERVICES[0], "port": 0, "protocol": "x", "ip_fqdn": ""}, *SERVICES[1:]]
    assert len(reasons(Gateway(services, [{**MAPPINGS[0], "listen_port": 0}], METADATA))) == 4


def test_values_at_the_limits_pass():
    ImportFiles(FOLDER).validate(with_service(port=65535, health_check_interval=5, collection=None), {})
    ImportFiles(FOLDER).validate(with_service(health_check_enabled=False, health_check_path=None), {})
    ImportFiles(FOLDER).validate(with_mapping(source_services=["myapp-webui", "external"]), {})


def test_files_come_and_go_and_others_stay(tmp_path):
    host = Host(tmp_path)
    host.write_atomically(f"{FOLDER}/README", "not ours")
    resource = ImportFiles(FOLDER)
    assert converge(resource, SAMPLE, host, check=True).changed
    assert host.list(FOLDER) == ["README"]
    assert len(converge(resource, SAMPLE, host).changes) == 3
    assert host.path(f"{FOLDER}/services.json").read_bytes() == (GOLDEN / "services.json").read_bytes()
    assert not converge(resource, SAMPLE, host).changed
    changes = converge(resource, with_mapping(listen_port=8443), host).changes
    assert [change.path for change in changes] == [(f"{FOLDER}/mappings.json",), (f"{FOLDER}/import-config.json",)]
    assert converge(resource, None, host).changed
    assert host.list(FOLDER) == ["README"]
    assert not converge(resource, None, host).changed


def test_a_file_that_lacks_its_last_newline_is_another_file(tmp_path):
    host = Host(tmp_path)
    converge(ImportFiles(FOLDER), SAMPLE, host)
    path = host.path(f"{FOLDER}/{FILES[0]}")
    path.write_text(path.read_text().rstrip("\n"))
    assert converge(ImportFiles(FOLDER), SAMPLE, host).changed


def test_what_cannot_be_read_is_refused(tmp_path):
    host = Host(tmp_path)
    host.path(f"{FOLDER}/services.json").mkdir(parents=True)
    with pytest.raises(Refused, match=r"services.json cannot be read: Is a directory"):
        converge(ImportFiles(FOLDER), SAMPLE, host)


def test_a_relative_directory_is_refused():
    with pytest.raises(Invalid, match="directory config is not absolute"):
        ImportFiles("config").validate(None, {})
