# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The samples of all NICs that a policy judges, while NICs, programs and policies come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from .._core import state_store
from .._core.system import Host
from .._linux.clock import hz
from .._samples.control import Filter
from .._samples.feed import Feed
from .._samples.sample import Sample
from .._xdp import policy_assignment
from .._xdp.policy_assignment import Assignment
from .._xdp.request import pin_directory, policy_state_file

_SUFFIX = ".json"

log = logging.getLogger("tripod-host")


def assignments(host: Host, directory: str = state_store.DIRECTORY) -> dict[str, Assignment]:
    """Return which policy judges which NIC, by the NIC's name."""
    begin = policy_state_file("")
    found = {}
    for file in host.list(directory):
        if file.startswith(begin) and file.endswith(_SUFFIX):
            one = policy_assignment.load(host, file[len(begin) : -len(_SUFFIX)], directory)
            if one is not None:
                found[one.interface] = one
    return found


def _maps(one: Assignment) -> str:
    return f"{pin_directory(one.pin_root, one.interface)}/maps"


class Feeds:
    """Samples of several NICs; a context manager.

    Args:
        host: The machine.
        directory: Where the state files are.
        tap: STANDING or SESSION; nobody else may have it.
        requested: Which samples of a NIC, by what its parts' slots are; None for none of it.
        interfaces: Only of these NICs; empty for all.
        history: Begin with what is still there.
    """

    def __init__(
        self,
        host: Host,
        directory: str,
        tap: int,
        requested: Callable[[Mapping[str, int]], Filter | None],
        interfaces: Collection[str] = (),
        history: bool = False,
    ) -> None:
        self._host, self._directory, self._tap, self._history = host, directory, tap, history
        self._requested, self._interfaces = requested, interfaces
        self._feeds: dict[str, Feed] = {}
        self._filters: dict[str, Filter | None] = {}
        self._reported: dict[str, str] = {}
        self._lost_before: dict[str, int] = {}

    def __enter__(self) -> Feeds:
        return self

    def __exit__(self, *_unused: object) -> None:
        for name in list(self._feeds):
            self._close(name)

    @property
    def names(self) -> list[str]:
        """The NICs that are listened to."""
        return sorted(self._feeds)

    def update(self) -> None:
        """Listen to NICs that came, leave those that went, and follow what changed; to be called each second or so."""
        requested = {
            name: one
            for name, one in assignments(self._host, self._directory).items()
            if not self._interfaces or name in self._interfaces
        }
        for name in list(self._feeds):
            if name not in requested or not self._feeds[name].in_use:
                self._close(name)
        for name, one in requested.items():
            try:
                if name not in self._feeds:
                    self._open(one)
                self._follow(one)
            except (OSError, ValueError) as error:  # not attached yet, or replaced at this moment
                self._report(name, str(error))

    def _open(self, one: Assignment) -> None:
        feed = Feed(one.interface, _maps(one), self._tap, self._history)
        self._feeds[one.interface] = feed
        self._lost_before[one.interface] = feed.tap.lost
        self._report(one.interface, "")

    def _follow(self, one: Assignment) -> None:
        feed, requested = self._feeds[one.interface], self._requested(one.slots)
        feed.parts = {slot: part for part, slot in one.slots.items()}
        if self._filters.get(one.interface) == requested:
            return
        if requested is None:
            feed.tap.close_off()
        else:
            feed.open(requested, hz())
        self._filters[one.interface] = requested

    def read(self) -> list[Sample]:
        """Return the samples that came since the last call, in the order of their time; it does not wait for one."""
        found: list[Sample] = []
        for name in list(self._feeds):
            try:
                found += self._feeds[name].read()
            except ValueError as error:
                self._report(name, str(error))
                self._close(name)
        return sorted(found, key=lambda one: one.time)

    def lost(self) -> dict[str, int]:
        """Return by NIC how many samples were due and did not come, since it is listened to."""
        return {
            name: feed.missed + feed.tap.lost - self._lost_before[name] for name, feed in sorted(self._feeds.items())
        }

    def taken(self) -> dict[str, int]:
        """Return by NIC how many samples its program took for this tap, since its maps were made."""
        return {name: feed.tap.taken for name, feed in sorted(self._feeds.items())}

    def _close(self, name: str) -> None:
        self._feeds.pop(name).close()
        self._filters.pop(name, None)

    def _report(self, name: str, words: str) -> None:
        if words and self._reported.get(name) != words:
            log.warning("%s gives no samples: %s; trying again", name, words)
        self._reported[name] = words
