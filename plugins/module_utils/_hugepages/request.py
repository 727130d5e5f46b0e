# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of a host's huge pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.names import path_fault
from .._core.sizes import human_size, parse_size, size_token
from .._linux.hugetlbfs import Mount

GIB = 1 << 30
TRANSPARENT_KEYS = ("enabled", "defrag")


@dataclass(frozen=True)
class Reservation:
    """How many pages of one size a node keeps.

    Attributes:
        size: Bytes of a page.
        count: Pages.
    """

    node: int
    size: int
    count: int


@dataclass(frozen=True)
class Desired:
    """What is requested of a host.

    Attributes:
        present: False restores the original values, from before the first call.
        reservations: Each (node, size) at most once; what is not named is left alone.
        at_boot: Page sizes (bytes) that boot arguments reserve too; others are reserved by the agent after boot.
        default_size: Bytes of the page that programs get which name no size; a boot argument too.
        mounts: All hugetlbfs mounts that are ours.
        transparent: Mode by file name below transparent_hugepage.
        drop_caches: Whether clean caches may be dropped where memory is fragmented.
        keep: Bytes that the host must be left with beside all huge pages.
        save: Whether the request is saved in the state file; not while that is being reapplied.
    """

    present: bool = True
    reservations: Sequence[Reservation] = ()
    at_boot: Collection[int] = (GIB,)
    default_size: int | None = None
    mounts: Sequence[Mount] = ()
    transparent: Mapping[str, str] = field(default_factory=dict)
    drop_caches: bool = False
    keep: int = 0
    save: bool = True

    @property
    def nothing(self) -> bool:
        """Whether nothing at all is requested."""
        return not (self.reservations or self.mounts or self.transparent or self.default_size)

    def as_body(self) -> dict[str, Any]:
        """Return it as a state file holds it, sizes readable."""
        return {
            "reservations": [
                {"node": one.node, "size": size_token(one.size), "count": one.count} for one in self.reservations
            ],
            "at_boot": [size_token(size) for size in sorted(self.at_boot)],
            "default_size": self.default_size and size_token(self.default_size),
            "mounts": [mount.as_body() for mount in self.mounts],
            "transparent": dict(self.transparent),
            "drop_caches": self.drop_caches,
            "keep": self.keep,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Desired:
        """Return what a state file requests."""
        return cls(
            reservations=tuple(
                Reservation(one["node"], parse_size(one["size"]), one["count"]) for one in body["reservations"]
            ),
            at_boot=tuple(parse_size(size) for size in body["at_boot"]),
            default_size=body["default_size"] and parse_size(body["default_size"]),
            mounts=tuple(Mount.from_body(mount) for mount in body["mounts"]),
            transparent=dict(body["transparent"]),
            drop_caches=body["drop_caches"],
            keep=body["keep"],
        )


def faults(desired: Desired) -> Iterator[str]:
    """Yield what is malformed in the request itself."""
    keys = [(one.node, one.size) for one in desired.reservations]
    for node, size in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"node {node}: pages of {human_size(size)} are requested twice: give one count"
    for one in desired.reservations:
        if one.count < 0:
            yield f"node {one.node}: {one.count} pages of {human_size(one.size)}: a count is 0 or more"
    for key in sorted(set(desired.transparent) - set(TRANSPARENT_KEYS)):
        yield f"transparent {key}: not one of {', '.join(TRANSPARENT_KEYS)}"
    paths = [mount.path for mount in desired.mounts]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"{path} is to be mounted twice: give each mount a path of its own"
    for mount in desired.mounts:
        fault = "is the root" if mount.path == "/" else path_fault(mount.path)
        if fault:
            yield f"{mount.path} {fault}: a mount point is an absolute path of letters, digits and . : @ + - _, no '..'"
        if mount.limit is not None and mount.limit % mount.size:
            yield f"{mount.path}: limit {mount.limit} is no multiple of its pages of {human_size(mount.size)}"
