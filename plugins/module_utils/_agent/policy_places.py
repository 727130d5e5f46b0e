# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What bans have to do with on this host: the map of each NIC, and the prefixes that none may cut."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from .._core import state_store
from .._core.converge import CoreError
from .._core.errors import in_words
from .._core.system import Host
from .._policy.merge import INVENTORY
from .._policy.prefix import Prefix, parse_prefix
from .._xdp import policy_documents
from .._xdp.ban_map import BANS, BanMap
from .._xdp.request import KIND, pin_directory, state_file

_SUFFIX = ".json"
# Of a file: device, inode, time of the last change in ns, bytes. A pin that is made anew has another inode.
Identity = tuple[int, int, int, int]

_log = logging.getLogger("tripod-host")


class BanMaps:
    """The map of each interface that has our program now; a map is opened once, and anew when its pin is another.

    Args:
        host: The machine.
        directory: Where the state files are.
    """

    def __init__(self, host: Host, directory: str) -> None:
        self._host, self._directory = host, directory
        self._open: dict[str, tuple[Identity, BanMap]] = {}
        self._reported: dict[str, str] = {}
        self._fence = threading.Lock()

    def __call__(self) -> dict[str, BanMap]:
        """Return them by interface."""
        with self._fence:
            places = dict(self._places())
            for interface in self._open.keys() - places.keys():
                self._close(interface)
            for interface, (place, identity) in places.items():
                if interface not in self._open or self._open[interface][0] != identity:
                    self._close(interface)
                    self._try(interface, place, identity)
            return {interface: table for interface, (_identity, table) in self._open.items()}

    def close(self) -> None:
        """Close all of them."""
        with self._fence:
            for interface in list(self._open):
                self._close(interface)

    def _places(self) -> Iterator[tuple[str, tuple[str, Identity]]]:
        """Yield each interface whose program has such a map, with its pins."""
        begin = state_file("")
        for file in self._host.list(self._directory):
            if not file.startswith(begin) or not file.endswith(_SUFFIX):
                continue
            found = state_store.load(self._host, file[: -len(_SUFFIX)], self._directory)
            if found and found.kind == KIND:
                place = pin_directory(found.body["pin_root"], found.body["interface"])
                identity = file_identity(self._host, f"{place}/maps/{BANS}")
                if identity:
                    yield found.body["interface"], (place, identity)

    def _try(self, interface: str, place: str, identity: Identity) -> None:
        try:
            self._open[interface] = (identity, BanMap(place))
            self._reported.pop(interface, None)
        except (CoreError, OSError) as error:
            words = in_words(error)
            if self._reported.get(interface) != words:
                _log.warning("%s takes no bans: %s", interface, words)
            self._reported[interface] = words

    def _close(self, interface: str) -> None:
        if interface in self._open:
            self._open.pop(interface)[1].close()


class Trusted:
    """The trusted prefixes of the policies that interfaces name; a file is read anew when it is another.

    Args:
        host: The machine.
        directory: Where the state files are.
    """

    def __init__(self, host: Host, directory: str) -> None:
        self._host, self._directory = host, directory
        self._known: dict[str, tuple[Identity, list[Prefix]]] = {}
        self._placements: dict[str, Identity | None] = {}
        self._named: set[str] = set()
        self._fence = threading.Lock()

    def __call__(self) -> list[tuple[Prefix, str]]:
        """Return each prefix with the name of its policy.

        Raises:
            Impossible: A document cannot be understood, so nobody knows what is trusted.
        """
        with self._fence:
            self._look()
            held = policy_documents.held(self._host, self._directory)
            policies = [policy for policy, owner in held if owner == INVENTORY and policy in self._named]
            self._known = {policy: self._read(policy) for policy in policies}
            return [(prefix, policy) for policy, (_identity, found) in self._known.items() for prefix in found]

    def _look(self) -> None:
        """Find which policies interfaces name."""
        files = policy_documents.placements(self._host, self._directory)
        found = {one: file_identity(self._host, state_store.path(one, self._directory)) for one in files}
        if found != self._placements:
            self._named = policy_documents.named(self._host, self._directory)
            self._placements = found

    def _read(self, policy: str) -> tuple[Identity, list[Prefix]]:
        identity = file_identity(self._host, policy_documents.path(policy, INVENTORY, self._directory))
        if policy in self._known and self._known[policy][0] == identity:
            return self._known[policy]
        document = policy_documents.load(self._host, policy, INVENTORY, self._directory)
        prefixes = [parse_prefix(one["prefix"]) for one in document.get("trusted", ()) if "prefix" in one]
        return identity or (0, 0, 0, 0), prefixes


def file_identity(host: Host, path: str) -> Identity | None:
    """Return what tells a file from another one of its name; None where there is none."""
    try:
        status = host.path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
