# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a policy says of a packet that is described, tried by a twin of the program."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.converge import Impossible, Invalid
from .._core.system import Host
from .._policy.fields import ICMP_TYPES, PROTOCOLS, TCP_FLAGS
from .._policy.frame import build
from .._xdp.policy_twin import Twin
from .policy_feeds import assignments
from .reapply import add_state_dir, interface


def in_steps(path: Mapping[str, Any]) -> Iterator[str]:
    """Yield what each step said of a packet, in the order in which the kernel asks them."""
    yield f"{path['verdict']}, {path['reason']}"
    if path["trusted"]:
        yield "  trusted: yes"
    if path["banned"]:
        yield "  banned: yes"
    for part in ("list", "observed_list", "rule", "observed_rule"):
        if path[part]:
            yield f"  {part.replace('_', ' ')}: {path[part]}"
    for one in path["limits"]:
        yield f"  limit: {one['name']}, {one['outcome']}"
    if path["service"]:
        yield f"  service: {path['service']}"
    if path["would"]:
        yield f"  observed: would {path['would']}, {path['would_reason']}"


def _number_or(names: Mapping[str, Any]) -> Any:
    def parse(text: str) -> int | str:
        if text in names:
            return text
        if text.isdigit():
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor one of {', '.join(names)}")

    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host policy test``."""
    add_state_dir(parser)
    parser.add_argument("--interface", type=interface, help="that it comes by; not needed where there is one only")
    parser.add_argument("--source", help="address that it comes from")
    parser.add_argument("--destination", help="address that it goes to")
    parser.add_argument("--protocol", type=_number_or(PROTOCOLS), help="by name or number (udp)")
    for name in ("source-port", "destination-port", "vlan", "length"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--tcp-flags", nargs="*", choices=TCP_FLAGS, help="those that are set (syn)")
    parser.add_argument("--icmp-type", type=_number_or(ICMP_TYPES), help="by name or number (echo-request)")
    parser.add_argument("--fragment", choices=("first", "later"))
    parser.add_argument("--hex", help="the whole frame instead, from its Ethernet header on")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    """Try a packet by a twin of the program, which changes nothing, and show every step on the way to its verdict."""
    host = Host()
    known = assignments(host, options.state_dir)
    names = [options.interface] if options.interface else list(known)
    if len(names) != 1 or names[0] not in known:
        there = ", ".join(known) or "none"
        raise Impossible(f"--interface: name one that a policy judges; there are {there}")
    assignment = known[names[0]]
    frame = _frame(options)
    with Twin(host, assignment.interface, assignment.pin_root, None, options.state_dir) as twin:
        path = twin.judge(frame)
    if options.json:
        lines = [json.dumps({"interface": names[0], "policy": assignment.policy, **path}, indent=2)]
    else:
        lines = list(in_steps(path))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _frame(options: argparse.Namespace) -> bytes:
    if options.hex:
        try:
            return bytes.fromhex(options.hex)
        except ValueError as error:
            raise Invalid(f"--hex: {error}") from error
    fields = (
        *("source", "destination", "protocol", "source_port", "destination_port"),
        *("tcp_flags", "icmp_type", "vlan", "fragment", "length"),
    )
    described = {name: getattr(options, name) for name in fields}
    return build({name: value for name, value in described.items() if value is not None})
