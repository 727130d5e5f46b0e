"""What a host serves, and whether the gateway could have it, as known on the control node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.gateway import refusals

API = "https://gateway.example.com:8000"
SERVICE = {"name": "app-api", "published": "192.0.2.1", "port": "5000"}
VARIABLES = {"app_name": "app", "app_version": "1.0.0", "hosts": ["edge1"], "services": [SERVICE]}


def said(environment: Mapping[str, str] | None = None, readable: bool = True, **given: Any) -> list[str]:
    """Return what is said of the host edge1 where an operator gave these variables."""
    known = {**VARIABLES, **given}
    return list(refusals("edge1", "edge1.example.com", known.get, environment or {}, lambda path: readable))


def test_a_site_without_a_gateway_may_publish_on_the_loopback_and_one_with_may_not() -> None:
    local = {"services": [{**SERVICE, "published": "127.0.0.1"}, {**SERVICE, "name": "app-rpc", "ip_fqdn": "rpc"}]}
    assert said(**local) == []
    assert said(**local, api=API, token="t", local_names=True) == []
    loopback, docker = said(**local, api=API, token="t")
    assert loopback.startswith("marchproxy: services[0] (app-api).ip_fqdn: '127.0.0.1' is an address that every")
    assert docker.startswith("marchproxy: services[1] (app-rpc).ip_fqdn: 'rpc' is a name that only its own host")


@pytest.mark.parametrize(
    ("address", "published", "fine"),
    [
        ("", "0.0.0.0", True), ("", "::", True), ("192.0.2.9", "0.0.0.0", True), ("", "192.0.2.1", True),
        ("localhost", "0.0.0.0", False), ("edge1", "0.0.0.0", False), ("192.0.2.9", "127.0.0.1", False),
        ("192.0.2.9", "::1", False), ("http://192.0.2.9", "0.0.0.0", False),
    ],
)  # fmt: skip
def test_the_address_that_the_gateway_would_get_is_what_is_judged(address: str, published: str, fine: bool) -> None:
    found = said(api=API, token="t", address=address, services=[{**SERVICE, "published": published}])
    assert (found == []) is fine, found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nobody is given"),
        ({"token": "t", "api": "gateway:8000"}, "is no address such as https://gateway.example.com:8000"),
        ({"token": "t", "api": f"{API}/api/v1"}, "without /api/v1"),
        ({"username": "u"}, "username and password are given together"),
        ({"mode": "bulk", "token": "t"}, "mode bulk requires cluster_key"),
        ({"mode": "crud", "cluster_key": "k"}, "mode crud requires token"),
        ({"token": "t", "cluster_id": "production"}, "cluster_id 'production' is no number"),
        ({"token": "two words"}, "it is not repeated here"),
    ],
)
def test_a_server_that_cannot_be_asked_is_known_without_asking_it(given: dict[str, Any], words: str) -> None:
    found = said(**{"api": API, **given})
    assert any(words in one for one in found), found
    assert all(one.startswith("marchproxy: ") for one in found)
    assert "two words" not in str(found)


@pytest.mark.parametrize(
    "variables",
    [{"CLUSTER_API_KEY": "k"}, {"MARCHPROXY_TOKEN": "t"}, {"MARCHPROXY_USERNAME": "u", "MARCHPROXY_PASSWORD": "p"}],
)
def test_secrets_may_come_from_the_environment(variables: dict[str, str]) -> None:
    assert said(variables, api=API) == []


def test_a_file_that_cannot_be_read_is_named() -> None:
    files = {"ca_file": "/ca.pem", "token_file": "/token"}
    assert said(api=API, **files) == []
    assert said(api=API, **files, readable=False) == [
        f"marchproxy: {name}: {path} cannot be read on the control node" for name, path in files.items()
    ]
    assert said(**files, readable=False) == [], "without a server nobody reads them"


def test_limits_hold_without_a_server_too_and_all_are_said_at_once() -> None:
    found = said(
        services=[{**SERVICE, "port": 70000}, {**SERVICE, "name": "app-other", "protocol": "gopher"}],
        extra_services=[{"name": "x" * 101, "ip_fqdn": "192.0.2.3", "port": 1}],
        mappings=[{"name": "m", "source_services": ["external"], "dest_services": ["nobody"], "listen_port": 443}],
    )
    for words in ("port", "protocol", "name", "'nobody' is neither external nor"):
        assert any(words in one for one in found), (words, found)
    assert len(found) == 4, found


def test_with_several_hosts_a_mapping_may_name_what_another_serves() -> None:
    mapping = {"name": "m", "source_services": ["external"], "dest_services": ["app-of-edge2"], "listen_port": 443}
    assert len(said(extra_mappings=[mapping])) == 1
    assert said(extra_mappings=[mapping], hosts=["edge1", "edge2"]) == []
