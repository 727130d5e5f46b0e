# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a container may take of its host: limits that hold, and leave the service enough to start with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import Findings, Invalid, Refused
from .._core.sizes import human_size, parse_size
from .._core.system import Host
from .._linux.topology import read_nodes

# What each service, by its role, takes at its start and under load, and a quarter more; docs/decisions has the figures.
LEAST_MEMORY = {
    "postgres": 192 << 20,
    "flask_backend": 192 << 20,
    "webui": 64 << 20,
    "go_backend": 32 << 20,
    "rabbitmq": 256 << 20,
}
LEAST_PIDS = 64
LEAST_CPUS = 0.01  # the engine's own
_SIZE = re.compile(r"\d+ ?([KMGTkmgt]B?)?", re.ASCII)

# The options of a container's limits, for every module that takes some. An empty one is as good as none.
LIMITS: dict[str, Any] = {
    "role": {"type": "str", "choices": list(LEAST_MEMORY), "required": True},
    "memory": {"type": "str", "default": ""},
    "cpus": {"type": "str", "default": ""},
    "pids": {"type": "str", "default": ""},
    "shm_size": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class Capacity:
    """What a host has to give.

    Attributes:
        memory: Bytes.
        cpus: How many are online.
        pids: How many processes and threads its kernel counts up to.
    """

    memory: int
    cpus: int
    pids: int


@dataclass(frozen=True)
class Limits:
    """What one container may take.

    Attributes:
        role: Whose variables set them, such as ``webui_memory``.
        memory: Bytes, shared memory and files in memory included.
        cpus: CPUs' worth of time; 0 for all that it is given.
        pids: Processes and threads.
        shm: Bytes below /dev/shm.
    """

    role: str
    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    shm: int | None = None

    def faults(self, host: Capacity) -> Iterator[str]:
        """Return what is wrong with them on a host, each with the variable, the limit and the way out."""
        if self.memory is not None:
            yield from self._range("memory", self.memory, LEAST_MEMORY[self.role], host.memory, human_size)
        if self.cpus:
            yield from self._range("cpus", self.cpus, LEAST_CPUS, host.cpus, "{:g}".format, "; 0 is no limit")
        if self.pids is not None:
            yield from self._range("pids", self.pids, LEAST_PIDS, host.pids, str)
        whole, name = (self.memory, f"{self.role}_memory") if self.memory else (host.memory, "memory of this host")
        if self.shm is not None and self.shm > whole:
            shown = f"{human_size(self.shm)} > {name} {human_size(whole)}"
            yield f"{self.role}_shm_size: {shown}, of which it is a part"

    def _range(self, name: str, value: Any, least: Any, most: Any, show: Any, besides: str = "") -> Iterator[str]:
        if not least <= value <= most:
            beyond = f"> {show(most)}, which is all that this host has" if value > most else f"< minimum {show(least)}"
            yield f"{self.role}_{name}: {show(value)} {beyond}{besides}"


def parse(options: Sequence[Mapping[str, Any]]) -> list[Limits]:
    """Return the limits in a module's options.

    Raises:
        Invalid: One is malformed; with all reasons.
    """
    readers = {"memory": _size, "cpus": _number, "pids": _whole, "shm_size": _size}
    findings, found = Findings(), []
    for one in options:
        values: dict[str, Any] = {}
        for name, read in readers.items():
            try:
                values[name] = read(one[name]) if one.get(name) else None
            except Invalid as error:
                findings.add(f"{one['role']}_{name}: {error}")
        found.append(Limits(one["role"], *(values.get(name) for name in readers)))
    findings.raise_if_any(Invalid, "limits of containers")
    return found


def _size(text: str) -> int:
    # community.docker takes less than other modules do: no MiB, and no mb.
    if not _SIZE.fullmatch(text):
        raise Invalid(f"{text!r} is no size: give bytes, or a number with K, M, G or T, such as 512M")
    return parse_size(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Invalid(f"{text!r} is no number: give CPUs, such as 1 or 0.5, or 0 for no limit")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"{text!r} is no whole number: give how many processes and threads") from None


def require_sound(host: Host, options: Sequence[Mapping[str, Any]]) -> None:
    """Refuse limits that this host cannot keep, or that no service starts with.

    Raises:
        Refused: With all reasons.
    """
    capacity = _capacity(host)
    findings = Findings([fault for limits in parse(options) for fault in limits.faults(capacity)])
    findings.raise_if_any(Refused, "limits of containers")


def _capacity(host: Host) -> Capacity:
    nodes = read_nodes(host)
    return Capacity(
        memory=sum(node.memory_total for node in nodes),
        cpus=sum(len(node.cpus) for node in nodes),
        pids=host.read_int("/proc/sys/kernel/pid_max") or 0,
    )
