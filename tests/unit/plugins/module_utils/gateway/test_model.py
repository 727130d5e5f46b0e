"""Rows as the server shows them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Row

LISTED = {
    "id": 7,
    "name": "myapp-api",
    "ip_fqdn": "192.0.2.1",
    "port": 5000,
    "protocol": "http",
    "collection": "myapp",
    "cluster_id": 1,
    "auth_type": "jwt",
    "tls_enabled": False,
    "tls_verify": True,
    "health_check_enabled": True,
    "health_check_path": "/healthz",
    "health_check_interval": 30,
    "is_active": True,
    "jwt_secret": "s3cret",
    "token_base64": None,
    "jwt_expiry": 3600,
}
CONFIGURED = {
    "id": 7,
    "name": "myapp-api",
    "ip_fqdn": "192.0.2.1",
    "port": 5000,
    "protocol": "http",
    "collection": "myapp",
    "auth": {
        "type": "jwt",
        "token_base64": None,
        "jwt": {"secret": "s3cret", "expiry": 3600, "algorithm": "HS256"},
    },
    "tls": {"enabled": False, "verify": True},
    "health_check": {"enabled": True, "path": "/healthz", "interval": 30},
    "metadata": None,
}


def test_a_listed_row_has_its_fields_and_no_secret():
    row = Row.of(LISTED)
    dropped = ("id", "cluster_id", "jwt_secret", "token_base64", "jwt_expiry")
    assert row.fields == {key: value for key, value in LISTED.items() if key not in dropped}
    assert (row.id, row.cluster_id, row.name, row.active) == (7, 1, "myapp-api", True)
    assert row.without_secret == {"base64"}
    assert "s3cret" not in repr(row)


def test_a_configured_row_is_the_listed_one():
    row = Row.of_config(CONFIGURED, 1)
    assert (row.id, row.cluster_id, row.fields) == (7, 1, Row.of(LISTED).fields)
    assert row.without_secret == frozenset()
    assert "s3cret" not in repr(row)


@pytest.mark.parametrize(
    ("auth", "lacking"),
    [
        ({"type": "jwt", "jwt": {"secret": None}}, {"jwt"}),
        ({"type": "base64", "token_base64": None, "jwt": None}, {"base64"}),
        ({"type": "base64", "token_base64": "s3cret", "jwt": None}, set()),
        # Secrets of other types are not shown, so nothing is known of them.
        ({"type": "none", "token_base64": None, "jwt": None}, set()),
        ({"type": "api_key", "token_base64": None, "jwt": None}, set()),
        ({"type": None, "token_base64": None, "jwt": None}, set()),
    ],
)
def test_a_configured_row_lacks_a_secret_of_its_own_type_only(auth, lacking):
    assert Row.of_config({**CONFIGURED, "auth": auth}, 1).without_secret == lacking


def test_a_health_check_that_the_configuration_hides_is_taken_for_illegal():
    row = Row.of_config({**CONFIGURED, "health_check": None}, 1)
    assert row.fields["health_check_enabled"] is None
    assert row.fields["health_check_interval"] is None
    assert "health_check_path" not in row.fields


def test_a_row_of_a_server_that_knows_no_inactive_ones_is_active():
    assert Row.of({"id": "a", "name": "x"}).active
    assert not Row.of({"id": "a", "name": "x", "is_active": None}).active
    assert Row.of({"id": "a"}).name == ""
