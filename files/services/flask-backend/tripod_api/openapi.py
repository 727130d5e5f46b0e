"""The OpenAPI document, made of the operations and the models that they are held to.

`python -m tripod_api.openapi` prints it; beside the sources lies a copy, from which the web interface's types are made.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from . import __version__, events, idempotency
from .answers import PROBLEM, phrase
from .config import HOST_NAME
from .operations import HOST, LARGEST_ROW, Operation, operations
from .preconditions import HEADER as IF_MATCH
from .scopes import OF_ROLE, Access, Scope, roles_with
from .shapes import Problem

REF = "#/components/schemas/{model}"
# What the server may answer before there is a request, or while it stops: never an operation's business.
ANY_REQUEST = (400, 408, 413, 414, 417, 431, 501, 503)
PARAMETER = re.compile(r"<(?:(row):)?(\w+)>")

JSON = dict[str, Any]
Told = tuple[str, str, Operation]

STATES = {"description": "The `etag` of the state that the change is for; without it the change is for any."}
ETAG: JSON = {"ETag": {"description": "Of the present state.", "required": True, "schema": {"type": "string"}}}
KEY: JSON = {"type": "string", "pattern": idempotency.PATTERN}
RETRIES = {
    "description": "Names what is to be done, so that it is done once however often it is sent: for a day the same key "
    "gets the same answer."
}
NAME: JSON = {"type": "string", "pattern": f"^{HOST_NAME}$"}
MEANT = {"description": "Host of the data plane that is meant, by its name in `/api/v1/hosts`; needed of several."}
RESUMES = {"description": "The `id` of the reader's last reading: it gets what came since, or word of a loss."}
REPLAYED: JSON = {
    idempotency.REPLAYED: {"description": "`true` of an answer that was given before.", "schema": {"type": "string"}}
}


def text(app: Flask) -> str:
    """Return the document of an application that has all its routes, as JSON."""
    return _written(tuple((path, method, one) for path, method, one in operations(app) if one is not None))


@cache
def _written(told: Sequence[Told]) -> str:
    """The document as JSON; kept, as the models' schemas take a tenth of a second."""
    models: dict[tuple[type[BaseModel], str], None] = {(Problem, "serialization"): None}
    for _, _, one in told:
        if one.takes is not None:
            models[one.takes, "validation"] = None
        if _is_model(one.gives):
            models[one.gives, "serialization"] = None
    _, definitions = models_json_schema(list(models), ref_template=REF, schema_generator=_Schemas)  # type: ignore[arg-type]
    paths: JSON = {}
    for path, method, one in told:
        paths.setdefault(PARAMETER.sub(r"{\2}", path), {})[method.lower()] = _operation(path, one)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tripod",
            "version": __version__,
            "description": "Sign-in, users, policies, and a window on the data plane.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "paths": paths,
        "components": {
            "responses": {_refusal(status): _problem(status) for status in sorted(_refusals(told))},
            "schemas": dict(sorted(definitions["$defs"].items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "x-roles": {role: sorted(scopes) for role, scopes in OF_ROLE.items()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Schemas(GenerateJsonSchema):
    """Leaves out the titles that repeat a member's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _is_model(given: Any) -> bool:
    return isinstance(given, type) and issubclass(given, BaseModel)


def _operation(path: str, one: Operation) -> JSON:
    found: JSON = {
        "operationId": one.name,
        "summary": one.summary,
        "description": _needs(one),
        "parameters": [*_in_path(path), *_in_query(one), *_in_headers(one)],
        "responses": {
            str(status): _gives(one) if status == one.status else {"$ref": f"#/components/responses/{_refusal(status)}"}
            for status in sorted({*one.statuses, *ANY_REQUEST})
        },
    }
    if isinstance(one.needs, Scope):
        # Of a scheme that has no scopes of its own these are the roles or scopes needed (OpenAPI 3.1, 4.8.30).
        found["security"] = [{"bearer": [str(one.needs)]}]
    elif one.needs is not Access.ANYONE:
        found["security"] = [{"bearer": []}]
    if one.takes is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(model=one.takes.__name__)}}},
        }
    return {name: value for name, value in found.items() if value}


def _needs(one: Operation) -> str:
    if isinstance(one.needs, Scope):
        return f"Needs the scope `{one.needs}`, which the roles {', '.join(roles_with(one.needs))} have."
    return {
        Access.ANYONE: "Needs no token.",
        Access.SIGNED_IN: "Needs any token.",
        Access.SESSION: "Needs the access token of somebody who signed in.",
    }[one.needs]


def _in_path(path: str) -> list[JSON]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_ROW} if kind else {"type": "string"},
        }
        for kind, name in PARAMETER.findall(path)
    ]


def _in_query(one: Operation) -> list[JSON]:
    found: list[JSON] = []
    if one.window is not None:
        schema = TypeAdapter(one.window).json_schema(schema_generator=_Schemas)
        found = [{"name": name, "in": "query", "schema": member} for name, member in schema["properties"].items()]
    if one.of_host:
        found.append({"name": HOST, "in": "query", "schema": NAME, **MEANT})
    return found


def _in_headers(one: Operation) -> list[JSON]:
    found: list[JSON] = []
    if one.if_match:
        found.append({"name": IF_MATCH, "in": "header", "schema": {"type": "string"}, **STATES})
    if one.media == events.MEDIA:
        found.append({"name": events.RESUME, "in": "header", "schema": {"type": "string"}, **RESUMES})
    if one.keyed:
        found.append({"name": idempotency.HEADER, "in": "header", "schema": KEY, **RETRIES})
    return found


def _gives(one: Operation) -> JSON:
    found: JSON = {"description": phrase(one.status)}
    headers = {**(ETAG if one.etag else {}), **(REPLAYED if one.keyed else {})}
    if headers:
        found["headers"] = headers
    if one.gives is not None:
        kinds: dict[Any, JSON] = {str: {"type": "string"}, bytes: {"contentMediaType": one.media}}
        kind = kinds.get(one.gives, {"type": "object"})
        schema = {"$ref": REF.format(model=one.gives.__name__)} if _is_model(one.gives) else kind
        found["content"] = {one.media: {"schema": schema}}
    return found


def _refusals(told: Sequence[Told]) -> set[int]:
    return {*ANY_REQUEST, *(status for _, _, one in told for status in one.statuses if status != one.status)}


def _refusal(status: int) -> str:
    return phrase(status).title().replace(" ", "")


def _problem(status: int) -> JSON:
    schema = {"$ref": REF.format(model=Problem.__name__)}
    found = {"description": phrase(status), "content": {PROBLEM: {"schema": schema}}}
    return {**found, "headers": ETAG} if status == HTTPStatus.PRECONDITION_FAILED else found


def main() -> None:
    """Print the document of this release."""
    from .app import create_app  # noqa: PLC0415  (which needs this module)
    from .config import Database, Settings  # noqa: PLC0415

    nowhere = Settings(Database("sqlite", "/nonexistent"), jwt_secret="-" * 32, admin_email="")
    sys.stdout.write(text(create_app(nowhere)))


if __name__ == "__main__":
    main()
