# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What goes over the policy's socket: a JSON object a line each way, an answer for each request, in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._core.converge import CoreError, Invalid
from .._core.json_schema import faults
from .policy_errors import kind
from .policy_shapes import OPERATIONS, request_schema

REQUEST_BYTES = 32 << 20  # the documents of a million prefixes have 25 MB
SMALL_BYTES = 64 << 10  # of requests that any number of connections may send at once
ANSWER_BYTES = 16 << 20
_FAULTS_SHOWN = 20
_REQUESTS = {op: request_schema(op) for op in OPERATIONS}


@dataclass(frozen=True)
class Request:
    """A request that keeps to its operation's schema.

    Attributes:
        id: What the client knows it by.
        op: The operation.
        options: Its other properties, defaults filled in.
    """

    id: int | str | None
    op: str
    options: Mapping[str, Any]


def parse(line: bytes) -> Request:
    """Return the request in a line.

    Raises:
        Invalid: It is none; every reason at once. ``facts["id"]`` is the request's id where it has one.
    """
    try:
        content = json.loads(line, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the request is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise Invalid("the request is no JSON object")
    identity, op = content.get("id"), content.get("op")
    known = identity if isinstance(identity, (int, str)) else None
    if not isinstance(op, str) or op not in OPERATIONS:
        raise Invalid(f"op {op!r} is none of {', '.join(OPERATIONS)}", id=known)
    reasons = []
    for reason in faults(content, _REQUESTS[op]):
        reasons.append(reason)
        if len(reasons) > _FAULTS_SHOWN:
            reasons[-1] = "and more"
            break
    if reasons:
        raise Invalid(f"{op}: {'; '.join(reasons)}", id=known, reasons=reasons)
    properties = OPERATIONS[op].request["properties"]
    defaults = {name: shape["default"] for name, shape in properties.items() if "default" in shape}
    given = {name: value for name, value in content.items() if name not in ("id", "op")}
    return Request(known, op, {**defaults, **given})


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def answer(identity: int | str | None, result: Mapping[str, Any]) -> bytes:
    """Return the line that answers a request."""
    return _line({"id": identity, "ok": True, "result": result})


def failure(identity: int | str | None, error: Exception) -> bytes:
    """Return the line that refuses a request."""
    facts = error.facts if isinstance(error, CoreError) else {}
    reasons = [str(one) for one in facts.get("reasons", ())] or [str(error)]
    shown = {"kind": kind(error), "message": str(error), "reasons": reasons}
    return _line({"id": identity, "ok": False, "error": shown})


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
