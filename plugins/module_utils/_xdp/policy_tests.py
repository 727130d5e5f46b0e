# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an operator expects of a policy: packets, and what has to become of them before it may come into force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import CoreError, Findings, Invalid
from .._policy.frame import build

# A part in observe mode is as good an answer as one that is enforced: the verdict says which it was.
_ALSO: Mapping[str, str] = {"list": "observed_list", "rule": "observed_rule"}
_LIMIT = "limit"
EXPECTATIONS = ("verdict", "reason", "would", "trusted", "banned", "list", "rule", _LIMIT, "service")


@dataclass(frozen=True)
class PolicyTest:
    """A packet, and what has to become of it.

    Attributes:
        place: What messages call it.
        frame: From the Ethernet header on.
        expect: Out of EXPECTATIONS; a part by its name, and None for none.
    """

    place: str
    frame: bytes
    expect: Mapping[str, Any]


def read_tests(options: Sequence[Mapping[str, Any]]) -> list[PolicyTest]:
    """Return the tests in a module's options, each with ``frame`` and ``expect``.

    Raises:
        Invalid: A packet is none, or what is expected is nothing that there is; every reason at once.
    """
    findings, found = Findings(), []
    for number, one in enumerate(options):
        place, expect = f"tests[{number}]", one["expect"]
        unknown = [str(key) for key in expect if key not in EXPECTATIONS]
        if unknown or not expect:
            findings.add(f"{place}.expect: {', '.join(unknown) or 'it is empty'}; there are {', '.join(EXPECTATIONS)}")
        try:
            found.append(PolicyTest(place, build(one["frame"], f"{place}.frame"), expect))
        except CoreError as error:
            for reason in error.facts.get("reasons") or [str(error)]:
                findings.add(reason)
    findings.raise_if_any(Invalid, "the policy's tests are not valid, nothing was changed")
    return found


def failures(tests: Sequence[PolicyTest], judge: Callable[[bytes], Mapping[str, Any]]) -> Iterator[str]:
    """Yield what does not become of packets as expected.

    Args:
        tests: From ``read_tests``.
        judge: Says what becomes of a frame; see ``policy_twin.Twin.judge``.
    """
    for test in tests:
        said = judge(test.frame)
        wrong = [
            f"{key} is {_show(found[0])}, {_show(expected)} is expected"
            for key, expected in test.expect.items()
            if expected not in (found := _answers(said, key))
        ]
        if wrong:
            by = f"; {said['verdict']} by reason {said['reason']}"
            yield f"{test.place}: {', '.join(wrong)}{by}"


def _answers(said: Mapping[str, Any], key: str) -> list[Any]:
    """Return what answers a question; the first is shown."""
    if key == _LIMIT:
        return [one["name"] for one in said["limits"]] or [None]
    answers = [said[key], *([said[_ALSO[key]]] if key in _ALSO else [])]
    return [one for one in answers if one is not None] or [None]


def _show(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
