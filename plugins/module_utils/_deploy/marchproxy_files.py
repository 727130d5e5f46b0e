# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The import files of the MarchProxy gateway: validated, and rendered the way its specification prints them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed, Change, Findings, Invalid, Refused
from .._core.errors import reason
from .._core.system import Host

FILES = ("services.json", "mappings.json", "import-config.json")
EXTERNAL = "external"  # a source or destination outside of the described services

# In the order the specification prints them.
SERVICE_KEYS = (
    "name",
    "ip_fqdn",
    "port",
    "protocol",
    "collection",
    "auth_type",
    "tls_enabled",
    "health_check_enabled",
    "health_check_path",
    "health_check_interval",
)
MAPPING_KEYS = (
    "name",
    "description",
    "source_services",
    "dest_services",
    "listen_port",
    "protocol",
    "path_prefix",
)

# Of the module's options, and of the roles' variables that become them.
SERVICE = {
    "name": {"type": "str", "required": True},
    "ip_fqdn": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    # No choices here: Ansible would stop at the first bad value, the core reports every one.
    "protocol": {"type": "str", "default": "http"},
    "collection": {"type": "str"},
    "auth_type": {"type": "str", "default": "none"},
    "tls_enabled": {"type": "bool", "default": False},
    "health_check_enabled": {"type": "bool", "default": True},
    "health_check_path": {"type": "str", "default": "/healthz"},
    "health_check_interval": {"type": "int", "default": 30},
}
MAPPING = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    "source_services": {"type": "list", "elements": "str", "required": True},
    "dest_services": {"type": "list", "elements": "str", "required": True},
    "listen_port": {"type": "int", "required": True},
    "protocol": {"type": "str", "default": "https"},
    "path_prefix": {"type": "str", "default": "/"},
}

# The server does not check these on update, and a bad value stored there breaks its every answer: so all limits are
# enforced before anything is rendered. grpc is the specification's own and for its import only.
PROTOCOLS = ("http", "https", "grpc", "tcp", "udp")
AUTH_TYPES = ("none", "jwt", "base64")
NAME_LIMIT = 100
HOST_LIMIT = 255
COLLECTION_LIMIT = 100
HEALTH_PATH_LIMIT = 255
PORT_RANGE = (1, 65535)
INTERVAL_RANGE = (5, 2**31 - 1)  # seconds; the upper end is the database's integer


@dataclass(frozen=True)
class Gateway:
    """What the gateway is to import.

    Attributes:
        services: Each with all of SERVICE_KEYS; ``collection`` and ``health_check_path`` may be None.
        mappings: Each with all of MAPPING_KEYS.
        metadata: ``app_name``, ``generated_by`` and ``version``.
    """

    services: Sequence[Mapping[str, Any]]
    mappings: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, str]


class ImportFiles:
    """The resource: the three import files in one directory; other files there are left alone."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def read(self, host: Host) -> dict[str, str | None]:
        """Return the text of each file, or None."""
        return {name: _text(host, self._path(name)) for name in FILES}

    def validate(self, desired: Gateway | None, state: Mapping[str, str | None]) -> None:
        """Raise with every field that is out of its limits, by index and name."""
        wrong = Findings()
        if not os.path.isabs(self.directory):
            wrong.add(f"directory {self.directory} is not absolute")
        if desired:
            for reason in (*_check_services(desired.services), *_check_mappings(desired)):
                wrong.add(reason)
            for key, text in desired.metadata.items():
                for reason in _check_text("metadata", key, text, 1, NAME_LIMIT):
                    wrong.add(reason)
        wrong.raise_if_any(Invalid, "MarchProxy files")

    def plan(self, desired: Gateway | None, state: Mapping[str, str | None]) -> list[Change]:
        """Return the files whose text differs; None requests none of them."""
        texts: Mapping[str, str | None] = render(desired) if desired else dict.fromkeys(FILES)
        return [Change((self._path(name),), state[name], text) for name, text in texts.items() if text != state[name]]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Replace or remove each file as a whole."""
        for change in changes:
            (path,) = change.path
            try:
                host.remove(path) if change.after is None else host.write_atomically(path, change.after)
            except OSError as error:
                raise ApplyFailed(f"{path}: {reason(error)}") from error

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"


def render(gateway: Gateway) -> dict[str, str]:
    """Return the text of each file by its name."""
    services = [{key: service[key] for key in SERVICE_KEYS} for service in gateway.services]
    mappings = [{key: mapping[key] for key in MAPPING_KEYS} for mapping in gateway.mappings]
    contents = (
        {"services": services},
        {"mappings": mappings},
        {"services": services, "mappings": mappings, "metadata": dict(gateway.metadata)},
    )
    return {name: to_json(content) + "\n" for name, content in zip(FILES, contents)}


def to_json(value: Any, indent: str = "") -> str:
    """Return JSON as the specification prints it: two spaces, and lists of plain values on one line."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(key)}: {to_json(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        lines = [inner + to_json(item, inner) for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def _text(host: Host, path: str) -> str | None:
    # Host.read() drops the last newline, and these files are compared to the byte.
    try:
        return host.path(path).read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {reason(error)}; remove it or choose another directory") from error


def _check_services(services: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from _check_unique("services", services)
    for index, service in enumerate(services):
        where = f"services[{index}] ({service['name']})"
        yield from _check_text(where, "name", service["name"], 1, NAME_LIMIT)
        yield from _check_text(where, "ip_fqdn", service["ip_fqdn"], 1, HOST_LIMIT)
        yield from _check_range(where, "port", service["port"], PORT_RANGE)
        yield from _check_choice(where, "protocol", service["protocol"], PROTOCOLS)
        yield from _check_choice(where, "auth_type", service["auth_type"], AUTH_TYPES)
        yield from _check_range(where, "health_check_interval", service["health_check_interval"], INTERVAL_RANGE)
        if service["collection"] is not None:
            yield from _check_text(where, "collection", service["collection"], 0, COLLECTION_LIMIT)
        if service["health_check_path"] is not None:
            yield from _check_text(where, "health_check_path", service["health_check_path"], 0, HEALTH_PATH_LIMIT)
            if not service["health_check_path"].startswith("/"):
                yield f"{where}: health_check_path '{service['health_check_path']}' does not start with '/'"
        elif service["health_check_enabled"]:
            yield f"{where}: health_check_enabled is true without a health_check_path"


def _check_mappings(gateway: Gateway) -> Iterator[str]:
    known = [service["name"] for service in gateway.services]
    yield from _check_unique("mappings", gateway.mappings)
    for index, mapping in enumerate(gateway.mappings):
        where = f"mappings[{index}] ({mapping['name']})"
        yield from _check_text(where, "name", mapping["name"], 1, NAME_LIMIT)
        yield from _check_range(where, "listen_port", mapping["listen_port"], PORT_RANGE)
        yield from _check_choice(where, "protocol", mapping["protocol"], PROTOCOLS)
        for field in ("source_services", "dest_services"):
            if not mapping[field]:
                yield f"{where}: {field} is empty"
            for name in mapping[field]:
                if name not in (*known, EXTERNAL):
                    yield f"{where}: {field} names '{name}', which is neither {EXTERNAL} nor one of: {', '.join(known)}"
        if not mapping["path_prefix"].startswith("/"):
            yield f"{where}: path_prefix '{mapping['path_prefix']}' does not start with '/'"
    routes = [
        (mapping["listen_port"], mapping["protocol"], mapping["path_prefix"], sorted(mapping["source_services"]))
        for mapping in gateway.mappings
    ]
    for index, route in enumerate(routes):
        first = routes.index(route)
        if first != index:
            yield (
                f"mappings[{index}] ({gateway.mappings[index]['name']}): source_services, listen_port, protocol and "
                f"path_prefix are those of mappings[{first}], so one of the two could never be reached"
            )


def _check_unique(what: str, items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [item["name"] for item in items]
    for index, name in enumerate(names):
        if names.index(name) != index:
            yield f"{what}[{index}] ({name}): name is already that of {what}[{names.index(name)}]"


def _check_text(where: str, field: str, text: str, low: int, high: int) -> Iterator[str]:
    if not low <= len(text) <= high:
        yield f"{where}: {field} has {len(text)} characters, {low} to {high} are accepted"
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        yield f"{where}: {field} holds a control character"


def _check_range(where: str, field: str, number: int, limits: tuple[int, int]) -> Iterator[str]:
    low, high = limits
    if not low <= number <= high:
        yield f"{where}: {field} {number} is outside {low} to {high}"


def _check_choice(where: str, field: str, value: str, choices: Sequence[str]) -> Iterator[str]:
    if value not in choices:
        yield f"{where}: {field} '{value}' is none of {', '.join(choices)}"
