# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The import files of the MarchProxy gateway: from what hosts run to the text that its specification prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import Invalid
from .model import Gateway
from .validate import is_loopback, is_unspecified

SERVICES, MAPPINGS, IMPORT = FILES = ("services.json", "mappings.json", "import-config.json")
_OPTIONAL = ("ip_fqdn", "published", "tls_verify")


@dataclass(frozen=True)
class Instance:
    """A host that runs the application.

    Attributes:
        host: Its name in the inventory, which becomes the end of its services' names.
        services: Each of the shape of a service. One without ``ip_fqdn`` is on this host, and may have ``published``,
            the address that its port is bound to there; one with it is somewhere else, and stands for itself, once,
            however many hosts describe it.
        address: At which the gateway reaches it, as the operator says; empty where he says nothing.
        fallback: Where there is no better one; empty for the host's name.
    """

    host: str
    services: Sequence[Mapping[str, Any]]
    address: str = ""
    fallback: str = ""

    def reached(self, published: str | None) -> str:
        """Return where a service is reached by the address that its port is bound to.

        What is bound to a loopback address is reached nowhere else, whatever the operator says, and refused for it.
        """
        if published and is_loopback(published):
            return published
        bound = published if published and not is_unspecified(published) else ""
        return self.address or bound or self.fallback or self.host


@dataclass(frozen=True)
class Described:
    """Attributes:
    document: Of the shape of ``import-config.json``, not yet checked.
    names: Of the services of each host.
    """

    document: dict[str, Any]
    names: dict[str, list[str]]


def describe(
    instances: Sequence[Instance],
    services: Sequence[Mapping[str, Any]],
    mappings: Sequence[Mapping[str, Any]],
    metadata: Mapping[str, str],
    host_names: bool = False,
) -> Described:
    """Return what the gateway is to import of an application on one host or several.

    A service is named ``{app}-{service}`` as it is described, or with host_names ``{app}-{service}-{host}``: the name
    depends on nothing but its own host, so no host that comes or goes changes another's, and all of a service begin
    alike. Where a mapping names ``{app}-{service}``, it gets that of every host.

    Args:
        instances: In the order of the inventory.
        services: Others, which are on none of the hosts; each with ``ip_fqdn``.
        mappings: Of the shape of a mapping.
        metadata: ``app_name``, ``generated_by`` and ``version``.
        host_names: Whether names end in the host's. A site that may get a second host has it from the beginning.

    Raises:
        Invalid: Several hosts would have services of the same names.
    """
    if len(instances) > 1 and not host_names:
        hosts = ", ".join(instance.host for instance in instances)
        raise Invalid(f"{hosts}: services of several hosts have their hosts' names in theirs: set host_names")
    described: list[dict[str, Any]] = []
    placed: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for instance in instances:
        own = names.setdefault(instance.host, [])
        for given in instance.services:
            service = _present(given)
            published = service.pop("published", None)
            if "ip_fqdn" not in service:
                plain = str(service.get("name", ""))
                service["name"] = f"{plain}-{instance.host}" if host_names else plain
                service["ip_fqdn"] = instance.reached(published)
                placed.setdefault(plain, []).append(service["name"])
                own.append(service["name"])
            if service not in described:
                described.append(service)
    described += [_present(given) for given in services]
    routed = [_routed(mapping, placed) for mapping in mappings]
    document = {"services": described, **({"mappings": routed} if routed else {}), "metadata": dict(metadata)}
    return Described(document, names)


def _present(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without the options that Ansible fills with None, or a template with an empty text."""
    return {key: value for key, value in given.items() if key not in _OPTIONAL or value not in (None, "")}


def _routed(mapping: Mapping[str, Any], placed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    sides = {
        side: [name for given in mapping[side] for name in placed.get(given, [given])]
        for side in ("source_services", "dest_services")
        if side in mapping
    }
    return {**mapping, **sides}


def render(gateway: Gateway) -> dict[str, str]:
    """Return the text of each file by its name, to the byte as the specification's samples and its generator have it.

    The import file has no mappings where there are none, and, as the generator writes it, no newline at its end.
    """
    services = [service.exported() for service in gateway.services]
    mappings = [mapping.exported() for mapping in gateway.mappings]
    routed = {"mappings": mappings} if mappings else {}
    return {
        SERVICES: to_json({"services": services}) + "\n",
        MAPPINGS: to_json({"mappings": mappings}) + "\n",
        IMPORT: to_json({"services": services, **routed, "metadata": dict(gateway.metadata)}),
    }


def to_json(value: Any, indent: str = "") -> str:
    """Return JSON as the specification prints it: two spaces, and lists of plain values on one line."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(key)}: {to_json(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        lines = [inner + to_json(item, inner) for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value)
