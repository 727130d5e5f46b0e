# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Files of a service whose user got another number: the whole tree follows, link by link and never through one."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.converge import Change, Findings, Impossible, Refused
from .._core.system import Host


@dataclass(frozen=True)
class TreeState:
    """A directory tree.

    Attributes:
        top: User and group of the directory itself; None where it is not there.
        entries: How many of all entries belong to which user and group.
    """

    top: tuple[int, int] | None = None
    entries: Mapping[tuple[int, int], int] = field(default_factory=dict)


class OwnedTree:
    """The resource: what belongs to a former user belongs to the user. What belongs to others stays as it is.

    A run that was killed half way leaves entries of both; the next one takes the rest.

    Args:
        path: The directory.
        user: Number of the user, and of its group.
        former: Numbers that it had before.
    """

    def __init__(self, path: str, user: int, former: Collection[int]) -> None:
        self.path, self.user = path, user
        self.former = frozenset(former) - {user}

    def read(self, host: Host) -> TreeState:
        """Count whose everything is; an entry that vanishes meanwhile does not count."""
        top = host.path(self.path)
        if not os.path.lexists(top):
            return TreeState()
        status = os.lstat(top)
        if not stat.S_ISDIR(status.st_mode):
            raise Impossible(f"{self.path} is no directory; nothing was changed")
        counts: dict[tuple[int, int], int] = {}
        for _directory, _name, entry in _walk(str(top)):
            owner = (entry.st_uid, entry.st_gid)
            counts[owner] = counts.get(owner, 0) + 1
        return TreeState((status.st_uid, status.st_gid), counts)

    def validate(self, desired: bool, state: TreeState) -> None:
        """Refuse a tree that belongs to neither: it may be somebody else's altogether.

        One that is empty is nobody's yet: the engine gives a new volume to whom the image's directory belongs, when a
        container first has it.
        """
        findings = Findings()
        holds_something = sum(state.entries.values()) > 1
        if state.top and holds_something and state.top[0] not in {self.user, *self.former}:
            known = ", ".join(map(str, sorted({self.user, *self.former})))
            findings.add(
                f"{self.path} belongs to uid {state.top[0]}, and not to {known}: where it is the service's all the "
                f"same, as after a restore, name {state.top[0]} among its former users, or run 'chown -R "
                f"{self.user}:{self.user} {self.path}' while nothing uses it"
            )
        findings.raise_if_any(Refused, "nothing was changed")

    def plan(self, desired: bool, state: TreeState) -> list[Change]:
        """Return one change for each number that the user had."""
        found = []
        for kind, place in (("owner", 0), ("group", 1)):
            for number in sorted(self.former):
                count = sum(times for owner, times in state.entries.items() if owner[place] == number)
                if count:
                    found.append(Change((self.path, kind, f"{count} entries"), number, self.user))
        return found

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Give every entry of a former user to the user, the top directory last: until then all of it is unfinished."""
        for directory, name, entry in _walk(str(host.path(self.path))):
            user = self.user if entry.st_uid in self.former else -1
            group = self.user if entry.st_gid in self.former else -1
            if (user, group) == (-1, -1):
                continue
            os.chown(name, user, group, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISLNK(entry.st_mode) and entry.st_mode & (stat.S_ISUID | stat.S_ISGID):
                # The kernel drops these with the owner.
                os.chmod(name, stat.S_IMODE(entry.st_mode), dir_fd=directory)


def _walk(top: str) -> Iterator[tuple[int | None, str, os.stat_result]]:
    """Yield every entry by its directory's descriptor, deepest first and the top last; no link is followed."""
    for _path, directories, files, descriptor in os.fwalk(top, topdown=False, follow_symlinks=False):
        for name in (*files, *directories):
            try:
                yield descriptor, name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue
    yield None, top, os.lstat(top)
