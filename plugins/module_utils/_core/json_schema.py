# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What of a value does not fit a JSON Schema, in words: as much of the standard as our own schemas use.

Hosts have the standard library only, and its users want to read what is wrong rather than which keyword failed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {
    **{"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number"},
    **{"number": "a number", "boolean": "true or false", "null": "null"},
}
_SHOWN = 60


def faults(value: Any, schema: Schema, place: str = "") -> Iterator[str]:
    """Yield each thing about a value that does not fit, with its place, such as ``rules[0].vlan``.

    Args:
        value: Of JSON's types; a tuple is a list.
        schema: Of ``type``, ``enum``, ``pattern``, ``minLength``, ``maxLength``, ``minimum``, ``maximum``, ``items``,
            ``minItems``, ``maxItems``, ``properties``, ``required``, ``additionalProperties`` and ``anyOf``.
        place: Of the value.
    """
    return _faults(value, schema, place, schema.get("description", ""))


def _faults(value: Any, schema: Schema, place: str, meant: str) -> Iterator[str]:
    meant = schema.get("description", meant)
    if "anyOf" in schema:
        yield from _none_of(value, schema["anyOf"], place, meant)
        return
    if not _is(value, schema):
        yield f"{_named(place)}{_shown(value)} is not {_WORDS[schema['type']]}{_described(meant)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{_named(place)}{_shown(value)} is none of {', '.join(map(str, schema['enum']))}"
        return
    if isinstance(value, str):
        yield from _of_text(value, schema, place, meant)
    elif isinstance(value, Mapping):
        yield from _of_object(value, schema, place, meant)
    elif isinstance(value, (list, tuple)):
        yield from _of_array(value, schema, place, meant)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _of_number(value, schema, place)


def _of_text(value: str, schema: Schema, place: str, meant: str) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(value))
    if not least <= len(value) <= most:
        bound = f"< the least, {least}" if len(value) < least else f"> the limit {most}"
        yield f"{_named(place)}{_shown(value)} has {len(value)} characters {bound}"
    elif "pattern" in schema and not _searched(schema["pattern"], value):
        yield f"{_named(place)}{_shown(value)} does not fit{_described(meant) or ' ' + schema['pattern']}"


def _searched(pattern: str, value: str) -> bool:
    # In a JSON Schema $ is the very end; Python's also is before a final newline.
    return re.search(re.sub(r"\$(?=$|\|)", r"\\Z", pattern), value) is not None


def _of_number(value: float, schema: Schema, place: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{_named(place)}{value} < the least, {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield f"{_named(place)}{value} > the limit {schema['maximum']}"


def _of_array(value: Sequence[Any], schema: Schema, place: str, meant: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{_named(place)}has {len(value)} items < the least, {schema['minItems']}"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{_named(place)}has {len(value)} items > the limit {schema['maxItems']}"
    elif "items" in schema:
        for number, item in enumerate(value):
            yield from _faults(item, schema["items"], f"{place}[{number}]", meant)


def _of_object(value: Mapping[str, Any], schema: Schema, place: str, meant: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{_named(place)}{key} is missing"
    others = schema.get("additionalProperties", True)
    for key, item in value.items():
        below = f"{place}.{key}" if place else str(key)
        if key in properties:
            yield from _faults(item, properties[key], below, meant)
        elif others is False:
            near = difflib.get_close_matches(str(key), properties, 1)
            known = f"did you mean {near[0]}?" if near else f"those that are: {', '.join(sorted(properties))}"
            yield f"{_named(place)}{key!r} is no key; {known}"
        elif isinstance(others, Mapping):
            yield from _faults(item, others, below, meant)


def _none_of(value: Any, choices: Sequence[Schema], place: str, meant: str) -> Iterator[str]:
    found = [list(_faults(value, one, place, meant)) for one in choices]
    if not all(found):
        return
    # What is meant is what has this type, and of several objects the one that asks for what is there.
    fitting = [number for number, one in enumerate(choices) if "anyOf" in one or _is(value, one)]
    if isinstance(value, Mapping):
        fitting = [number for number in fitting if set(choices[number].get("required", ())) <= value.keys()] or fitting
    if len(fitting) == 1:
        yield from found[fitting[0]]
    else:
        yield f"{_named(place)}{_shown(value)} does not fit{_described(meant)}"


def _is(value: Any, schema: Schema) -> bool:
    kind = schema.get("type")
    if kind is None:
        return True
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _named(place: str) -> str:
    return f"{place}: " if place else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _described(meant: str) -> str:
    """Return what a value is, in the first sentence of its description; what it does is of no help here."""
    meant = meant.partition(". ")[0]
    return f": {meant[0].lower()}{meant[1:].rstrip('.')}" if meant else ""
