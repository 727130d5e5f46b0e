# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""irqbalance, kept off the interrupts that were placed by a run-time drop-in for its unit.

Numbers of interrupts change with every boot and every load of a driver, so the ban is as short-lived as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .._core.cpulist import format_cpulist
from .._core.system import Host
from .systemd import in_charge, systemctl

UNIT = "irqbalance.service"
# Its name sorts after that of what "systemctl edit" writes, override.conf: the last ExecStart counts.
DROP_IN = f"/run/systemd/system/{UNIT}.d/zz-tripod.conf"
_OLD_DROP_IN = f"/run/systemd/system/{UNIT}.d/50-tripod.conf"  # of version 1.0
_OURS = (DROP_IN, _OLD_DROP_IN)
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_BAN = re.compile(r"\s*--banirq=(\d+)")
_START = re.compile(r"^\s*ExecStart\s*=[ \t]*(.*)$", re.MULTILINE)
_SECONDS = 60


@dataclass(frozen=True)
class State:
    """How irqbalance is set up.

    Attributes:
        command: How its unit and the operator's drop-ins start it; None where systemd does not know it.
        banned: Interrupts that our drop-in keeps it off; None where there is no drop-in.
        stray: Whether it runs without systemd, where a drop-in does not reach it.
        outdated: The command in our drop-in, where the operator's is another by now; None where it is not.
        overridden: The drop-in that comes after ours and starts it without the bans; None where none does.
        unheeded: Whether what its unit runs was started without the bans, as where a run was killed before it did so.
    """

    command: str | None = None
    banned: frozenset[int] | None = None
    stray: bool = False
    outdated: str | None = None
    overridden: str | None = None
    unheeded: bool = False


def read(host: Host) -> State:
    """Read its unit and its drop-ins."""
    if not in_charge(host) or (start := _start(host)) is None:
        return State(banned=_banned(host), stray=_runs(host))
    ours = next((path for path in _OURS if host.exists(path)), None)
    if ours is None:
        return State(start)
    later = [path for path, found in _drop_ins(host) if found and _name(path) > _name(DROP_IN)]
    applied = _BAN.sub("", next(filter(None, reversed(_START.findall(host.read(ours) or ""))), ""))
    outdated = applied if applied != start or ours == _OLD_DROP_IN else None
    banned = _banned(host) or frozenset()
    unheeded = any(banned - bans for bans in _running_bans(host))
    return State(start, banned, outdated=outdated, overridden=later[-1] if later else None, unheeded=unheeded)


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
    host.remove(_OLD_DROP_IN)
    host.write_atomically(DROP_IN, render(state.command, numbers))
    systemctl("daemon-reload", timeout=_SECONDS)
    # Only where it runs: an operator who stopped it wants it stopped.
    systemctl("try-restart", UNIT, timeout=_SECONDS)
    if not numbers:
        # Last of all, so that a run that is killed before leaves a sign that there is something to do.
        host.remove(DROP_IN)
        systemctl("daemon-reload", timeout=_SECONDS)


def describe(numbers: Collection[int] | None) -> str | None:
    """Return banned interrupts for a plan."""
    return format_cpulist(numbers) if numbers else None


def _banned(host: Host) -> frozenset[int] | None:
    text = next(filter(None, (host.read(path) for path in _OURS)), None)
    return None if text is None else frozenset(int(number) for number in _BAN.findall(text))


def _start(host: Host) -> str | None:
    """Return the command that its unit comes to without our drop-in, by the rules of systemd.unit(5)."""
    unit = next((text for directory in _UNITS if (text := host.read(f"{directory}/{UNIT}")) is not None), None)
    starts = _START.findall(unit or "")
    for path, found in _drop_ins(host):
        if path not in _OURS:
            starts += found
    # An empty one takes back what came before; the service runs one command only.
    return starts[-1].strip() or None if starts else None


def _drop_ins(host: Host) -> list[tuple[str, list[str]]]:
    """Return its drop-ins in the order of systemd, with the commands of each; the first of a name counts."""
    found: dict[str, str] = {}
    for directory in _UNITS:
        for name in host.list(f"{directory}/{UNIT}.d"):
            if name.endswith(".conf"):
                found.setdefault(name, f"{directory}/{UNIT}.d/{name}")
    return [(path, _START.findall(host.read(path) or "")) for _name, path in sorted(found.items())]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _running_bans(host: Host) -> Iterator[frozenset[int]]:
    """Yield the bans of each process that its unit runs; another one, such as a container's, is not ours to judge."""
    for pid in filter(str.isdigit, host.list("/proc")):
        if host.read(f"/proc/{pid}/comm") == "irqbalance" and UNIT in (host.read(f"/proc/{pid}/cgroup") or ""):
            words = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
            yield frozenset(int(found[1]) for word in words if (found := _BAN.fullmatch(word)))


def _runs(host: Host) -> bool:
    return any(host.read(f"/proc/{pid}/comm") == "irqbalance" for pid in host.list("/proc") if pid.isdigit())
