# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A policy tried before it comes into force: what its tests say of it, and of which packets it changes the fate.

The playbook's own tests hold without exception. Who else changes a policy is refused for what the change breaks: a
list that has ended may fail a test by itself, and every ban list of the API would have to wait for the playbook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .._core.system import Host
from .policy_assignment import Assignment
from .policy_flips import Flip, flips, of_samples
from .policy_lists import Lists
from .policy_tests import PolicyTest, failing, in_full, lines
from .policy_twin import Twin

STRICT, BREAKS, NEVER = "strict", "breaks", "never"  # what refuses: each failure, a new one, or none


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        failures: Why the policy is refused.
        warnings: Tests that fail, and are no reason to refuse it.
        flips: Packets of which something else would become.
    """

    failures: Sequence[str] = ()
    warnings: Sequence[str] = ()
    flips: Sequence[Flip] = ()


def run(
    host: Host,
    assignments: Sequence[Assignment],
    merged: Mapping[str, Any],
    lists: Lists,
    tests: Sequence[PolicyTest],
    refuses: str = STRICT,
    preview: bool = False,
) -> Trial:
    """Try a policy by twins of the programs that it is to judge by.

    Args:
        host: The machine.
        assignments: Of the interfaces that it is to judge, at least one; by the first one the tests are tried, as all
            get the same policy.
        merged: The policy, the documents of all owners made one.
        lists: Texts of its lists.
        tests: What is expected of it.
        refuses: STRICT, BREAKS or NEVER.
        preview: Find the flips: of the tests' frames, and of each interface's last packets.
    """
    refused: dict[tuple[str, str], str] = {}
    known: dict[tuple[str, str], str] = {}
    turned: list[Flip] = []
    for number, one in enumerate(assignments if preview else assignments[:1]):
        place = (host, one.interface, one.pin_root)
        with ExitStack() as held:
            then = held.enter_context(Twin(*place, merged, one.state_directory, lists=lists))
            found = {} if number else dict(failing(tests, then.judge))
            now = held.enter_context(Twin(*place, None, one.state_directory)) if preview or found else then
            if not number:
                before = failing(tests, now.judge) if found and refuses == BREAKS else {}
                for key, words in found.items():
                    spared = refuses == NEVER or key in before
                    (known if spared else refused)[key] = words
            if preview:
                own = [] if number else tests
                frames = ((in_full(test.place, name), frame) for test in own for name, frame in test.frames.items())
                turned += [*flips(frames, now, then), *of_samples(one, now, then)]
    return Trial(tuple(lines(refused)), tuple(lines(known)), tuple(turned))
