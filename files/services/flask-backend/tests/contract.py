"""Holds every answer that a test gets to the OpenAPI document."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from tripod_api.app import DOCUMENT
from tripod_api.openapi import PARAMETER


class ConformingClient(FlaskClient):
    """A client that takes no answer which the document does not have."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        answer = super().open(*args, **kwargs)
        hold(self.application, answer)
        return answer


def hold(app: Flask, answer: TestResponse) -> None:
    text: str = app.extensions[DOCUMENT]
    document = _read(text)
    try:
        rule, _ = app.url_map.bind("").match(answer.request.path, answer.request.method, return_rule=True)
    except HTTPException:
        # No operation at all; an error all the same.
        found = document["components"]["responses"]["NotFound"]
    else:
        path = PARAMETER.sub(r"{\2}", rule.rule)
        if answer.request.method == "HEAD" or path not in document["paths"]:
            return
        answers = document["paths"][path][answer.request.method.lower()]["responses"]
        assert str(answer.status_code) in answers, f"{answer.request.method} {path}: {answer.status_code} is news"
        found = answers[str(answer.status_code)]
        if "$ref" in found:
            found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    for header, told in found.get("headers", {}).items():
        assert header in answer.headers or not told.get("required"), (
            f"{answer.request.method} {answer.request.path}: no {header}"
        )
    if "content" not in found:
        assert not answer.data
        return
    ((media, content),) = found["content"].items()
    assert answer.mimetype == media
    if "contentMediaType" in content["schema"]:
        # A file, which is read where it comes; JSON Schema has no word for what is in it.
        return
    _validator(text, json.dumps(content["schema"])).validate(answer.json if answer.is_json else answer.text)


@cache
def _read(document: str) -> Any:
    return json.loads(document)


@cache
def _validator(document: str, schema: str) -> Any:
    root = {"components": _read(document)["components"], **json.loads(schema)}
    return jsonschema_rs.Draft202012Validator(root, validate_formats=True)
