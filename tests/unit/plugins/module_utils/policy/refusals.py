"""Policies that are refused, and what is said of them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse


def reasons(document, texts=None, **options):
    """Return everything that is wrong with a document."""
    with pytest.raises(Invalid, match="the policy is not valid, nothing was changed: ") as caught:
        parse(document, texts, **options)
    return caught.value.facts["reasons"]


def said_of(kind, part, **others):
    """Return what is wrong with one part, without the place, which is always the same."""
    label = "id" if kind == "rules" else "name"
    found = reasons({kind: [{label: "x", **part}], **others})
    assert all(one.startswith(f"{kind}[0] (x)") for one in found)
    return [one.removeprefix(f"{kind}[0] (x)").lstrip(": ") for one in found]
