"""The file to go back to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import ABSENT, Row, Service, Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.rollback import export, restored

API = Service("myapp-api", "192.0.2.1", 5000, collection="myapp")
OURS = Settings("myapp", cluster_id=1)
SERVER = "https://gateway.example.net"


def row(service=API, number=7, **fields):
    known = {**service.exported(), "tls_verify": True, "is_active": True, "jwt_secret": "s3cret", "token_base64": None}
    return Row.of({**known, "id": number, "cluster_id": 1, **fields})


def test_a_file_has_our_own_rows_by_name_and_no_secret():
    rows = [row(), row(replace(API, name="a"), 8, is_active=False), row(collection="other"), row(cluster_id=2)]
    text = export(rows, OURS, SERVER)
    kept = restored(text)
    assert [(one.name, one.is_active, one.tls_verify) for one in kept.services] == [
        ("a", False, True),
        ("myapp-api", True, True),
    ]
    assert (kept.server, kept.cluster_id, kept.collection) == (SERVER, 1, "myapp")
    assert "s3cret" not in text
    assert text.endswith("}\n")
    assert export(reversed(rows), OURS, SERVER) == text


def test_an_illegal_value_is_not_brought_back():
    (service,) = restored(export([row(protocol="grpc", tls_verify=None)], OURS, SERVER)).services
    assert (service.protocol, service.tls_verify) == ("tcp", True)


def test_what_a_server_does_not_say_is_not_kept():
    bare = Row.of({"id": "a", "name": "myapp-api", "ip_fqdn": "192.0.2.1", "port": 5000, "collection": "myapp"})
    text = export([bare], replace(OURS, cluster_id=None), SERVER)
    assert "protocol" not in text
    assert restored(text).services == (API,)


def test_what_somebody_wrote_that_we_would_not_is_brought_back():
    odd = {"name": "a b\n", "ip_fqdn": "not a host!", "health_check_path": ""}
    (service,) = restored(export([row(**odd)], OURS, SERVER)).services
    assert {key: getattr(service, key) for key in odd} == odd


def test_going_back_removes_what_came_since():
    kept = restored(export([row()], OURS, SERVER))
    assert kept.settings(replace(OURS, state=ABSENT, grpc="http"), SERVER) == replace(OURS, prune=True, grpc="http")


def test_a_file_of_another_application_or_cluster_or_server_is_refused():
    kept = restored(export([row()], OURS, SERVER))
    with pytest.raises(Invalid) as caught:
        kept.settings(Settings("other", cluster_id=2), "prod.example.net")
    assert len(caught.value.facts["reasons"]) == 3
    assert f"rollback file is of server {SERVER}, and prod.example.net was requested" in str(caught.value)
    assert "if that is the same one by another name, write that name into the file" in str(caught.value)
    assert "rollback file is of collection myapp, and other was requested" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format: 2 > the limit 1"),
        ({"server": None}, "server: None is not a text"),
        ({"services": [{"name": "a"}]}, "services[0]: port is missing"),
        ({"services": [{**API.exported(), "is_active": True, "jwt_secret": "x"}]}, "'jwt_secret' is no key"),
        ({"more": 1}, "'more' is no key"),
    ],
)
def test_what_is_no_rollback_file_is_refused(change, reason):
    document = {**json.loads(export([row()], OURS, SERVER)), **change}
    with pytest.raises(Invalid) as caught:
        restored(json.dumps(document))
    assert any(reason in found for found in caught.value.facts["reasons"])


@pytest.mark.parametrize("text", ["", "{", "not json", "[]", "null"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(Invalid, match="rollback file"):
        restored(text)
