# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""irqbalance, kept off the interrupts that were placed by a run-time drop-in for its unit.

Numbers of interrupts change with every boot and every load of a driver, so the ban is as short-lived as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from .._core.cpulist import format_cpulist
from .._core.system import Host
from .systemd import in_charge, systemctl

UNIT = "irqbalance.service"
DROP_IN = f"/run/systemd/system/{UNIT}.d/50-tripod.conf"
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_BAN = re.compile(r"--banirq=(\d+)")
_START = re.compile(r"^ExecStart\s*=\s*(\S.*)$", re.MULTILINE)
_SECONDS = 60


@dataclass(frozen=True)
class State:
    """How irqbalance is set up.

    Attributes:
        command: How its unit starts it; None where systemd does not know it.
        banned: Interrupts that our drop-in keeps it off; None where there is no drop-in.
        stray: Whether it runs without systemd, where a drop-in does not reach it.
    """

    command: str | None = None
    banned: frozenset[int] | None = None
    stray: bool = False


def read(host: Host) -> State:
    """Read its unit and our drop-in."""
    command = _command(host)
    text = host.read(DROP_IN)
    banned = None if text is None else frozenset(int(number) for number in _BAN.findall(text))
    managed = command is not None and in_charge(host)
    return State(command if managed else None, banned, stray=not managed and _runs(host))


def render(command: str, numbers: Collection[int]) -> str:
    """Return the drop-in."""
    bans = "".join(f" --banirq={number}" for number in sorted(numbers))
    return f"# Interrupts placed by tripod.baremetal.nic\n[Service]\nExecStart=\nExecStart={command}{bans}\n"


def ban(host: Host, numbers: Collection[int]) -> None:
    """Keep irqbalance off these interrupts, and off no others.

    Raises:
        ApplyFailed: systemd refused.
    """
    state = read(host)
    if state.command is None:
        return
    if numbers:
        host.write_atomically(DROP_IN, render(state.command, numbers))
    else:
        host.remove(DROP_IN)
    systemctl("daemon-reload", timeout=_SECONDS)
    # Only where it runs: an operator who stopped it wants it stopped.
    systemctl("try-restart", UNIT, timeout=_SECONDS)


def describe(numbers: Collection[int] | None) -> str | None:
    """Return banned interrupts for a plan."""
    return format_cpulist(numbers) if numbers else None


def _command(host: Host) -> str | None:
    for directory in _UNITS:
        starts = _START.findall(host.read(f"{directory}/{UNIT}") or "")
        if starts:
            return starts[-1]
    return None


def _runs(host: Host) -> bool:
    return any(host.read(f"/proc/{pid}/comm") == "irqbalance" for pid in host.list("/proc") if pid.isdigit())
