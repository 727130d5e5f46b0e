# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether what an operator gave the roles is of the form that they take; for the control node, before any host is met.

Ansible validates a role's arguments where the role begins, which may be after another has changed the host, and of a
list it does not say which entry is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._boot.driver_module import DRIVER
from .._cpu.module import ASSIGNMENT
from .._gateway.options import HOST_SERVICE, MAPPING, SERVICE
from .._hugepages.module import OPTIONS as HUGEPAGES
from .._nic.module import NIC
from .._workers.request import WORKER

Specification = Mapping[str, Any]
# What entries of these lists may hold is written once, in the options of the module that gets them.
ENTRIES: Mapping[str, Specification] = {
    "nic_interfaces": NIC,
    "kernel_drivers": DRIVER,
    "cpu_isolation_assignments": ASSIGNMENT,
    "hugepages_reservations": HUGEPAGES["reservations"]["options"],
    "hugepages_mounts": HUGEPAGES["mounts"]["options"],
    "go_backend_workers": WORKER,
    "marchproxy_services": HOST_SERVICE,
    "marchproxy_extra_services": SERVICE,
    "marchproxy_mappings": MAPPING,
    "marchproxy_extra_mappings": MAPPING,
}
_NAMES = {list: "a list", dict: "a dictionary", str: "a text", bool: "a truth value", type(None): "nothing"}
_SHOWN = 20


def faults(variable: str, option: Specification, value: Any) -> list[str]:
    """Return what is wrong with a variable, each with the variable's name and the place in it.

    Args:
        variable: Its name.
        option: What a role's specification says of it.
        value: What the operator gave.
    """
    found = list(_faults(variable, _completed(variable, option), value))
    hidden = len(found) - _SHOWN
    return found if hidden <= 0 else [*found[:_SHOWN], f"{variable}: and {hidden} more"]


def _completed(variable: str, option: Specification) -> Specification:
    return {**option, "options": ENTRIES[variable]} if variable in ENTRIES else option


def _faults(where: str, option: Specification, value: Any) -> Iterator[str]:
    kind = option.get("type", "str")
    if value is None:
        return  # as Ansible has it, the same as not given
    if kind == "list" and option.get("elements") == "dict":
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield f"{where} is {_kind(value)}, and a list of dictionaries is needed{_example(option)}"
            return
        for place, entry in enumerate(value):
            yield from _entry_faults(f"{where}[{place}]", option.get("options"), entry)
    elif kind == "dict" and option.get("options"):
        yield from _entry_faults(where, option["options"], value)
    elif kind == "dict" and not isinstance(value, Mapping):
        yield f"{where} is {_kind(value)}, and a dictionary is needed"
    else:
        yield from _plain_faults(where, option, value)


def _plain_faults(where: str, option: Specification, value: Any) -> Iterator[str]:
    kind = option.get("type", "str")
    if kind in ("str", "path") and isinstance(value, (list, tuple, Mapping)):
        # Ansible would make a text of it, brackets and all.
        yield f"{where} is {_kind(value)}, and a text is needed"
        return
    plain = {key: option[key] for key in ("type", "elements", "choices") if key in option}
    for words in ArgumentSpecValidator({"value": plain}).validate({"value": value}).error_messages:
        yield _plainly(where, words)


def _entry_faults(where: str, options: Specification | None, entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{where} is {_kind(entry)} ({entry}), and a dictionary is needed{_example({'options': options})}"
        return
    if not options or _is_fine(options, entry):
        return
    where = f"{where} ({entry['name']})" if isinstance(entry.get("name"), str) else where
    aliases = {alias for option in options.values() for alias in option.get("aliases", ())}
    for key in sorted(str(key) for key in entry if key not in options and key not in aliases):
        close = difflib.get_close_matches(key, options, n=1)
        known = f"did you mean {close[0]}?" if close else f"there are {', '.join(options)}"
        yield f"{where}: there is no key {key}; {known}"
    for key, option in options.items():
        if key in entry:
            yield from _faults(f"{where}: {key}", option, entry[key])
        elif option.get("required"):
            yield f"{where}: {key} is missing"


def _is_fine(options: Specification, entry: Mapping[str, Any]) -> bool:
    """Whether an entry is certainly right: of a hundred thousand prefixes all but a few are, and this is fast."""
    if not entry.keys() <= options.keys():
        return False
    for key, option in options.items():
        value = entry.get(key)
        if value is None:
            if option.get("required"):
                return False
        elif (
            option.get("type", "str") != "str"
            or not isinstance(value, str)
            or value not in option.get("choices", (value,))
        ):
            return False
    return True


def _kind(value: Any) -> str:
    return next((words for kind, words in _NAMES.items() if isinstance(value, kind)), f"a {type(value).__name__}")


def _example(option: Specification) -> str:
    keys = [key for key, one in (option.get("options") or {}).items() if one.get("required")]
    return f": write {{{', '.join(f'{key}: ...' for key in keys)}}}" if keys else ""


def _plainly(where: str, words: str) -> str:
    """Return the validator's words about its ``value`` as words about a variable."""
    for before, after in (
        ("value of value must be one of", f"{where} must be one of"),
        ("value of value must be one or more of", f"{where} must be one or more of"),
        ("argument 'value' is of type", f"{where} is of type"),
        ("Elements value for option 'value' is of type", f"an element of {where} is of type"),
    ):
        if words.startswith(before):
            return after + words[len(before) :]
    return f"{where}: {words}"
