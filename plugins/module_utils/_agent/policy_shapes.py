# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The shapes of requests to the policy's socket and of their results, as JSON Schema; both sides are strict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._policy.merge import IDENTITIES
from .._policy.schema import POLICY
from .policy_errors import FAILED, KINDS

BANS_SHOWN = 1000
SAMPLES_SHOWN = 1000
CONFIRM_SECONDS = (5, 3600)
BAN_SECONDS = (1, 31 * 86400)

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """What can be requested.

    Attributes:
        summary: A sentence.
        request: Shape of its properties, beside ``id`` and ``op``.
        result: Shape of what comes back.
        root: Whether only root may.
    """

    summary: str
    request: Schema
    result: Schema
    root: bool = False


def _shape(required: str = "", **properties: Schema) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def _result(**properties: Schema) -> dict[str, Any]:
    return _shape(" ".join(properties), **properties)


def _by_interface(description: str, items: Schema) -> dict[str, Any]:
    named = {"description": description, "type": "object", "additionalProperties": _several(items)}
    return _result(interfaces=named)


def _several(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _text(description: str, limit: int, least: int = 0) -> dict[str, Any]:
    return {"description": description, "type": "string", "minLength": least, "maxLength": limit}


def _number(description: str, least: int, most: int, **more: Any) -> dict[str, Any]:
    return {"description": description, "type": "integer", "minimum": least, "maximum": most, **more}


def _or_null(shape: Schema, **more: Any) -> dict[str, Any]:
    return {"description": shape.get("description", ""), "anyOf": [shape, {"type": "null"}], **more}


_policy = _text("Name of a policy.", 32, 1)
_by = {**_text("Who requests it, for the history; the peer of the socket decides what it may.", 254), "default": ""}
_owner = {
    "description": "Whose document it is.",
    "type": "string",
    "pattern": r"^(api|feed:[A-Za-z0-9_.-]{1,63})$",
    "default": "api",
}
_confirm = _or_null(
    _number("Seconds to confirm in, or what was before is back; null for none.", *CONFIRM_SECONDS), default=None
)
_revision = _number("Number of a revision; those of a policy count up from 1.", 0, 1 << 53)
_expected = _or_null({**_revision, "description": "Refuse unless this revision is in force."}, default=None)
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
    },
    default=None,
)
_address = _text("A single IPv4 or IPv6 address.", 64, 2)
_comment = {**_text("Why.", 200), "default": ""}
_interface = _or_null(_text("Only of this one.", 15, 1), default=None)
_flag = {"type": "boolean", "default": False}
_dry_run = {**_flag, "description": "Only say what would change."}

_said = {"type": "string"}
_count = {"type": "integer", "minimum": 0}
_time = {"description": "RFC 3339, UTC.", "type": "string", "pattern": r"^[0-9-]{10}T[0-9:.]{8,12}Z$"}
_sha256 = {"description": "SHA-256 of a policy, over the files of its owners.", "type": "string"}
_lines = {"description": "A line for each part that differs.", **_several(_said)}
_pending = _or_null(
    {
        "description": "What is taken back at its deadline unless it is confirmed.",
        **_result(revision=_revision, deadline=_time, by=_said),
    }
)
_state: Mapping[str, Schema] = {
    "name": _policy,
    "digest": _sha256,
    "interfaces": {"description": "Which it judges.", **_several(_said)},
    "revision": {**_revision, "description": "Which is in force; 0 where it has none yet."},
    "pending": _pending,
}
_changed = _result(
    changed={"type": "boolean"},
    revision={**_revision, "description": "Which is in force now."},
    pending=_pending,
    summary=_lines,
    warnings={"description": "What its writer may not expect.", **_several(_said)},
    flips={
        "description": "Of a dry run: packets of the last minute's samples, and of the inventory's tests, that would "
        "be judged otherwise.",
        **_several(_result(frame=_said, before=_said, after=_said)),
    },
)
_slot = _result(
    slot=_count,
    part={"type": "string", "enum": [key[:-1] for key in IDENTITIES]},
    id=_said,
)
_met = _result(
    part={"description": "Kind and name, such as rule:no-snmp.", "type": "string"},
    packets=_count,
    bytes=_count,
    observed_packets=_count,
    observed_bytes=_count,
    last=_or_null({"description": "When it last matched.", **_time}),
)
_past = _result(
    revision=_revision,
    time=_time,
    owner={"description": "Whose document changed; empty where that is not known.", "type": "string"},
    by=_said,
    name=_said,
    why=_said,
    digest=_sha256,
    summary=_lines,
    state={"type": "string", "enum": ["current", "pending", "superseded", "reverted"]},
)
_banned = {"address": _address, "until": _time, "owner": _said, "by": _said, "comment": _said}
_of_packet = _or_null(_count)
_said_or_null = _or_null(_said)
_sample = _result(
    time=_time,
    interface=_said,
    queue=_count,
    verdict=_said,
    reason=_said,
    part=_said_or_null,
    would={"description": "What the first observed part would have made of it, had one a say.", **_said_or_null},
    would_reason=_said_or_null,
    would_part=_said_or_null,
    length={"description": "Of the frame, in bytes.", **_count},
    source=_said_or_null,
    destination=_said_or_null,
    protocol=_of_packet,
    source_port=_of_packet,
    destination_port=_of_packet,
    vlan=_of_packet,
    frame={"description": "Its first bytes, in hex.", "type": "string"},
)

OPERATIONS: Mapping[str, Operation] = {
    "status": Operation(
        "Every policy in a word, and the number of bans.",
        _shape(),
        _result(policies=_several(_result(**_state)), bans=_count),
    ),
    "get": Operation(
        "A policy as its owners make it together, lists shortened; and one owner's document whole.",
        _shape("policy", policy=_policy, owner=_owner),
        _result(
            **_state,
            document={
                "description": "The policy; a long list has its first prefixes, and `entries`.",
                "type": "object",
            },
            own={"description": "The owner's document.", "type": "object"},
        ),
    ),
    "slots": Operation(
        "What each slot of the map `hits` counts.",
        _shape(),
        _by_interface("By interface.", _slot),
    ),
    "counters": Operation(
        "What each part has matched.",
        _shape(interface=_interface),
        _by_interface("By interface; one whose program cannot be read is left out.", _met),
    ),
    "put": Operation(
        "Replace an owner's document, whole; an empty one removes it.",
        _shape(
            "policy document",
            policy=_policy,
            owner=_owner,
            document={**POLICY, "description": "Its lists, rules, limits and services."},
            expected=_expected,
            confirm=_confirm,
            dry_run=_dry_run,
            name={**_text("A name for the revision.", 64), "default": ""},
            why=_comment,
            by=_by,
            connection=_connection,
        ),
        _changed,
    ),
    "confirm": Operation(
        "Keep what waits to be confirmed.",
        _shape("policy", policy=_policy, revision=_or_null(_revision, default=None), by=_by, connection=_connection),
        _result(revision=_revision),
    ),
    "revert": Operation(
        "Take back what waits to be confirmed, or go back to an owner's document of an earlier revision.",
        _shape(
            "policy",
            policy=_policy,
            owner=_owner,
            revision=_or_null({**_revision, "description": "Which; null for the one before."}, default=None),
            expected=_expected,
            confirm=_confirm,
            dry_run=_dry_run,
            by=_by,
            connection=_connection,
        ),
        _changed,
    ),
    "restore": Operation(
        "Go back to a revision whole, the inventory's part with it, until the playbook runs again; for root alone.",
        _shape(
            "policy revision",
            policy=_policy,
            revision=_revision,
            expected=_expected,
            confirm=_confirm,
            dry_run=_dry_run,
            by=_by,
            connection=_connection,
        ),
        _changed,
        root=True,
    ),
    "history": Operation(
        "The last revisions of a policy, the newest first.",
        _shape("policy", policy=_policy),
        _result(revisions=_several(_past)),
    ),
    "diff": Operation(
        "What differs between two revisions, or between one and what is in force.",
        _shape(
            "policy revision",
            policy=_policy,
            revision=_revision,
            to=_or_null({**_revision, "description": "The other; null for what is in force."}, default=None),
        ),
        _result(summary=_lines),
    ),
    "ban": Operation(
        "Drop what comes from an address for a while; a second ban replaces the first.",
        _shape(
            "address seconds",
            address=_address,
            seconds=_number("How long.", *BAN_SECONDS),
            comment=_comment,
            by=_by,
        ),
        _result(**_banned),
    ),
    "unban": Operation(
        "End a ban.",
        _shape("address", address=_address, by=_by),
        _result(address=_address),
    ),
    "bans": Operation(
        "The bans in force, by address.",
        _shape(
            limit=_number("How many.", 1, BANS_SHOWN, default=BANS_SHOWN),
            after=_or_null({**_address, "description": "Only those behind this address."}, default=None),
        ),
        _result(
            bans=_several(_result(**_banned, packets={**_count, "description": "That it dropped, on all NICs."})),
            total=_count,
        ),
    ),
    "samples": Operation(
        "The last packets that were dropped, or would have been, the newest first.",
        _shape(
            limit=_number("How many.", 1, SAMPLES_SHOWN, default=100),
            interface=_interface,
            reason=_or_null(_text("Only of this one, such as rule_drop.", 32, 1), default=None),
            part=_or_null(_text("Only of this one, such as rule:no-snmp.", 80, 1), default=None),
        ),
        _result(samples=_several(_sample)),
    ),
    "topology": Operation(
        "What the host is made of.",
        _shape(),
        _result(
            name={"description": "What the host calls itself.", "type": "string"},
            topology={
                "description": "As the module host_topology_info returns it, but for irqbalance.",
                "type": "object",
            },
        ),
    ),
}

_id = {
    "description": "Comes back with the answer.",
    "anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 64}, {"type": "null"}],
}
_refused = _result(
    id=_id,
    ok={"enum": [False]},
    error=_result(
        kind={"type": "string", "enum": [*KINDS.values(), FAILED]},
        message=_said,
        reasons={"description": "Each by itself.", **_several(_said)},
    ),
)


def request_schema(op: str) -> dict[str, Any]:
    """Return the shape of a request."""
    shape = OPERATIONS[op].request
    properties = {"id": _id, "op": {"type": "string", "enum": [op]}, **shape["properties"]}
    return {**shape, "required": ["op", *shape["required"]], "properties": properties}


def schema() -> dict[str, Any]:
    """Return all of it as one document, for those who write clients; the policy's schema is in a file beside it."""
    operations = {}
    for op, one in OPERATIONS.items():
        request = request_schema(op)
        if "document" in request["properties"]:
            request["properties"] = {**request["properties"], "document": {"$ref": "policy.schema.json"}}
        answer = _result(id=_id, ok={"enum": [True]}, result=one.result)
        operations[op] = {"description": one.summary, **_result(request=request, answer=answer)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The socket of tripod-policy",
        "description": "A JSON object a line each way; an answer for each request, in order. By operation.",
        **_result(**operations, refusal=_refused),
    }
