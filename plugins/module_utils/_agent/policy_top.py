# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""``tripod-host policy top``: which parts of the policies match most at this moment."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .policy_client import call
from .policy_serve import SOCKET
from .policy_watch import duration
from .reapply import path

_HOME = "\x1b[H\x1b[2J"  # to the first place of a cleared screen
_ROWS = 20
# interface and part -> what it has met
Counted = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Rate:
    """What a part of a policy met on an interface, in a second of the last interval and ever.

    Attributes:
        would: Packets that it would have matched, in observe mode, in a second.
    """

    interface: str
    part: str
    packets: float
    bits: float
    would: float
    total: int
    last: str | None


def rates(before: Counted, after: Counted, seconds: float) -> list[Rate]:
    """Return what each part met between two states of the counters, the most first.

    A part whose counters went back, as it was removed and came again, begins at zero.
    """
    found = []
    for (interface, part), now in after.items():
        then = before.get((interface, part), {})
        grown = {name: _growth(then, now, name) / seconds for name in ("packets", "bytes", "observed_packets")}
        total = now["packets"] + now["observed_packets"]
        found.append(
            Rate(interface, part, grown["packets"], grown["bytes"] * 8, grown["observed_packets"], total, now["last"])
        )
    return sorted(found, key=lambda one: (-one.packets - one.would, -one.total, one.interface, one.part))


def _growth(then: Mapping[str, Any], now: Mapping[str, Any], name: str) -> int:
    before = then.get(name, 0)
    return int(now[name] - before if now[name] >= before else now[name])


def table(found: Sequence[Rate], rows: int = _ROWS) -> str:
    """Return a screen of them."""
    lines = [f"{'PACKETS/S':>10} {'BITS/S':>8} {'WOULD/S':>9} {'PACKETS':>12}  {'INTERFACE':15}  PART"]
    for one in found[:rows]:
        numbers = f"{one.packets:10.0f} {_short(one.bits):>8} {one.would:9.0f} {one.total:12d}"
        lines.append(f"{numbers}  {one.interface:15}  {one.part}")
    unused = sum(not one.total for one in found)
    if unused:
        lines.append(f"{unused} of {len(found)} parts never matched")
    return "\n".join(lines) + "\n"


def _short(number: float) -> str:
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.0f}{unit}"
        number /= 1000
    return f"{number:.0f}T"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host policy top``."""
    parser.add_argument("--interface", help="only of this one")
    parser.add_argument("--interval", type=duration, default="1s", help="between two screens (%(default)s)")
    parser.add_argument("--count", type=int, default=0, help="screens; by default until it is interrupted")
    parser.add_argument("--rows", type=int, default=_ROWS, help="parts on a screen (%(default)s)")
    parser.add_argument("--socket", default=SOCKET, type=path, help="of the agent (%(default)s)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each screen, with all parts")


def run(options: argparse.Namespace) -> int:
    """Show which parts of the policies match most, again and again."""
    try:
        for found in _screens(options):
            if options.json:
                sys.stdout.write(json.dumps({"parts": [asdict(one) for one in found]}) + "\n")
            else:
                sys.stdout.write((_HOME if sys.stdout.isatty() else "") + table(found, options.rows))
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    return 0


def _screens(options: argparse.Namespace) -> Iterator[list[Rate]]:
    before, then, shown = _read(options), time.monotonic(), 0
    while not options.count or shown < options.count:
        time.sleep(options.interval)
        after, now = _read(options), time.monotonic()
        yield rates(before, after, now - then)
        before, then, shown = after, now, shown + 1


def _read(options: argparse.Namespace) -> Counted:
    found = call(options.socket, "counters", interface=options.interface)["interfaces"]
    return {(name, one["part"]): one for name, parts in found.items() for one in parts}
