# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The short form of a policy: prefixes with an action each, as lists of a document and back; pure functions.

A list has one action, so that entries with two become two lists. The longest prefix over both decides, as it did when
all were in one trie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._policy.prefix import Prefix, parse_prefix

# By owner and action.
LISTS: Mapping[str, Mapping[str, str]] = {
    "inventory": {"drop": "acl", "pass": "acl-pass"},
    "api": {"drop": "api", "pass": "api-pass"},
}


def to_document(entries: Mapping[Prefix, str], owner: str) -> dict[str, Any]:
    """Return the document of an owner who has these entries and nothing else; empty where there are none."""
    lists = [
        {
            "name": name,
            "action": action,
            "prefixes": [str(prefix) for prefix in sorted(entries) if entries[prefix] == action],
        }
        for action, name in LISTS[owner].items()
        if action in entries.values()
    ]
    return {"lists": lists} if lists else {}


def to_entries(document: Mapping[str, Any], owner: str) -> dict[Prefix, str]:
    """Return the entries of an owner's document; those of its lists that the short form has."""
    actions = {name: action for action, name in LISTS[owner].items()}
    return {
        parse_prefix(prefix): actions[one["name"]]
        for one in document.get("lists", ())
        if one["name"] in actions
        for prefix in one.get("prefixes", ())
        if isinstance(prefix, str)
    }


def replaced(document: Mapping[str, Any], entries: Mapping[Prefix, str], owner: str) -> dict[str, Any]:
    """Return an owner's document with these entries in the lists of the short form; its other parts stay."""
    others = [one for one in document.get("lists", ()) if one["name"] not in LISTS[owner].values()]
    lists = [*to_document(entries, owner).get("lists", ()), *others]
    rest = {key: value for key, value in document.items() if key != "lists"}
    return {**rest, "lists": lists} if lists else rest
