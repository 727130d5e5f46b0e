"""The document is what the API is held to; the tests' client holds each answer to it, see contract.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import jsonschema_rs
import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient

from tripod_api.operations import operations

pytestmark = pytest.mark.databases("sqlite")

COPY = Path(__file__).resolve().parent.parent / "openapi.json"
# Prometheus' own form, for no client of the API.
APART = {"/metrics"}


def test_the_copy_beside_the_sources_is_what_is_served(client: FlaskClient) -> None:
    served = client.get("/api/v1/openapi.json")
    assert served.mimetype == "application/json"
    assert served.text == COPY.read_text(), "python -m tripod_api.openapi > openapi.json writes it anew"


def test_no_route_is_without_an_operation(app: Flask) -> None:
    assert [path for path, _, told in operations(app) if told is None and path not in APART] == []


def test_each_operation_has_a_name_of_its_own_and_a_sentence(app: Flask) -> None:
    told = [one for _, _, one in operations(app) if one is not None]
    assert [name for name, times in Counter(one.name for one in told).items() if times > 1] == []
    assert [one.name for one in told if not one.summary.endswith(".")] == []


@pytest.mark.parametrize("wrong", [{"status": "fine"}, {"status": "healthy", "more": 1}, {}])
def test_an_answer_of_another_form_is_noticed(app: Flask, wrong: dict[str, object]) -> None:
    app.view_functions["api.healthz"] = lambda: jsonify(wrong)
    with pytest.raises(jsonschema_rs.ValidationError):
        app.test_client().get("/healthz")


def test_a_status_that_is_not_in_the_document_is_noticed(app: Flask) -> None:
    app.view_functions["api.healthz"] = lambda: (jsonify(status="healthy"), 202)
    with pytest.raises(AssertionError, match="202 is news"):
        app.test_client().get("/healthz")
