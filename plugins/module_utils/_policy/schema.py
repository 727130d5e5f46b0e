# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The shape of a policy as people and programs write it: one JSON Schema for inventory, API and agent.

What a shape cannot say, such as that a limit is named, ``request`` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import ICMP_TYPES, PROTOCOLS, TCP_FLAGS
from .layout import MAX_LIMITS, MAX_LISTS, MAX_RULES, MAX_SERVICES

MAX_PREFIXES = 1_000_000
# Of a rule, each side.
MAX_SIDES = 1024
_MAX_ALTERNATIVES = 256

ACTIONS = ("pass", "drop")
MODES = ("enforce", "observe")
SCOPES = ("source", "service", "global")

# Begins with a letter, so that no prefix looks like one.
NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
_LIMIT_OF = r"limit:[A-Za-z][A-Za-z0-9_.-]{0,62}"
_WORKER_OF = r"afxdp:[A-Za-z][A-Za-z0-9_.-]{0,62}"
_NUMBERS = r"^[0-9]{1,5}(-[0-9]{1,5})?$"
_RATE = r"^[0-9]+[kMG]?/(s|m|h)$"
_AMOUNT = r"^[0-9]+[kMG]?$"
_TIME = (
    r"^([0-9]+[smhdw]|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2}))$"
)

Schema = Mapping[str, Any]


def _one(description: str, **shape: Any) -> dict[str, Any]:
    return {"description": description, **shape}


def _text(description: str, pattern: str) -> dict[str, Any]:
    return {"description": description, "type": "string", "pattern": pattern}


def _choice(description: str, values: tuple[str, ...], default: str | None = None) -> dict[str, Any]:
    choice = {"description": description, "type": "string", "enum": list(values)}
    return choice if default is None else {**choice, "default": default}


def _object(description: str, required: tuple[str, ...] = (), **properties: Schema) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _array(description: str, items: Schema, limit: int) -> dict[str, Any]:
    return {"description": description, "type": "array", "maxItems": limit, "items": items}


def _some(description: str, *shapes: Schema, limit: int = _MAX_ALTERNATIVES) -> dict[str, Any]:
    """Return the shape of one value or several, any of which will do."""
    several = {"type": "array", "minItems": 1, "maxItems": limit, "items": {"anyOf": list(shapes)}}
    return {"description": description, "anyOf": [*shapes, several]}


def _numbers(description: str, highest: int, *words: str) -> dict[str, Any]:
    shapes: list[Schema] = [{"type": "integer", "minimum": 0, "maximum": highest}]
    shapes.append({"type": "string", "pattern": _NUMBERS} if not words else _words_or(_NUMBERS, words))
    return _some(description, *shapes)


def _words_or(pattern: str, words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "pattern": f"{pattern}|^({'|'.join(words)})$"}


_name = _text("A name: a letter, then letters, digits, '_', '.' and '-', 63 in all.", NAME)
_comment = _one("For people.", type="string", maxLength=256)
_owner = _one(
    "Who wrote it: inventory, api or feed:NAME. Set by the host, not by the writer.",
    type="string",
    pattern=r"^(inventory|api|feed:[A-Za-z0-9_.-]{1,63})$",
)
_mode = _choice("Whether it decides, or is only counted and sampled.", MODES, "enforce")
_limit = _text("Name of the limit that is taken.", NAME)
_expires = _one(
    "When it ends: a duration (30m, 24h, 7d), a time with its zone (2026-12-01T00:00:00Z), or seconds since 1970.",
    anyOf=[{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _TIME}],
)
_prefix = _one("An IPv4 or IPv6 prefix without host bits, or an address.", type="string", minLength=2, maxLength=64)
_protocol = _some(
    f"Protocol: a number up to 255, or one of {', '.join(PROTOCOLS)}; several match any.",
    {"type": "integer", "minimum": 0, "maximum": 255},
    _words_or(r"^[0-9]{1,3}$", tuple(PROTOCOLS)),
)
_port = _numbers("A port such as 53 or a range such as 1024-2047; several match any.", 65535)
_later = _choice(
    "What becomes of later fragments, which have no ports, TCP flags and ICMP type: match takes all those of its "
    "protocol and addresses, skip none.",
    ("skip", "match"),
    "skip",
)
_flags = _array("TCP flags.", {"type": "string", "enum": list(TCP_FLAGS)}, len(TCP_FLAGS))
_side = _some(
    "A prefix or the name of a list; several match any.",
    {"type": "string", "minLength": 1, "maxLength": 64},
    limit=MAX_SIDES,
)
_amount = _one(
    "A number of packets or bytes; k, M and G are thousands of their kind.",
    anyOf=[{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _AMOUNT}],
)

TRUSTED = _one(
    "What must never be cut: a prefix of sources, or a flow by protocol and destination port.",
    anyOf=[
        _object("A source.", ("prefix",), prefix=_prefix, comment=_comment),
        _object("A flow.", ("protocol",), protocol=_protocol, port=_port, later_fragments=_later, comment=_comment),
    ],
)
ENTRY = _one(
    "A prefix, alone or with the time at which it ends.",
    anyOf=[_prefix, _object("An entry.", ("prefix",), prefix=_prefix, expires=_expires, comment=_comment)],
)
LIST = _object(
    "A named set of prefixes; the longest prefix of all lists decides, ties go to the list that comes first.",
    ("name",),
    name=_name,
    action=_text("One of drop, pass, none (rules name it) and limit:NAME.", rf"^(drop|pass|none|{_LIMIT_OF})$"),
    mode=_mode,
    prefixes=_array("Its entries.", ENTRY, MAX_PREFIXES),
    file=_one("A file of more entries, a prefix a line; what follows # or ; is a comment.", type="string", minLength=1),
    sha256=_text("Digest of the file.", r"^[0-9a-f]{64}$"),
    expires=_expires,
    max_entries=_one("How many entries it may have.", type="integer", minimum=1, maximum=MAX_PREFIXES),
    owner=_owner,
    comment=_comment,
)
RULE = _object(
    "Decides by more than the source; the first that matches in all its fields does. It takes an action or a limit.",
    ("id",),
    id=_name,
    source=_side,
    destination=_side,
    protocol=_protocol,
    source_port=_port,
    destination_port=_port,
    tcp_flags=_object("Flags that must be set, and that must not.", set=_flags, clear=_flags),
    icmp_type=_numbers(
        f"Type of ICMP or ICMPv6: a number or range, or one of {', '.join(ICMP_TYPES)}; several match any.",
        255,
        *ICMP_TYPES,
    ),
    vlan=_numbers("Outermost VLAN: a number or range, or none for untagged; several match any.", 4095, "none"),
    fragment=_choice("Only first, or only later fragments.", ("first", "later")),
    length=_numbers("Bytes of the frame: a number or range, longer ones as 65535; several match any.", 65535),
    later_fragments=_later,
    action=_text("One of pass, drop and limit:NAME.", rf"^(pass|drop|{_LIMIT_OF})$"),
    limit=_limit,
    mode=_mode,
    owner=_owner,
    comment=_comment,
)
LIMIT = _object(
    "Token buckets: what exceeds a rate is dropped, the rest goes on.",
    ("name",),
    name=_name,
    packets=_text("Packets a second, minute or hour, such as 50/s.", _RATE),
    bytes=_text("Bytes a second, minute or hour, such as 200M/s.", _RATE),
    burst=_one(
        "What may come at once; one second's worth where it is not given.",
        anyOf=[*_amount["anyOf"], _object("Of a limit in both.", packets=_amount, bytes=_amount)],
    ),
    per=_choice("What has a bucket of its own.", SCOPES, "source"),
    ipv4_prefix=_one("Length of the IPv4 sources that share one.", type="integer", minimum=0, maximum=32, default=32),
    ipv6_prefix=_one("Length of the IPv6 sources that share one.", type="integer", minimum=48, maximum=128, default=64),
    every_packet=_one("Whether all packets take it that are neither trusted nor passed before.", type="boolean"),
    mode=_mode,
    owner=_owner,
    comment=_comment,
)
SERVICE = _object(
    "What the host offers: the first that matches is taken.",
    ("name",),
    name=_name,
    protocol=_protocol,
    destination=_side,
    port=_port,
    later_fragments=_later,
    action=_text(
        "One of pass, drop, syncookie, limit:NAME and afxdp:NAME. A connection that syncookie answered has an MSS, and "
        "no window scaling, SACK or timestamps; it answers under attack only, unless net.ipv4.tcp_syncookies is 2.",
        rf"^(pass|drop|syncookie|{_LIMIT_OF}|{_WORKER_OF})$",
    ),
    limit=_limit,
    owner=_owner,
    comment=_comment,
)
POLICY = _object(
    "How packets are judged: trusted, lists, rules, limits, services, default, in order.",
    trusted=_array("What must never be cut.", TRUSTED, MAX_PREFIXES),
    lists=_array("Sets of prefixes.", LIST, MAX_LISTS - 1),
    rules=_array("Rules, in order.", RULE, MAX_RULES),
    limits=_array("Limits.", LIMIT, MAX_LIMITS - 1),
    services=_array("Services.", SERVICE, MAX_SERVICES),
    default=_choice("What becomes of a packet that nothing decided.", ACTIONS, "pass"),
)
SCHEMA: Schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tripod policy", **POLICY}
