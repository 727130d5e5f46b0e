# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The shape of the files that a MarchProxy gateway imports, with its server's limits, as JSON Schemas.

The server checks few of these limits on an update, and what it then stores makes its every answer an error, so they
hold for all that is sent. What a shape cannot say, ``validate`` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import EXTERNAL, MAPPING_KEYS, SERVICE_KEYS

NAME_LIMIT = 100
HOST_LIMIT = 255
# grpc is the specification's own: the server of single requests refuses it.
PROTOCOLS = ("http", "https", "grpc", "tcp", "udp")
SERVED_PROTOCOLS = tuple(one for one in PROTOCOLS if one != "grpc")
AUTH_TYPES = ("none", "jwt", "base64")
INTERVAL_RANGE = (5, 2**31 - 1)  # seconds; the upper end is the database's integer

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
# Halves of surrogate pairs are no characters: no file and no request can hold them.
_PLAIN = r"^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]*$"
_PATH = r"^/[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]*$"

Schema = Mapping[str, Any]


def _text(description: str, low: int, high: int, pattern: str = _PLAIN) -> dict[str, Any]:
    text = {"description": description, "type": "string", "minLength": low, "maxLength": high}
    return {**text, "pattern": pattern} if pattern else text


def _number(description: str, low: int, high: int) -> dict[str, Any]:
    return {"description": description, "type": "integer", "minimum": low, "maximum": high}


def _choice(description: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {"description": description, "type": "string", "enum": list(values)}


def _truth(description: str) -> dict[str, Any]:
    return {"description": description, "type": "boolean"}


def _or_null(shape: Schema) -> dict[str, Any]:
    return {"description": shape["description"], "anyOf": [shape, {"type": "null"}]}


def _names(description: str) -> dict[str, Any]:
    items = _text("Name of a service", 1, NAME_LIMIT)
    return {"description": description, "type": "array", "minItems": 1, "items": items}


def _object(properties: Mapping[str, Schema], required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": dict(properties),
    }


def _file(title: str, description: str, parts: Mapping[str, Schema], required: tuple[str, ...]) -> dict[str, Any]:
    return {"$schema": _DRAFT, "title": title, "description": description, **_object(parts, required)}


_NAME = f"Name, 1 to {NAME_LIMIT} characters without control characters; each once"
_PORT = (1, 65535)

SERVICE = _object(
    {
        "name": _text(_NAME, 1, NAME_LIMIT),
        "ip_fqdn": _text("Address or host name that the gateway reaches, without control characters", 1, HOST_LIMIT),
        "port": _number("Port", *_PORT),
        "protocol": _choice("Protocol", PROTOCOLS),
        "collection": _or_null(_text("Group of services, without control characters", 0, NAME_LIMIT)),
        "auth_type": _choice("How the gateway authenticates callers", AUTH_TYPES),
        "tls_enabled": _truth("Whether the gateway speaks TLS to the service"),
        "tls_verify": _truth("Whether the gateway verifies the service's certificate"),
        "health_check_enabled": _truth("Whether the gateway checks the service's health"),
        "health_check_path": _or_null(
            _text("Path or gRPC method of the check, beginning with /", 1, HOST_LIMIT, _PATH)
        ),
        "health_check_interval": _number("Seconds between checks", *INTERVAL_RANGE),
    },
    SERVICE_KEYS,
)
MAPPING = _object(
    {
        "name": _text(_NAME, 1, NAME_LIMIT),
        "description": _text("A sentence for people, without control characters", 0, 1000),
        "source_services": _names(f"Names of services, or {EXTERNAL}"),
        "dest_services": _names(f"Names of services, or {EXTERNAL}"),
        "listen_port": _number("Port of the gateway", *_PORT),
        "protocol": _choice("Protocol", PROTOCOLS),
        "path_prefix": _text("Beginning of the request's path, itself beginning with /", 1, 1000, _PATH),
    },
    MAPPING_KEYS,
)
METADATA = _object(
    {
        "app_name": _text("The application's name, without control characters", 1, NAME_LIMIT),
        "generated_by": _text("What made the file, without control characters", 1, NAME_LIMIT),
        "version": _text("The application's release, without control characters", 1, NAME_LIMIT),
    },
    ("app_name", "generated_by", "version"),
)

_SERVICES = {"description": "The services behind the gateway.", "type": "array", "items": SERVICE}
_MAPPINGS = {"description": "Which traffic reaches which service.", "type": "array", "items": MAPPING}

SERVICES_FILE = _file("services.json", "Services of a MarchProxy gateway.", {"services": _SERVICES}, ("services",))
MAPPINGS_FILE = _file("mappings.json", "Mappings of a MarchProxy gateway.", {"mappings": _MAPPINGS}, ("mappings",))
IMPORT_FILE = _file(
    "import-config.json",
    "What a MarchProxy gateway imports; mappings are left out where there are none.",
    {"services": _SERVICES, "mappings": _MAPPINGS, "metadata": METADATA},
    ("services", "metadata"),
)

# A server's rows of one collection before an import, without secrets. Somebody else may have written them, so of texts
# the server's own limits hold; a field that a server does not list is not there.
_ROW = _object(
    {
        **SERVICE["properties"],
        "name": _text("Name", 1, NAME_LIMIT, ""),
        "ip_fqdn": _text("Address or host name", 1, HOST_LIMIT, ""),
        "health_check_path": _or_null(_text("Path or gRPC method of the check", 0, HOST_LIMIT, "")),
        "is_active": _truth("Whether it gets traffic; false of one that was deleted softly"),
    },
    ("name", "ip_fqdn", "port", "is_active"),
)
ROLLBACK_FORMAT = 1
ROLLBACK_FILE = _file(
    "rollback file",
    "What a MarchProxy gateway held of one collection before an import, to go back to.",
    {
        "format": _number("Of this file", ROLLBACK_FORMAT, ROLLBACK_FORMAT),
        "server": _text("Address of the API, without control characters", 1, 2000),
        "cluster_id": _or_null(_number("Of the server's clusters", 0, 2**31 - 1)),
        "collection": _text("The application's name, without control characters", 1, NAME_LIMIT),
        "services": {"description": "Its services, active or not.", "type": "array", "items": _ROW},
    },
    ("format", "server", "cluster_id", "collection", "services"),
)
