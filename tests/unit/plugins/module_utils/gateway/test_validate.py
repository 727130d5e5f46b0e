"""What a gateway could not hold or use is refused, all of it at once."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.validate import (
    address_fault,
    local_only,
    parse,
)

from .sample import MAPPINGS, METADATA, SAMPLE, SERVICES, with_mapping, with_service


def reasons(document, local_names=True):
    with pytest.raises(Invalid) as caught:
        parse(document, local_names)
    return caught.value.facts["reasons"]


def test_the_sample_is_within_all_limits():
    gateway = parse(SAMPLE, local_names=True)
    assert [service.exported() for service in gateway.services] == SERVICES
    assert [mapping.exported() for mapping in gateway.mappings] == MAPPINGS
    assert gateway.metadata == METADATA


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (with_service(name=""), "services[0].name: '' has 0 characters < the least, 1"),
        (with_service(name="x" * 101), "has 101 characters > the limit 100"),
        (with_service(name="ü" * 101), "has 101 characters > the limit 100"),
        (
            with_service(name="a\0b"),
            "name: 'a\\x00b' does not fit: name, 1 to 100 characters without control characters",
        ),
        (with_service(name="a\nb"), "without control characters"),
        (with_service(name="a\x85b"), "without control characters"),
        (with_service(name="a\ud800b"), "without control characters"),
        (with_service(name=None), "services[0].name: None is not a text"),
        (with_service(1, name="myapp-webui"), "services[2] (myapp-webui): name is already that of services[1]"),
        (with_service(ip_fqdn=""), "services[0] (myapp-flask-api).ip_fqdn: '' has 0 characters < the least, 1"),
        (with_service(ip_fqdn="x" * 256), "has 256 characters > the limit 255"),
        (with_service(ip_fqdn=None), "ip_fqdn: None is not a text: address or host name that the gateway reaches"),
        (with_service(ip_fqdn="http://x.example"), "'http://x.example' is neither an IP address nor a host name"),
        (with_service(port=0), "services[0] (myapp-flask-api).port: 0 < the least, 1"),
        (with_service(port=65536), "port: 65536 > the limit 65535"),
        (with_service(port=True), "port: True is not a whole number"),
        (with_service(port="8080"), "port: '8080' is not a whole number"),
        (with_service(port=None), "port: None is not a whole number"),
        (with_service(protocol="HTTP"), "protocol: 'HTTP' is none of http, https, grpc, tcp, udp"),
        (with_service(protocol=None), "protocol: None is not a text"),
        (with_service(auth_type="api_key"), "auth_type: 'api_key' is none of none, jwt, base64"),
        (with_service(auth_type=None), "auth_type: None is not a text"),
        (with_service(collection="x" * 101), "collection: "),
        (with_service(collection="a\tb"), "collection: "),
        (with_service(tls_enabled=None), "tls_enabled: None is not true or false"),
        (with_service(tls_enabled="yes"), "tls_enabled: 'yes' is not true or false"),
        (with_service(tls_verify=1), "tls_verify: 1 is not true or false"),
        (with_service(health_check_enabled=None), "health_check_enabled: None is not true or false"),
        (with_service(health_check_interval=4), "health_check_interval: 4 < the least, 5"),
        (with_service(health_check_interval=2**31), "health_check_interval: 2147483648 > the limit 2147483647"),
        (with_service(health_check_interval=None), "health_check_interval: None is not a whole number"),
        (with_service(health_check_path="healthz"), "'healthz' does not fit: path or gRPC method"),
        (with_service(health_check_path=""), "health_check_path: "),
        (with_service(health_check_path="/a\nb"), "health_check_path: "),
        (with_service(health_check_path="/" + "x" * 255), "has 256 characters > the limit 255"),
        (with_service(health_check_path=None), "health_check_enabled is true without a health_check_path: give one"),
        (with_service(tags=[]), "services[0] (myapp-flask-api): 'tags' is no key"),
        ({**SAMPLE, "services": [{"name": "a-b"}]}, "services[0] (a-b): port is missing"),
        ({**SAMPLE, "services": ["a-b"]}, "services[0]: 'a-b' is not a mapping"),
        ({**SAMPLE, "services": {}}, "services: {} is not a list"),
        ({"metadata": METADATA}, "services is missing"),
        ({**SAMPLE, "cluster": 1}, "'cluster' is no key"),
        (with_mapping(name="y" * 101), "mappings[0]"),
        (with_mapping(1, name="myapp-external-api"), "mappings[1] (myapp-external-api): name is already that"),
        (with_mapping(listen_port=70000), "listen_port: 70000 > the limit 65535"),
        (with_mapping(protocol="quic"), "protocol: 'quic' is none of"),
        (with_mapping(source_services=[]), "source_services: has 0 items < the least, 1"),
        (with_mapping(source_services="external"), "source_services: 'external' is not a list"),
        (with_mapping(dest_services=["nobody"]), "dest_services: 'nobody' is neither external nor a service described"),
        (with_mapping(path_prefix="api"), "path_prefix: 'api' does not fit: beginning of the request's path"),
        (
            with_mapping(path_prefix="/"),
            "path_prefix are those of mappings[0], so one of the two could never be reached",
        ),
        (with_mapping(dest_services=["myapp-flask"]), "service described here: did you mean myapp-flask-api?"),
        ({**SAMPLE, "services": []}, "'myapp-webui' is neither external nor a service described here"),
        ({**SAMPLE, "metadata": {**METADATA, "version": ""}}, "metadata.version: '' has 0 characters"),
        ({**SAMPLE, "metadata": {"app_name": "myapp"}}, "metadata: version is missing"),
    ],
)
def test_a_field_out_of_its_limits_is_named(document, reason):
    assert any(reason in found for found in reasons(document)), reasons(document)


def test_every_reason_is_given_at_once():
    services = [{**SERVICES[0], "port": 0, "protocol": "x", "ip_fqdn": ""}, *SERVICES[1:]]
    assert len(reasons({**SAMPLE, "services": services, "mappings": [{**MAPPINGS[0], "listen_port": 0}]})) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"port": 65535, "health_check_interval": 5, "collection": None},
        {"port": 1, "health_check_interval": 2**31 - 1, "collection": ""},
        {"health_check_enabled": False, "health_check_path": None},
        {"name": "myapp-flask-api", "collection": "x" * 100, "health_check_path": "/" + "x" * 254},
        {"tls_enabled": True, "tls_verify": True},
        {"ip_fqdn": "2001:db8::1"},
    ],
)
def test_values_at_the_limits_pass(fields):
    parse(with_service(**fields), local_names=True)


def test_a_name_of_a_hundred_characters_passes():
    name = "größe " * 16 + "ende"
    assert len(name) == 100
    parse({"services": [{**SERVICES[0], "name": name}], "metadata": METADATA}, local_names=True)


def test_a_mapping_may_come_from_a_service_and_from_outside():
    parse(with_mapping(source_services=["myapp-webui", "external"]), local_names=True)


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "2001:db8::1", "api.example.net", "api.example.net.", "a_b.c-d.e", "1a.b2"]
)
def test_what_a_gateway_reaches_passes(address):
    assert address_fault(address) is None


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("flask-backend", "only its own host or Docker network resolves"),
        ("localhost", "only its own host or Docker network resolves"),
        ("localhost.localdomain", "only its own host or Docker network resolves"),
        ("127.0.0.1", "every host has"),
        ("127.1.2.3", "every host has"),
        ("::1", "every host has"),
        ("169.254.1.1", "every host has"),
        ("fe80::1", "every host has"),
    ],
)
def test_what_only_some_hosts_reach_is_refused_unless_it_is_accepted(address, fault):
    assert fault in address_fault(address)
    assert address_fault(address, local_names=True) is None


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "::", "224.0.0.1", "fe80::1%eth0", "256.1.1.1", "1.2.3"),
        *("not a host!", "http://x.example", "x.example:80", "x.example/a", "bücher.example"),
        *("-x.example", "x-.example", "x..example", ".x.example", "x" * 64 + ".example"),
    ],
)
def test_what_is_no_hosts_address_is_refused_always(address):
    assert address_fault(address)
    assert address_fault(address, local_names=True)


def test_services_that_nobody_else_reaches_are_named():
    document = with_service(ip_fqdn="api.example.net")
    assert [line.partition(":")[0] for line in local_only(document)] == ["myapp-go-backend", "myapp-webui"]
    assert "'webui' is a name that only" in local_only(document)[1]
