# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which values of interrupt coalescing a driver takes. The kernel reports none of it before the driver refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .._linux.ethtool import Settings

_USECS = ("rx_usecs", "tx_usecs")


@dataclass(frozen=True)
class Coalescing:
    """What a driver takes.

    Attributes:
        most: The largest value by key.
        step: Times are rounded to multiples of it.
        gap: The numbers from the first to the second, both included, are refused as a time; and so is 2.
        paired: Where receive and transmit queues share vectors, only ``rx_usecs`` may be set.
        adaptive_holds: A time cannot change while the driver adapts it.
        source: Where in the Linux tree (6.12, drivers/net/ethernet) this is written.
    """

    most: Mapping[str, int] = field(default_factory=dict)
    step: int = 1
    gap: tuple[int, int] | None = None
    paired: bool = False
    adaptive_holds: bool = False
    source: str = ""


def _times(most: int) -> dict[str, int]:
    return dict.fromkeys(_USECS, most)


COALESCING: Mapping[str, Coalescing] = {
    "i40e": Coalescing(
        {**_times(8160), "rx_usecs_high": 236},
        step=2,
        adaptive_holds=True,
        source="intel/i40e/i40e_ethtool.c, __i40e_set_coalesce() and i40e_set_itr_per_queue()",
    ),
    "iavf": Coalescing(_times(8160), step=2, source="intel/iavf/iavf_ethtool.c, __iavf_set_coalesce()"),
    "ice": Coalescing(
        {**_times(8160), "rx_usecs_high": 236},
        step=2,
        adaptive_holds=True,
        source="intel/ice/ice_ethtool.c, ice_set_rc_coalesce() and ice_print_if_odd_usecs()",
    ),
    "igb": Coalescing(_times(10000), gap=(4, 9), paired=True, source="intel/igb/igb_ethtool.c, igb_set_coalesce()"),
    "igc": Coalescing(
        _times(10000), gap=(4, 9), paired=True, source="intel/igc/igc_ethtool.c, igc_ethtool_set_coalesce()"
    ),
    "ixgbe": Coalescing(_times(1022), paired=True, source="intel/ixgbe/ixgbe_ethtool.c, ixgbe_set_coalesce()"),
    "ixgbevf": Coalescing(_times(1022), paired=True, source="intel/ixgbevf/ethtool.c, ixgbevf_set_coalesce()"),
}


def faults(requested: Mapping[str, int | bool], settings: Settings) -> Iterator[str]:
    """Yield what a driver would refuse, or make another value of.

    Args:
        requested: Coalescing by the keys of ``Settings.coalesce``.
        settings: The NIC as it is.
    """
    takes, now = COALESCING.get(settings.driver or ""), settings.coalesce or {}
    if takes is None:
        return
    after = {**now, **requested}
    for key, value in requested.items():
        if key not in now or isinstance(value, bool) or value == now[key]:
            continue
        most = takes.most.get(key)
        if most is not None and value > most:
            yield f"coalesce {key} {value} > {most}, the most that {settings.driver} takes"
            continue
        if key not in _USECS:
            continue
        way = key.partition("_")[0]
        if takes.paired and key == "tx_usecs" and value and (settings.channels or {}).get("combined"):
            yield (
                f"coalesce {key} {value}: {settings.driver} takes rx_usecs for both ways of combined channels; "
                "leave it out"
            )
        elif takes.adaptive_holds and after.get(f"adaptive_{way}"):
            yield (
                f"coalesce {key} {value}: {settings.driver} changes none while it adapts it: leave it out, or request "
                f"adaptive_{way} false too"
            )
        elif value % takes.step:
            fit = value - value % takes.step
            yield f"coalesce {key} {value} would become another time in {settings.driver}: use {fit}"
        elif takes.gap and (value == 2 or takes.gap[0] <= value <= takes.gap[1]):
            yield f"coalesce {key} {value}: {settings.driver} takes 0, 1, 3 and {takes.gap[1] + 1} to {most}"


def unknown(requested: Mapping[str, int | bool], settings: Settings) -> list[str]:
    """Return the keys that are to change to a number whose limits nobody knows before the driver is tried."""
    now = settings.coalesce or {}
    takes = COALESCING.get(settings.driver or "", Coalescing())
    changes = {
        key for key, value in requested.items() if key in now and now[key] != value and not isinstance(value, bool)
    }
    return sorted(changes - set(takes.most))
