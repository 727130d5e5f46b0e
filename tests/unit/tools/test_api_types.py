"""What follows from the OpenAPI document of the API is what its generator makes of it."""

from __future__ import annotations

import json

import pytest

from tools.api_types import SOURCE, files, permissions, typescript


@pytest.mark.parametrize("place", list(files()), ids=lambda place: place.name)
def test_it_is_what_the_document_says(place):
    assert place.read_text(encoding="utf-8") == files()[place], "python -m tools.api_types writes it anew"


def _with(answer, **more):
    """Return a document with one operation."""
    schema = {"type": "object", "properties": {"it": answer}, "required": ["it"], **more}
    answers = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}
    return {
        "paths": {"/thing": {"get": {"responses": answers, "summary": "Tell.", "description": "Needs no token."}}},
        "components": {"schemas": {"Thing": schema}},
        "x-roles": {"viewer": ["a:read"], "admin": ["a:read", "a:write"]},
    }


@pytest.mark.parametrize(
    ("schema", "check"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date-time"}, "moment"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "orNull(number)"),
        ({"type": "array", "items": {"type": "boolean"}}, "list(flag)"),
        ({"type": "object", "additionalProperties": True}, "anything"),
        ({"const": True}, "flag"),
    ],
)
def test_each_kind_has_its_check(schema, check):
    assert f"  it: {check},\n" in typescript(_with(schema))


def test_a_member_that_may_lack_has_a_value_all_the_same():
    assert '  it: optional(text, "pass"),\n' in typescript(_with({"type": "string", "default": "pass"}, required=[]))


@pytest.mark.parametrize(
    ("schema", "more"),
    [
        ({"type": "string"}, {"required": []}),
        ({"type": "odd"}, {}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {}),
    ],
)
def test_an_unknown_kind_is_refused(schema, more):
    with pytest.raises(ValueError, match=r"it: neither|is known"):
        typescript(_with(schema, **more))


def test_the_table_has_every_scope_and_operation():
    table = permissions(_with({"type": "string"}))
    assert "| `a:write` |  | yes |" in table
    assert "| GET `/thing` | Needs no token. | Tell. |" in table
    document = json.loads(SOURCE.read_text(encoding="utf-8"))
    operations = sum(len(methods) for methods in document["paths"].values())
    assert permissions(document).count("| Needs ") == operations
