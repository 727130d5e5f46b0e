# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Steps carried out: settings through a NIC's driver, interrupts and queues' CPUs through procfs and sysfs."""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._core.converge import ApplyFailed, Change, describe
from .._core.cpulist import parse_cpulist
from .._core.errors import reason
from .._core.system import Host
from .._linux import ethtool, irqbalance, irqs, netlink
from .._linux.ethtool import FlowRule, canonical
from .._linux.netlink import Link
from . import napi, plan
from .plan import DEFAULT, NO_CPUS, Target
from .state import SOCK_FLOW_ENTRIES, NicState, read_nic, write_rfs, write_rps, write_xps

# Steps, and why they were not carried out.
Refuse = Callable[[Sequence[Change], ApplyFailed], None]
ROUNDS = 30  # of one NIC; each carries out one section of its settings, of which there are a dozen
_CARRIER_SECONDS, _POLL_SECONDS = 30.0, 0.1  # ixgbe with autonegotiation takes 10 s


def configure(host: Host, target: Target, applied: list[Change], refuse: Refuse | None = None) -> None:
    """Bring a NIC's settings to its request, one section after the other; each step may show that another is needed.

    Args:
        host: The machine.
        target: The NIC.
        applied: Takes the steps that were carried out.
        refuse: Takes a step that was not, with the reason, so that the others are carried out all the same.

    Raises:
        ApplyFailed: The NIC went away or, where nobody takes the reason, the driver refused or its carrier did not
            come back.
    """
    done: set[tuple[Any, ...]] = set()
    for _round in range(ROUNDS):
        table = netlink.links()
        link = next((one for one in table if one.name == target.name), None)
        if link is None:
            raise ApplyFailed(f"{target.name} went away while it was being set up")
        nic = read_nic(host, link, table)
        # What a driver made something else of is not requested again and again; reading back shows it.
        left = [change for change in plan.hardware(target.request, nic) if signature(change) not in done]
        if not left:
            return
        _section, group = next(itertools.groupby(left, key=lambda change: change.path[1]))
        step = list(group)
        if step[0].path[1] == "rss":
            step = step[:1]  # the table gives way before the channels change, and is set after
        done.update(map(signature, step))
        try:
            _carry_out(host, link, step)
        except ApplyFailed as error:
            if refuse is None:
                raise
            step = _one_by_one(host, link, step, refuse, error)
        applied += step
        if link.carrier and any(change.disrupts for change in step) and step[0].path[1:] != ("up",):
            try:
                _wait_for_carrier(target.name, step)
            except ApplyFailed as error:
                if refuse is None:
                    raise
                refuse([], error)


def _one_by_one(host: Host, link: Link, step: Sequence[Change], refuse: Refuse, whole: ApplyFailed) -> list[Change]:
    """Carry out a section that was refused as a whole for one of its settings; channels are one setting."""
    if len(step) == 1 or step[0].path[1] == "channels":
        refuse(step, whole)
        return []
    done = []
    for change in step:
        try:
            _carry_out(host, link, [change])
        except ApplyFailed as error:
            refuse([change], error)
        else:
            done.append(change)
    return done


def place(host: Host, step: Change, nic: NicState | None) -> list[str]:
    """Carry out a step that places interrupts, or chooses the CPUs of queues.

    Args:
        host: The machine.
        step: The step.
        nic: The NIC that it concerns; None where it concerns the host.

    Returns:
        Names of the interrupts that cannot be moved.

    Raises:
        ApplyFailed: The kernel or systemd refused.
    """
    name, section = step.path[0], step.path[1]
    try:
        if name == "irqbalance":
            renewed = section in ("command", "running")
            irqbalance.ban(host, (irqbalance.read(host).banned if renewed else parse_cpulist(step.after or "")) or ())
        elif name == "host":
            host.write_attribute(SOCK_FLOW_ENTRIES, str(step.after))
        elif section == "irq":
            return _move(host, nic, step)
        elif section == "rfs":
            write_rfs(host, name, step.path[2], step.after)
        else:
            write = write_xps if section == "xps" else write_rps
            write(host, name, step.path[2], () if step.after == NO_CPUS else parse_cpulist(step.after))
    except OSError as error:
        raise ApplyFailed(f"{describe(step)}: {reason(error)}") from error
    return []


def signature(change: Change) -> tuple[Any, ...]:
    """Return what identifies a step, so that none is carried out twice."""
    return (change.path, repr(change.before), repr(change.after))


def _move(host: Host, nic: NicState | None, step: Change) -> list[str]:
    cpus = frozenset(parse_cpulist(step.after))
    named = [irq for irq in (nic.irqs if nic else ()) if irq.name == step.path[2]]
    return [irq.name for irq in named if not irqs.move(host, irq, cpus)]


def _carry_out(host: Host, link: Link, step: Sequence[Change]) -> None:
    section = step[0].path[1]
    values = {change.path[-1]: change.after for change in step}
    try:
        _SETTERS[section](host, link, values)
    except OSError as error:
        raise ApplyFailed(f"{'; '.join(map(describe, step))}: {reason(error)}") from error


def _set_rss(_host: Host, link: Link, values: Mapping[str, Any]) -> None:
    [(what, value)] = values.items()
    given: dict[str, Any] = {what: bytes.fromhex(value.replace(":", "")) if what == "key" else value}
    try:
        ethtool.set_rss(link.name, **given)
    except ApplyFailed as error:
        # A driver whose table cannot be set keeps it in step with its channels by itself.
        if value != DEFAULT or getattr(error.__cause__, "errno", None) != errno.EOPNOTSUPP:
            raise


def _set_rules(_host: Host, link: Link, values: Mapping[str, Any]) -> None:
    for location, rule in values.items():
        if rule is None:
            ethtool.delete_flow_rule(link.name, int(location))
        else:
            ethtool.insert_flow_rule(link.name, _rule(rule, int(location)))


def _rule(body: Mapping[str, Any], location: int) -> FlowRule:
    return FlowRule(
        body["flow_type"], canonical(body["flow_type"], body["match"]), body.get("queue"), location=location
    )


def _set_hash_fields(_host: Host, link: Link, values: Mapping[str, Any]) -> None:
    for flow_type, letters in values.items():
        ethtool.set_hash_fields(link.name, flow_type, letters)


_SETTERS: Mapping[str, Callable[[Host, Link, Mapping[str, Any]], None]] = {
    "up": lambda host, link, values: netlink.set_link(link.index, **values),
    "mtu": lambda host, link, values: netlink.set_link(link.index, **values),
    "txqueuelen": lambda host, link, values: netlink.set_link(link.index, **values),
    "private_flags": lambda host, link, values: ethtool.set_private_flags(link.name, values),
    "channels": lambda host, link, values: ethtool.set_channels(link.name, values),
    "rings": lambda host, link, values: ethtool.set_rings(link.name, values),
    "coalesce": lambda host, link, values: ethtool.set_coalesce(link.name, values),
    "features": lambda host, link, values: ethtool.set_features(link.name, values),
    "pause": lambda host, link, values: ethtool.set_pause(link.name, values),
    "napi": lambda host, link, values: napi.write(host, link.name, values),
    "rss": _set_rss,
    "hash_fields": _set_hash_fields,
    "flow_rules": _set_rules,
}


def _wait_for_carrier(name: str, step: Sequence[Change]) -> None:
    deadline = time.monotonic() + _CARRIER_SECONDS
    while time.monotonic() < deadline:
        link = netlink.link(name)
        if link and link.carrier:
            return
        time.sleep(_POLL_SECONDS)
    raise ApplyFailed(
        f"{name} had a carrier, and has had none for {_CARRIER_SECONDS:g} s since {'; '.join(map(describe, step))}"
    )
