# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which CPUs are kept free of ordinary work: by the CPU plan, and by what the running kernel was booted with.

The kernel's own file ``isolated`` knows of one kind only (``isolcpus=domain``), which is not even the default here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .._core import state_store
from .._core.cpulist import parse_flagged_cpulist
from .._core.system import Host
from .._linux.topology import Cpus, read_kernel
from .state import KIND

# Kinds of isolation that RPS respects: rps_cpumask_housekeeping() of net/core/net-sysfs.c in the Linux tree.
_WITHOUT_RPS = ("domain", "nohz_full")


@dataclass(frozen=True)
class Reserved:
    """CPUs that nobody gets unless they are named.

    Attributes:
        isolated: All of them.
        without_rps: Those that the kernel spreads no packets to, now or once it is booted with the plan.
    """

    isolated: frozenset[int] = frozenset()
    without_rps: frozenset[int] = frozenset()


def read_reserved(host: Host, cpus: Cpus) -> Reserved:
    """Return the CPUs that the CPU plan isolates, whether the host was booted with it or not yet, and the kernel's."""
    cmdline = read_kernel(host).cmdline
    saved = state_store.load(host, KIND)
    planned = _listed(str(saved.body.get("isolated") or "")) if saved else frozenset()
    kinds = saved.body.get("isolation") or () if saved else ()
    running = frozenset(cpus.isolated) | frozenset(cpus.nohz_full)
    booted = _of_argument(cmdline, "isolcpus", cpus.online) | _of_argument(cmdline, "rcu_nocbs", cpus.online)
    return Reserved(
        isolated=planned | running | booted,
        without_rps=running | (planned if set(kinds) & set(_WITHOUT_RPS) else frozenset()),
    )


def _of_argument(cmdline: Sequence[str], key: str, online: Collection[int]) -> frozenset[int]:
    found = frozenset().union(*(_listed(token.partition("=")[2].strip('"')) for token in cmdline if _key(token) == key))
    # Callbacks taken off every CPU (rcu_nocbs=all) set none of them apart.
    return found if set(online) - found else frozenset()


def _key(token: str) -> str:
    return token.partition("=")[0]


def _listed(text: str) -> frozenset[int]:
    # What is no list the kernel took nothing of either, or it speaks of all.
    return parse_flagged_cpulist(text) or frozenset()
