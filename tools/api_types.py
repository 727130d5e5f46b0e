"""Write what follows from the REST API's OpenAPI document: ``.venv/bin/python -m tools.api_types``.

The web interface's view of it: of every answer a check, as an answer may come from a newer API or a proxy, and the type
that it proves; of every body that is sent, its type. And for persons the table of who may do what.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .console import guarded, say
from .paths import ROOT

SOURCE = ROOT / "files" / "services" / "flask-backend" / "openapi.json"
TARGET = ROOT / "files" / "services" / "webui" / "src" / "client" / "api" / "contract.ts"
PERMISSIONS = ROOT / "docs" / "permissions.md"
HEAD = """/** The REST contract. Made from the API's OpenAPI document by `python -m tools.api_types`; do not edit. */

import { anything, type Checked, flag, list, moment, number, object, optional, orNull, text } from "./check";
"""
PERMISSIONS_HEAD = """# Who may do what over REST

Made from the API's OpenAPI document by `python -m tools.api_types`; a test of the API asks every operation with every
role and every scope. An operation needs a scope. Roles have scopes; an API token has those of its owner's that
it was made for.

"""
CHECKS = {"string": "text", "integer": "number", "number": "number", "boolean": "flag"}
TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}

Schema = Mapping[str, Any]


def typescript(document: Schema) -> str:
    """Return the module for a document.

    Raises:
        ValueError: A schema is of a kind that this does not know; the message has it.
    """
    schemas = document["components"]["schemas"]
    sent, answered = _used(document, "requestBody"), _used(document, "responses")
    # Errors have their own way, and what the interface never asks for costs a few lines.
    answers = [name for name in _in_order(schemas, _with_parts(schemas, answered)) if name != "Problem"]
    bodies = sorted(_with_parts(schemas, sent))
    return "\n".join(
        [HEAD, *(_check(name, schemas[name]) for name in answers), *map(_body, bodies, map(schemas.get, bodies))]
    )


def _used(document: Schema, where: str) -> set[str]:
    """Return the schemas that operations name in a place; answers other than errors stand in them, not beside."""
    found: set[str] = set()
    for methods in document["paths"].values():
        for operation in methods.values():
            found |= set(_references(operation.get(where, {})))
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if str(schema.get("$ref", "")).startswith("#/components/schemas/"):
            yield _name(schema["$ref"])
        for member in schema.values():
            yield from _references(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from _references(member)


def _with_parts(schemas: Schema, names: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return found


def _in_order(schemas: Schema, names: set[str]) -> list[str]:
    """Return the names so that each follows what it is made of."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        for part in sorted(set(_references(schemas[name]))):
            add(part)
        found[name] = None

    for name in sorted(names):
        add(name)
    return list(found)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _constant(name: str) -> str:
    return name[0].lower() + name[1:]


def _comment(schema: Schema, indent: str = "") -> list[str]:
    return [f"{indent}/** {schema['description']} */"] if "description" in schema else []


def _check(name: str, schema: Schema) -> str:
    lines = [*_comment(schema), f"export const {_constant(name)} = object({{"]
    for key, member in schema["properties"].items():
        lines += [*_comment(member, "  "), f"  {key}: {_member_check(key, member, schema)},"]
    return "\n".join([*lines, "});", f"export type {name} = Checked<typeof {_constant(name)}>;", ""])


def _member_check(key: str, member: Schema, schema: Schema) -> str:
    check = _value_check(member)
    if key in schema.get("required", ()):
        return check
    if "default" not in member:
        raise ValueError(f"{key}: neither required nor with a default: {json.dumps(member)}")
    return f"optional({check}, {json.dumps(member['default'])})"


def _value_check(schema: Schema) -> str:
    if "$ref" in schema:
        return _constant(_name(schema["$ref"]))
    if "anyOf" in schema:
        return f"orNull({_value_check(_not_null(schema))})"
    if schema.get("type") == "array":
        return f"list({_value_check(schema['items'])})"
    if schema.get("type") == "object":
        return "anything"
    if schema.get("format") == "date-time":
        return "moment"
    if "const" in schema:
        return CHECKS["boolean" if isinstance(schema["const"], bool) else "string"]
    if schema.get("type") in CHECKS:
        return CHECKS[schema["type"]]
    raise ValueError(f"no check is known for {json.dumps(schema)}")


def _not_null(schema: Schema) -> Schema:
    kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
    if len(kinds) != 1 or len(schema["anyOf"]) != 2:
        raise ValueError(f"only a kind or null is known, not {json.dumps(schema)}")
    found: Schema = kinds[0]
    return found


def _body(name: str, schema: Any) -> str:
    if "enum" in schema:
        return f"export type {name} = {_type(schema)};\n"
    lines = [*_comment(schema), f"export interface {name} {{"]
    for key, member in schema["properties"].items():
        optional = "" if key in schema.get("required", ()) else "?"
        lines += [*_comment(member, "  "), f"  {key}{optional}: {_type(member)};"]
    return "\n".join([*lines, "}", ""])


def _type(schema: Schema) -> str:
    if "anyOf" in schema:
        return f"{_type(_not_null(schema))} | null"
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "$ref" in schema:
        return _name(schema["$ref"])
    if schema.get("type") == "array":
        element = _type(schema["items"])
        return f"({element})[]" if "|" in element else f"{element}[]"
    if schema.get("type") == "object":
        return "Record<string, unknown>"
    if schema.get("type") in TYPES:
        return TYPES[schema["type"]]
    raise ValueError(f"no type is known for {json.dumps(schema)}")


def permissions(document: Schema) -> str:
    """Return the tables of roles, scopes and operations, as Markdown."""
    roles = document["x-roles"]
    scopes = sorted({scope for having in roles.values() for scope in having})
    of_roles = [(f"`{scope}`", *("yes" if scope in roles[role] else "" for role in roles)) for scope in scopes]
    of_operations = [
        (f"{method.upper()} `{path.removeprefix('/api/v1')}`", operation["description"], operation["summary"])
        for path, methods in sorted(document["paths"].items())
        for method, operation in sorted(methods.items())
    ]
    tables = (_table(("scope", *roles), of_roles), _table(("operation", "", "what it does"), of_operations))
    return PERMISSIONS_HEAD + "\n".join(tables)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def files() -> dict[Path, str]:
    """Return what follows from the document, by file."""
    document = json.loads(SOURCE.read_text(encoding="utf-8"))
    return {TARGET: typescript(document), PERMISSIONS: permissions(document)}


def main() -> int:
    """Write it, and return the exit status."""
    for place, text in files().items():
        place.write_text(text, encoding="utf-8")
        say(str(place.relative_to(ROOT)))
    return 0


if __name__ == "__main__":
    guarded(main)
