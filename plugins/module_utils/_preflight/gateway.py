# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether what a host serves can be described to the gateway, and whether its server can be asked: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._core.converge import CoreError
from .._gateway.options import HOST_SERVICE, MAPPING, SERVICE
from .._gateway.render import Instance, describe
from .._gateway.run_module import ENVIRONMENT, OPTIONS, SECRETS
from .._gateway.run_module import faults as connection_faults
from .._gateway.validate import faults

_FILES = ("ca_file", *(f"{name}_file" for name in SECRETS))
_LISTS = {
    "services": HOST_SERVICE,
    "extra_services": SERVICE,
    "mappings": MAPPING,
    "extra_mappings": MAPPING,
}

# Returns a variable of the role marchproxy by its name without the role's, worked out; None where there is none.
Value = Callable[[str], Any]


def refusals(
    host: str, fallback: str, value: Value, environment: Mapping[str, str], readable: Callable[[str], bool]
) -> Iterator[str]:
    """Yield why the gateway cannot be brought to what a host serves.

    Args:
        host: Its name in the inventory.
        fallback: Where it is reached, where nothing else says so.
        value: Returns a variable.
        environment: The control node's.
        readable: Whether a file of the control node can be read.
    """
    found = [*_of_server(value, environment, readable)] if value("api") else []
    yield from (f"marchproxy: {said}" for said in [*found, *_of_host(host, fallback, value)])


def _of_server(value: Value, environment: Mapping[str, str], readable: Callable[[str], bool]) -> Iterator[str]:
    given: dict[str, Any] = {name: value(name) or environment.get(ENVIRONMENT.get(name, "")) for name in OPTIONS}
    yield from connection_faults(given)
    yield from (
        f"{name}: {given[name]} cannot be read on the control node"
        for name in _FILES
        if given[name] and not readable(given[name])
    )
    if given["cluster_id"] and not str(given["cluster_id"]).isdigit():
        yield f"cluster_id {given['cluster_id']!r} is no number: give a name as marchproxy_cluster"


def _of_host(host: str, fallback: str, value: Value) -> Iterator[str]:
    lists = _typed({name: value(name) or [] for name in _LISTS})
    # A mapping may name what another host serves, so with several of them only the whole description tells.
    alone = len(value("hosts") or ()) <= 1
    mappings = [*lists["mappings"], *lists["extra_mappings"]] if alone else []
    metadata = {"app_name": value("app_name"), "generated_by": "preflight", "version": value("app_version")}
    instance = Instance(host, lists["services"], value("address") or "", fallback)
    try:
        described = describe([instance], lists["extra_services"], mappings, metadata)
    except CoreError as error:
        yield str(error)
        return
    yield from faults(described.document, local_names=bool(value("local_names")) or not value("api"))


def _typed(lists: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the module gets: numbers for texts of templates, and defaults. Wrong types were said already."""
    specification = {name: {"type": "list", "elements": "dict", "options": options} for name, options in _LISTS.items()}
    typed: Mapping[str, Any] = ArgumentSpecValidator(specification).validate(dict(lists)).validated_parameters
    return typed
