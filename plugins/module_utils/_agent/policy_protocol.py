# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the policy's socket takes and gives: a JSON object a line each way, an answer for each request, in order.

``SCHEMA`` says it whole; ``docs/schemas/policy-socket.schema.json`` is that, for those who write clients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._core.converge import CoreError, Invalid
from .._policy.json_schema import faults
from .._policy.schema import POLICY
from .policy_errors import kind

REQUEST_BYTES = 32 << 20  # the documents of a million prefixes have 25 MB
SMALL_BYTES = 64 << 10  # of requests that any number of connections may send at once
ANSWER_BYTES = 16 << 20
ENTRIES_SHOWN = 1000  # of each list of a policy, to those who only look
BANS_SHOWN = 1000
CONFIRM_SECONDS = (5, 3600)
BAN_SECONDS = (1, 31 * 86400)
_FAULTS_SHOWN = 20

Schema = Mapping[str, Any]


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


def _shape(required: str = "", **properties: Schema) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def _text(description: str, limit: int, least: int = 0) -> dict[str, Any]:
    return {"description": description, "type": "string", "minLength": least, "maxLength": limit}


def _number(description: str, least: int, most: int, **more: Any) -> dict[str, Any]:
    return {"description": description, "type": "integer", "minimum": least, "maximum": most, **more}


def _or_null(shape: Schema) -> dict[str, Any]:
    return {"description": shape["description"], "anyOf": [shape, {"type": "null"}], "default": None}


_policy = _text("Name of a policy.", 32, 1)
_by = {**_text("Who requests it, for the history; the peer of the socket decides what it may.", 254), "default": ""}
_owner = {
    "description": "Whose document it is.",
    "type": "string",
    "pattern": r"^(api|feed:[A-Za-z0-9_.-]{1,63})$",
    "default": "api",
}
_confirm = _or_null(_number("Seconds to confirm in, or what was before is back; null for none.", *CONFIRM_SECONDS))
_revision = _number("Number of a revision; those of a policy count up from 1.", 0, 1 << 53)
_connection = _or_null(
    {
        "description": "The client's connection that it came by: what it armed is not confirmed over the same one.",
        **_shape(
            "peer peer_port address port",
            peer=_text("Its end.", 64, 2),
            peer_port=_number("Its port.", 0, 65535),
            address=_text("Our end.", 64, 2),
            port=_number("Our port.", 0, 65535),
        ),
    }
)
_address = _text("A single IPv4 or IPv6 address.", 64, 2)
_comment = {**_text("Why.", 200), "default": ""}
_flag = {"type": "boolean", "default": False}

# By operation: what it does, and its properties beside "id" and "op".
OPERATIONS: Mapping[str, tuple[str, Schema]] = {
    "status": ("Every policy in a word, and the number of bans.", _shape()),
    "get": (
        "A policy as its owners make it together, lists shortened; and one owner's document whole.",
        _shape("policy", policy=_policy, owner=_owner),
    ),
    "slots": ("What each slot of the map `hits` counts, by interface.", _shape()),
    "counters": (
        "What each part has matched, by interface.",
        _shape(interface=_or_null(_text("Only of this one.", 15, 1))),
    ),
    "put": (
        "Replace an owner's document, whole; an empty one removes it.",
        _shape(
            "policy document",
            policy=_policy,
            owner=_owner,
            document={**POLICY, "description": "Its lists, rules, limits and services."},
            expected=_or_null({**_revision, "description": "Refuse unless this revision is in force."}),
            confirm=_confirm,
            dry_run={**_flag, "description": "Only say what would change."},
            name={**_text("A name for the revision.", 64), "default": ""},
            why=_comment,
            by=_by,
            connection=_connection,
        ),
    ),
    "confirm": (
        "Keep what waits for a confirmation.",
        _shape("policy", policy=_policy, revision=_or_null(_revision), by=_by, connection=_connection),
    ),
    "revert": (
        "Go back to an owner's document of an earlier revision; at once to that before one that waits for a "
        "confirmation.",
        _shape(
            "policy",
            policy=_policy,
            owner=_owner,
            revision=_or_null({**_revision, "description": "Which; null for the one before."}),
            expected=_or_null({**_revision, "description": "Refuse unless this revision is in force."}),
            confirm=_confirm,
            dry_run={**_flag, "description": "Only say what would change."},
            by=_by,
            connection=_connection,
        ),
    ),
    "history": ("The last revisions of a policy, the newest first.", _shape("policy", policy=_policy)),
    "diff": (
        "What differs between two revisions, or between one and what is in force.",
        _shape(
            "policy revision",
            policy=_policy,
            revision=_revision,
            to=_or_null({**_revision, "description": "The other; null for what is in force."}),
        ),
    ),
    "ban": (
        "Drop what comes from an address for a while; a second ban replaces the first.",
        _shape(
            "address seconds",
            address=_address,
            seconds=_number("How long.", *BAN_SECONDS),
            comment=_comment,
            by=_by,
        ),
    ),
    "unban": ("End a ban.", _shape("address", address=_address, by=_by)),
    "bans": (
        "The bans in force, by address.",
        _shape(
            limit=_number("How many.", 1, BANS_SHOWN, default=BANS_SHOWN),
            after=_or_null({**_address, "description": "Only those behind this address."}),
        ),
    ),
}

_id = {
    "description": "Comes back with the answer.",
    "anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 64}, {"type": "null"}],
}


def _request_schema(op: str) -> dict[str, Any]:
    description, shape = OPERATIONS[op]
    properties = {"id": _id, "op": {"type": "string", "enum": [op]}, **shape["properties"]}
    return {**_shape("op", **properties), "required": ["op", *shape["required"]], "description": description}


SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Requests to the policy's socket",
    "oneOf": [_request_schema(op) for op in OPERATIONS],
}


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
    properties = OPERATIONS[op][1]["properties"]
    defaults = {name: shape["default"] for name, shape in properties.items() if "default" in shape}
    given = {name: value for name, value in content.items() if name not in ("id", "op")}
    return Request(known, op, {**defaults, **given})


_REQUESTS = {op: _request_schema(op) for op in OPERATIONS}


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
