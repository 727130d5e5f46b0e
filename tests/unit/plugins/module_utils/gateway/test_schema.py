"""The files' JSON Schemas, by the standard's own checker; and that they say what our own says."""

from __future__ import annotations

import json

import jsonschema
import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.json_schema import faults
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway import schema
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Row, Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.rollback import export

from .sample import GOLDEN, METADATA, SAMPLE, SERVICES, with_mapping, with_service

FILES = {
    "services.json": schema.SERVICES_FILE,
    "mappings.json": schema.MAPPINGS_FILE,
    "import-config.json": schema.IMPORT_FILE,
}


def fits(document, shape=None):
    """Return whether a document fits a schema, by default that of the import file, on which both checkers agree."""
    shape = shape or schema.IMPORT_FILE
    by_standard = jsonschema.Draft202012Validator(shape).is_valid(document)
    assert by_standard == (not list(faults(document, shape)))
    return by_standard


@pytest.mark.parametrize("shape", [*FILES.values(), schema.ROLLBACK_FILE], ids=lambda shape: shape["title"])
def test_the_schemas_are_schemas(shape):
    jsonschema.Draft202012Validator.check_schema(shape)


@pytest.mark.parametrize("name", list(FILES))
def test_the_specifications_files_fit(name):
    assert fits(json.loads((GOLDEN / name).read_text()), FILES[name])


def test_whole_documents_fit():
    assert fits(SAMPLE)
    assert fits({"services": [], "metadata": METADATA})
    assert fits(with_service(tls_verify=True, collection=None, health_check_path=None))
    assert fits(with_service(port=65535, health_check_interval=2**31 - 1, name="ü" * 100, ip_fqdn="x" * 255))


@pytest.mark.parametrize(
    "document",
    [
        *(with_service(name=bad) for bad in ("", "x" * 101, "a\nb", "a\0b", "a\x9fb", None, 5)),
        *(with_service(ip_fqdn=bad) for bad in ("", "x" * 256, "a\tb", None)),
        *(with_service(port=bad) for bad in (0, 65536, "80", None, True, 80.5)),
        *(with_service(protocol=bad) for bad in ("HTTP", "quic", "", None)),
        *(with_service(collection=bad) for bad in ("x" * 101, "a\nb", 5)),
        *(with_service(auth_type=bad) for bad in ("api_key", "", None)),
        *(with_service(**{field: None}) for field in ("tls_enabled", "tls_verify", "health_check_enabled")),
        *(with_service(health_check_path=bad) for bad in ("", "healthz", "/" + "x" * 255, "/a\nb")),
        *(with_service(health_check_interval=bad) for bad in (4, 2**31, None, "30")),
        with_service(description="a field that the server drops"),
        *({**SAMPLE, "services": [{k: v for k, v in SERVICES[0].items() if k != key}]} for key in SERVICES[0]),
        *(with_mapping(source_services=bad) for bad in ([], "external", [""], [1])),
        *(with_mapping(listen_port=bad) for bad in (0, 65536)),
        with_mapping(path_prefix="api"),
        with_mapping(is_active=True),
        {**SAMPLE, "metadata": {"app_name": "myapp"}},
        {"services": SERVICES},
        {**SAMPLE, "cluster_id": 1},
        [],
    ],
)
def test_what_is_out_of_a_limit_does_not_fit(document):
    assert not fits(document)


def test_a_rollback_file_fits():
    row = Row.of({**SERVICES[0], "id": 1, "cluster_id": 2, "tls_verify": True, "is_active": False})
    document = json.loads(export([row], Settings("myapp", cluster_id=2), "https://gateway.example.net"))
    assert fits(document, schema.ROLLBACK_FILE)
    assert not fits({**document, "format": 2}, schema.ROLLBACK_FILE)
    (service,) = document["services"]
    assert not fits({**document, "services": [{**service, "jwt_secret": "s3cret"}]}, schema.ROLLBACK_FILE)
