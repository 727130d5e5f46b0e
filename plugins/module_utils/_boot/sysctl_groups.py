# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Kernel variables that are not independent of each other.

Sources in the Linux tree: Documentation/admin-guide/sysctl/{vm,kernel}.rst, Documentation/networking/ip-sysctl.rst;
mm/page-writeback.c and mm/util.c (counterparts, defaults), kernel/watchdog.c, net/ipv4/devinet.c, net/ipv6/addrconf.c,
fs/notify/inotify/inotify_user.c, kernel/ucount.c, net/netfilter/nf_conntrack_standalone.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

# Whichever is written last is in effect, and the other shows 0, which cannot be written to the first of each.
_PAIRS = (
    ("vm.dirty_bytes", "vm.dirty_ratio"),
    ("vm.dirty_background_bytes", "vm.dirty_background_ratio"),
    ("vm.overcommit_kbytes", "vm.overcommit_ratio"),
)
COUNTERPARTS: Mapping[str, str] = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
# What the kernel starts with, for an original value that nobody saved.
DEFAULTS: Mapping[str, str] = {"vm.dirty_ratio": "20", "vm.dirty_background_ratio": "10", "vm.overcommit_ratio": "50"}
# Two names of one value.
_SAME = (
    ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"),
    ("net.nf_conntrack_max", "net.netfilter.nf_conntrack_max"),
    ("fs.inotify.max_user_instances", "user.max_inotify_instances"),
    ("fs.inotify.max_user_watches", "user.max_inotify_watches"),
)
# One value in seconds, or jiffies, and in milliseconds.
_IN_MILLISECONDS = re.compile(r"(net\.ipv[46]\.(?:neigh\..+|route)\.\w+)_ms")
_V4, _V6 = "net.ipv4.conf", "net.ipv6.conf"
_FORWARDS = (f"{_V4}.all.forwarding", f"{_V4}.default.forwarding", f"{_V4}.all.accept_redirects")
# A switch for several: writing it writes these.
_WRITES_ALSO: Mapping[str, tuple[str, ...]] = {
    "kernel.watchdog": ("kernel.nmi_watchdog", "kernel.soft_watchdog"),
    "net.ipv4.ip_forward": _FORWARDS,
    f"{_V4}.all.forwarding": ("net.ipv4.ip_forward", *_FORWARDS[1:]),
    f"{_V6}.all.forwarding": (f"{_V6}.default.forwarding",),
    f"{_V6}.all.disable_ipv6": (f"{_V6}.default.disable_ipv6",),
}


def contradictions(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what cannot be requested together."""
    for one, other in _PAIRS:
        if one in values and other in values:
            yield f"{one} and {other} exclude each other, the last that is written is in effect: request one of them"
    for one, other in _SAME:
        if one in values and other in values and values[one] != values[other]:
            yield (f"{one} = {values[one]} and {other} = {values[other]} are two names of one value: request it by one")
    for name in values:
        found = _IN_MILLISECONDS.fullmatch(name)
        if found and found[1] in values:
            yield f"{found[1]} and {name} are one value in two units: request it by one"


def companions(name: str) -> tuple[str, ...]:
    """Return the variables that writing one changes too, so that their original values belong to its own."""
    counterpart = (COUNTERPARTS[name],) if name in COUNTERPARTS else ()
    return (*counterpart, *_WRITES_ALSO.get(name, ()))


def broad_first(names: Iterable[str]) -> list[str]:
    """Return names in an order in which none undoes one before: switches for several first."""
    return sorted(names, key=lambda name: name not in _WRITES_ALSO)


def to_write(name: str, value: str, values: Mapping[str, str | None]) -> tuple[str, str]:
    """Return the variable and the value to write so that a variable shows a value that it had among others.

    A 0 of one of two counterparts comes from writing the other.
    """
    other = COUNTERPARTS.get(name)
    if other is None or value != "0":
        return name, value
    held = values.get(other)
    if held not in (None, "", "0"):
        return other, str(held)
    for one in (other, name):
        if one in DEFAULTS:
            return one, DEFAULTS[one]
    return name, value
